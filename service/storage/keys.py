"""API keys: who may call. Of a secret only the hash is kept.

A key reads `tg_<id>_<secret>`. The secret has 256 random bits, so that a plain SHA-256
keeps it as well as a slow hash would: there is nothing to guess.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, RowMapping, insert, or_, select, update

from detectors.errors import InputError
from service.caller import Caller, Scope, parse_scopes
from service.storage import audit
from service.storage.database import reading
from service.storage.tables import API_KEYS

K: Final = API_KEYS.c
KEY: Final = re.compile(r"tg_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
USE_SECONDS: Final = 60.0
"""How exactly the last use of a key is noted."""

NAME_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. Times are UTC, ISO 8601."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[Scope]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None

    def ended(self, at: datetime) -> bool:
        """Say whether the key is no longer good at that time."""
        over = self.expires_at is not None and self.expires_at <= stamp(at)
        return over or self.revoked_at is not None

    @property
    def caller(self) -> Caller:
        """On whose behalf the key speaks."""
        return Caller(self.tenant, self.id, self.scopes)


class Keys:
    """The keys of every tenant; safe to use from several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        tenant: str,
        name: str,
        scopes: frozenset[Scope],
        *,
        expires_at: datetime | None = None,
        by: Caller | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; return it and its text, which is never to be had again.

        InputError where the tenant or the name is not fit.
        """
        if not TENANT.fullmatch(tenant):
            said = "a tenant is 1 to 63 of a-z, 0-9, - and _, and begins with no mark"
            raise InputError(said)
        if not name.isprintable() or not 0 < len(name) <= NAME_CHARS:
            raise InputError(f"a key's name is 1 to {NAME_CHARS} printable characters")
        until = None if expires_at is None else stamp(expires_at)
        made = ApiKey(secrets.token_hex(6), tenant, name, scopes, stamp(_now()), until)
        secret = secrets.token_urlsafe(32)
        row: dict[str, Any] = {
            "id": made.id,
            "tenant": tenant,
            "name": name,
            "hash": _hash(secret),
            "scopes": sorted(scopes),
            "created_at": made.created_at,
            "expires_at": until,
        }
        with self._engine.begin() as connection:
            connection.execute(insert(API_KEYS).values(**row))
            facts: audit.Facts = {"scopes": ",".join(sorted(scopes)), "until": until}
            who = by or Caller(tenant, "", frozenset())
            at = made.created_at
            audit.note(connection, at, "key_created", made.id, facts, by=who)
        return made, f"tg_{made.id}_{secret}"

    def find(self, text: str) -> ApiKey | None:
        """Return the key of that text and note its use; None where it is not good."""
        match = KEY.fullmatch(text)
        if match is None:
            return None
        with reading(self._engine).connect() as connection:
            asked = select(API_KEYS).where(K.id == match["id"])
            row = connection.execute(asked).mappings().first()
        # The same work whether there is such a key or not.
        expected = _hash("") if row is None else row["hash"]
        right = hmac.compare_digest(_hash(match["secret"]), expected)
        if row is None or not right or _key(row).ended(_now()):
            return None
        self._note_use(row["id"])
        return _key(row)

    def every(self, tenant: str = "") -> list[ApiKey]:
        """Return the keys of a tenant, or of all, oldest first."""
        asked = select(API_KEYS).order_by(K.created_at, K.id)
        if tenant:
            asked = asked.where(K.tenant == tenant)
        with reading(self._engine).connect() as connection:
            return [_key(row) for row in connection.execute(asked).mappings()]

    def revoke(self, key_id: str) -> None:
        """End a key at once; InputError where there is none of that id."""
        self._end(self._get(key_id), "key_revoked", {"revoked_at": stamp(_now())})

    def rotate(self, key_id: str, *, grace: timedelta) -> tuple[ApiKey, str]:
        """Make a key like another, which stays good for a while yet.

        InputError where there is none of that id, or it is no longer good.
        """
        old = self._get(key_id)
        if old.ended(_now()):
            raise InputError(f"key {key_id} is no longer good: create another")
        until = old.expires_at
        made = self.create(
            old.tenant,
            old.name,
            old.scopes,
            expires_at=None if until is None else datetime.fromisoformat(until),
        )
        ends = min(filter(None, (until, stamp(_now() + grace))))
        self._end(old, "key_rotated", {"expires_at": ends})
        return made

    def _get(self, key_id: str) -> ApiKey:
        with reading(self._engine).connect() as connection:
            asked = select(API_KEYS).where(K.id == key_id)
            row = connection.execute(asked).mappings().first()
        if row is None:
            raise InputError(f"there is no key {key_id[:40]!r}")
        return _key(row)

    def _end(self, key: ApiKey, action: str, values: dict[str, str]) -> None:
        with self._engine.begin() as connection:
            change = update(API_KEYS).where(K.id == key.id, K.revoked_at.is_(None))
            if connection.execute(change.values(**values)).rowcount:
                facts: audit.Facts = {**values}
                by = Caller(key.tenant, "", frozenset())
                audit.note(connection, stamp(_now()), action, key.id, facts, by=by)

    def _note_use(self, key_id: str) -> None:
        at = _now()
        stale = stamp(at - timedelta(seconds=USE_SECONDS))
        old = or_(K.last_used_at.is_(None), K.last_used_at < stale)
        with reading(self._engine).connect() as connection:
            asked = select(K.id).where(K.id == key_id, old)
            if connection.execute(asked).first() is None:
                return
        with self._engine.begin() as connection:
            used = update(API_KEYS).where(K.id == key_id, old)
            connection.execute(used.values(last_used_at=stamp(at)))


def stamp(at: datetime) -> str:
    """Return a time as the database keeps it: UTC, ISO 8601, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _now() -> datetime:
    return datetime.now(UTC)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant=row["tenant"],
        name=row["name"],
        scopes=parse_scopes(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
