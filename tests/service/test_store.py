from pathlib import Path

import pytest

from service.store import INTERRUPTED, Fault, Screening, Store


def add(store: Store, name: str = "n") -> Screening:
    screening = store.create(name)
    store.add(screening)
    return screening


def test_finished_screenings_survive_a_restart_and_others_fail(tmp_path: Path) -> None:
    store = Store(tmp_path)
    done, queued, failed = add(store, "done"), add(store), add(store)
    store.start(done.id)
    store.finish(done.id, "REVIEW", "{}")
    store.fail(failed.id, Fault("x", "why"))
    again = Store(tmp_path)
    found = again.get(done.id)
    assert found is not None
    assert (found.status, found.outcome, found.name) == ("finished", "REVIEW", "done")
    assert again.report_path(done.id).read_text("utf-8") == "{}"
    lost, kept = again.get(queued.id), again.get(failed.id)
    assert lost is not None
    assert kept is not None
    assert (lost.status, lost.fault) == ("failed", INTERRUPTED)
    assert kept.fault == Fault("x", "why")


def test_only_the_oldest_finished_screenings_are_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path, max_kept=2)
    running, first, second = add(store), add(store), add(store)
    store.start(running.id)
    store.finish(first.id, "ACCEPT", "{}")
    store.finish(second.id, "ACCEPT", "{}")
    third = add(store)
    found, more = store.page(limit=10)
    assert [s.id for s in found] == [third.id, running.id]
    assert not more
    assert not store.folder(first.id).exists()


def test_what_happens_after_a_deletion_is_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    screening = add(store)
    assert store.delete(screening.id)
    assert not store.delete(screening.id)
    assert not store.start(screening.id)
    assert not store.move(screening.id, "tune", 1, 2)
    assert not store.finish(screening.id, "ACCEPT", "{}")
    assert not store.fail(screening.id, INTERRUPTED)
    assert not store.folder(screening.id).exists()


def test_a_folder_that_was_never_listed_is_removed_at_the_start(
    tmp_path: Path,
) -> None:
    folder = Store(tmp_path).create("half an upload").id
    assert not Store(tmp_path).folder(folder).exists()


def test_paging_after_an_unknown_screening_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Store(tmp_path).page(after="none", limit=1)
