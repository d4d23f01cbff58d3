from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from detectors.errors import InputError
from service.caller import Caller, parse_scopes
from service.jobs.backend import Backend
from service.storage.audit import events
from service.storage.database import reading
from service.storage.keys import ApiKey
from service.storage.tables import API_KEYS, AUDIT_EVENTS

READ = parse_scopes(["read"])
HOUR = timedelta(hours=1)


def make(backend: Backend, **more: datetime) -> tuple[ApiKey, str]:
    return backend.keys.create("acme", "ci", READ, **more)


def test_a_key_speaks_for_its_tenant_with_its_scopes(backend: Backend) -> None:
    made, text = make(backend)
    found = backend.keys.find(text)
    assert found is not None
    assert found.caller == Caller("acme", made.id, READ)
    assert found.caller.may("read")
    assert not found.caller.may("submit")
    assert not found.caller.may("admin")


def test_admin_may_all_that_the_others_may() -> None:
    admin = Caller("t", "k", parse_scopes(["admin"]))
    assert admin.may("read")
    assert admin.may("submit")
    assert admin.may("review")


def test_the_secret_is_in_no_table(backend: Backend) -> None:
    _, text = make(backend)
    secret = text.split("_", 2)[2]
    with reading(backend.engine).connect() as connection:
        for table in (API_KEYS, AUDIT_EVENTS):
            assert secret not in repr(connection.execute(select(table)).all())


def test_a_text_that_is_no_good_key_finds_none(backend: Backend) -> None:
    made, text = make(backend)
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    wrong = ["", "tg_", text[:-1], text + "x", other, f"tg_{'0' * 12}_{'x' * 43}"]
    for each in (*wrong, text.upper(), f" {text}", f"tg_{made.id}_", "\x00", "é"):
        assert backend.keys.find(each) is None, each


def test_a_key_ends_when_it_expires_and_when_it_is_revoked(backend: Backend) -> None:
    past, future = datetime.now(UTC) - HOUR, datetime.now(UTC) + HOUR
    assert backend.keys.find(make(backend, expires_at=past)[1]) is None
    made, text = make(backend, expires_at=future)
    assert backend.keys.find(text) is not None
    backend.keys.revoke(made.id)
    assert backend.keys.find(text) is None
    with pytest.raises(InputError, match="no key"):
        backend.keys.revoke("nobody")


def test_a_rotated_key_stays_good_for_its_grace_alone(backend: Backend) -> None:
    first, text = make(backend)
    second, new = backend.keys.rotate(first.id, grace=HOUR)
    assert (second.tenant, second.name, second.scopes) == ("acme", "ci", READ)
    assert backend.keys.find(text) is not None
    assert backend.keys.find(new) is not None
    backend.keys.rotate(second.id, grace=timedelta(0))
    assert backend.keys.find(new) is None
    with pytest.raises(InputError, match="no longer good"):
        backend.keys.rotate(second.id, grace=HOUR)


def test_the_last_use_is_noted_to_the_minute(backend: Backend) -> None:
    _, text = make(backend)
    assert backend.keys.every("acme")[0].last_used_at is None
    backend.keys.find(text)
    used = backend.keys.every()[0].last_used_at
    assert used is not None
    backend.keys.find(text)
    assert backend.keys.every()[0].last_used_at == used
    with backend.engine.begin() as connection:
        old = update(API_KEYS).values(last_used_at="2020-01-01T00:00:00.000+00:00")
        connection.execute(old)
    backend.keys.find(text)
    assert (backend.keys.every()[0].last_used_at or "") >= used
    assert backend.keys.every("other") == []


def test_what_is_done_to_keys_is_on_record(backend: Backend) -> None:
    made, _ = make(backend)
    backend.keys.rotate(made.id, grace=HOUR)
    backend.keys.revoke(made.id)
    backend.keys.revoke(made.id)
    with reading(backend.engine).connect() as connection:
        said = [each.action for each in events(connection, made.id)]
    assert said == ["key_created", "key_rotated", "key_revoked"]


@pytest.mark.parametrize("tenant", ["", "A", "a b", "-a", "x" * 64, "a\n"])
def test_a_tenant_has_a_plain_name(backend: Backend, tenant: str) -> None:
    with pytest.raises(InputError, match="tenant"):
        backend.keys.create(tenant, "n", READ)


@pytest.mark.parametrize("names", [[], ["root"], ["read", "all"], [" "]])
def test_scopes_are_those_there_are(names: list[str]) -> None:
    with pytest.raises(InputError, match="scope"):
        parse_scopes(names)
