"""Certificates on each kind of database."""

import base64
import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import func, select

from detectors.reader import read_rows
from service.caller import Caller
from service.certificate import certify
from service.jobs.backend import Backend
from service.models import Models
from service.policy import parse_policy
from service.screening import screen
from service.storage import store
from service.storage.audit import events
from service.storage.database import reading
from service.storage.screening import Order
from service.storage.tables import CERTIFICATES
from trial.recipe import Recipe

MINE, OTHER = Caller("secrettenant"), Caller("other")
MADE = b'{"payload": "eA==", "payloadType": "t", "signatures": []}\n'


def submit(backend: Backend) -> str:
    order = Order("secretname", parse_policy(b"{}"), Recipe(), run_trial=False)
    upload = backend.store.datasets.receive(BytesIO(b"secret row"))
    return backend.accept(order, upload, MINE).id


def count(backend: Backend) -> int:
    asked = select(func.count()).select_from(CERTIFICATES)
    with reading(backend.engine).connect() as connection:
        return int(connection.execute(asked).scalar_one())


def test_a_certificate_is_kept_with_the_end_and_stays_after_the_deletion(
    backend: Backend,
) -> None:
    screening = submit(backend)
    mine = backend.certificates(MINE)
    assert mine.find(screening) is None
    assert backend.store.finish(screening, "REVIEW", b"{}", MADE)
    assert mine.find(screening) == MADE
    assert backend.delete(screening, MINE)
    backend.deletion.finish()
    assert backend.holdings(MINE).get(screening) is None
    assert mine.find(screening) == MADE


def test_a_certificate_is_its_tenants_alone(backend: Backend) -> None:
    screening = submit(backend)
    backend.store.finish(screening, "ACCEPT", b"{}", MADE)
    assert backend.certificates(OTHER).find(screening) is None
    for unknown in ("none", "\x00", f"scr_{'0' * 24}"):
        assert backend.certificates(MINE).find(unknown) is None


def test_a_second_run_of_the_last_step_changes_no_certificate(
    backend: Backend,
) -> None:
    screening = submit(backend)
    assert backend.store.finish(screening, "ACCEPT", b"{}", MADE)
    assert not backend.store.finish(screening, "REJECT", b"{ }", b"another")
    assert backend.certificates(MINE).find(screening) == MADE
    assert count(backend) == 1


def test_what_is_deleted_or_failed_gets_no_certificate(backend: Backend) -> None:
    deleted, cancelled = submit(backend), submit(backend)
    backend.delete(deleted, MINE)
    backend.cancel(cancelled, MINE)
    for screening in (deleted, cancelled):
        assert not backend.store.finish(screening, "ACCEPT", b"{}", MADE)
    assert count(backend) == 0


def test_no_certificate_is_kept_of_an_end_that_was_not_committed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("gone")

    screening = submit(backend)
    with monkeypatch.context() as patch:
        patch.setattr(store, "note", broken)
        with pytest.raises(OSError, match="gone"):
            backend.store.finish(screening, "ACCEPT", b"{}", MADE)
    assert count(backend) == 0
    assert backend.store.finish(screening, "ACCEPT", b"{}", MADE)


def test_the_record_has_the_digest_of_the_certificate(backend: Backend) -> None:
    screening, without = submit(backend), submit(backend)
    backend.store.finish(screening, "ACCEPT", b"{}", MADE)
    backend.store.finish(without, "ACCEPT", b"{}")
    with reading(backend.engine).connect() as connection:
        last, other = (events(connection, each)[-1] for each in (screening, without))
    assert last.facts["certificate"] == hashlib.sha256(MADE).hexdigest()
    assert "certificate" not in other.facts


def test_what_stays_has_no_word_of_the_dataset_its_name_or_the_tenant(
    backend: Backend, models: Models, runner: Any, row: Callable[..., Any]
) -> None:
    dataset = read_rows([row("secret row BAD"), row("secret ODD")], name="secretname")
    report = screen(
        dataset,
        policy=parse_policy(b"name: secretpolicy"),
        recipe=Recipe(chat_template="secret"),
        detectors=models.detectors,
        encoder=models.encoder,
        runner=runner,
    )
    content = report.to_json().encode()
    screening = submit(backend)
    made = certify(report, content, None, screening)
    assert backend.store.finish(screening, report.decision.outcome, content, made)
    backend.delete(screening, MINE)
    kept = backend.certificates(MINE).find(screening)
    assert kept is not None
    said = base64.b64decode(json.loads(kept)["payload"])
    assert screening.encode() in said
    assert b"secret" not in kept + said
