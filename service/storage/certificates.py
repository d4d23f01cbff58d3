"""Certificates: kept for good, also when the screening is deleted: they hold nothing.

One is written in the transaction that ends its screening, once.
"""

import hashlib
from typing import Final

from sqlalchemy import Connection, Engine, insert, select

from service.storage.database import reading
from service.storage.screening import SCREENING_ID, now
from service.storage.tables import CERTIFICATES, SCREENINGS

C: Final = CERTIFICATES.c
S: Final = SCREENINGS.c


class Certificates:
    """The certificates of one tenant; what is another's does not exist here."""

    def __init__(self, engine: Engine, tenant: str) -> None:
        self._reading = reading(engine)
        self._tenant = tenant

    def find(self, screening_id: str) -> bytes | None:
        """Return the JSON envelope as it was written; None where there is none."""
        if not SCREENING_ID.fullmatch(screening_id):
            return None
        mine = (C.screening == screening_id, C.tenant == self._tenant)
        with self._reading.connect() as connection:
            found = connection.execute(select(C.envelope).where(*mine)).scalar()
        return None if found is None else bytes(found)


def keep_certificate(connection: Connection, screening_id: str, envelope: bytes) -> str:
    """Keep a screening's certificate, in the transaction that ends it.

    Return the SHA-256 of its bytes, for the audit record.
    """
    whose = select(S.tenant).where(S.id == screening_id)
    row = {
        "screening": screening_id,
        "tenant": connection.execute(whose).scalar_one(),
        "created_at": now(),
        "envelope": envelope,
    }
    connection.execute(insert(CERTIFICATES).values(**row))
    return hashlib.sha256(envelope).hexdigest()
