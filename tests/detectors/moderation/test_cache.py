import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import detectors.moderation.cache as cache_module
from detectors.errors import InputError
from detectors.moderation.cache import FileCache, MemoryCache, VerdictCache
from detectors.moderation.moderator import Verdict
from detectors.moderation.part import Part

GRAVE = Verdict(True, 0.9, "malware", "illicit")
MILD = Verdict(False, 0.1)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture(params=["memory", "file"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> VerdictCache:
    if request.param == "memory":
        return MemoryCache()
    return FileCache(tmp_path / "new" / "cache.sqlite")


def test_what_was_put_is_found_and_nothing_else(cache: VerdictCache) -> None:
    cache.put({key(1): GRAVE, key(2): MILD})
    assert cache.get([key(1), key(2), key(3)]) == {key(1): GRAVE, key(2): MILD}
    cache.put({key(1): MILD})
    assert cache.get([key(1)]) == {key(1): MILD}
    assert cache.get([]) == {}


def test_many_keys_are_found_at_once(cache: VerdictCache) -> None:
    cache.put({key(n): MILD for n in range(1200)})
    assert len(cache.get([key(n) for n in range(1500)])) == 1200


def test_memory_drops_the_least_recently_used() -> None:
    cache = MemoryCache(max_entries=2)
    cache.put({key(1): MILD, key(2): MILD})
    cache.get([key(1)])
    cache.put({key(3): GRAVE})
    assert set(cache.get([key(1), key(2), key(3)])) == {key(1), key(3)}
    assert len(cache) == 2


def test_a_file_outlives_its_process_and_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    FileCache(path).put({key(n): GRAVE for n in range(10)})
    kept = FileCache(path, max_entries=4).get([key(n) for n in range(10)])
    assert len(kept) == 4
    assert set(kept.values()) == {GRAVE}


def test_a_verdict_that_is_too_old_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    FileCache(path).put({key(1): GRAVE})
    assert FileCache(path, max_age_seconds=-1.0).get([key(1)]) == {}


def test_memory_keeps_no_verdict_over_its_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_module, "PUTS_BETWEEN_PRUNINGS", 2)
    now = [0.0]
    cache = MemoryCache(max_age_seconds=10.0, clock=lambda: now[0])
    cache.put({key(1): GRAVE})
    now[0] = 10.0
    assert cache.get([key(1)]) == {key(1): GRAVE}
    now[0] = 11.0  # to be found does not make it younger
    assert cache.get([key(1)]) == {}
    cache.put({key(2): MILD})
    assert len(cache) == 1


def test_a_file_keeps_no_verdict_over_its_age(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"

    def kept() -> int:
        with closing(sqlite3.connect(path)) as file:
            return int(file.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0])

    def age() -> None:
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE verdicts SET saved = 0")

    cache = FileCache(path)
    cache.put({key(1): GRAVE, key(2): GRAVE})
    age()
    cache.put({key(3): MILD})
    assert kept() == 1
    age()
    FileCache(path)
    assert kept() == 0


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "{}",
        "[1, 0.5, '', '']",
        '[true, 7, "", ""]',
        '[true, NaN, "", ""]',
        '[true, 0.5, "astrology", ""]',
        '[true, 0.5, "", 3]',
        "[" * 5000,
    ],
)
def test_an_entry_that_is_not_one_is_a_miss(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "cache.sqlite"
    cache = FileCache(path)
    cache.put({key(1): GRAVE})
    with sqlite3.connect(path) as file:
        file.execute("UPDATE verdicts SET verdict = ?", (entry,))
    file.close()
    assert cache.get([key(1)]) == {}


def test_a_file_that_breaks_while_in_use_is_a_miss(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    cache = FileCache(path)
    path.write_bytes(b"this is not a database at all, whatever it was before" * 100)
    cache.put({key(1): GRAVE})
    assert cache.get([key(1)]) == {}


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(InputError, match="moderation cache"):
        FileCache(path)


def test_no_text_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    part = Part("a row's private request", "and its reply")
    FileCache(path).put({part.key("openai 1 model"): MILD})
    content = path.read_bytes()
    assert b"private" not in content
    assert b"reply" not in content


def test_a_key_tells_apart_who_was_asked_and_which_text_is_which() -> None:
    keys = {
        Part("ab", "c").key("m"),
        Part("a", "bc").key("m"),
        Part("", "abc").key("m"),
        Part("abc", "").key("m"),
        Part("ab", "c").key("m2"),
    }
    assert len(keys) == 5
