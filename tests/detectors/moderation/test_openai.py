"""What OpenAI's endpoint is sent, and how its answers are read."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import InputError
from detectors.moderation.cache import FileCache, MemoryCache
from detectors.moderation.endpoint import Endpoint, Unreadable
from detectors.moderation.ledger import Budget
from detectors.moderation.moderator import Subject
from detectors.moderation.openai import OpenAIDialect, parse
from detectors.moderation.part import PIECE_CHARS
from detectors.moderation.remote import RemoteModerator
from detectors.taxonomies.openai import OPENAI
from tests.detectors.moderation.subjects import SAFE, Make, flags, numbered


def test_texts_go_out_in_arrays_and_verdicts_come_back_in_order(
    make: Make, provider: Any
) -> None:
    said = make().moderate(numbered(10, bad=[3, 7]))
    assert flags(said) == [n in (3, 7) for n in range(10)]
    assert sorted(len(asked["input"]) for asked in provider.asked) == [2, 4, 4]
    assert {asked["model"] for asked in provider.asked} == {"omni-moderation-latest"}
    assert provider.paths[0] == "/v1/moderations"
    bad = said.verdicts[3]
    assert bad is not None
    assert (bad.score, bad.label) == (0.93, "violence")
    assert bad.category == "hate_harass_violence"
    assert said.usage.requests == 3
    assert said.usage.tokens > 0
    assert said.reasons == ("",) * 10


def test_a_request_is_judged_apart_and_forgiven_where_it_is_refused(make: Make) -> None:
    refused = Subject("BAD request", "I'm sorry, but I can't help with that.")
    complied = Subject("BAD request", "First, take the tools.")
    harmful = Subject("hello", "BAD reply")
    assert flags(make().moderate([refused, complied, harmful, SAFE])) == [
        False,
        True,
        True,
        False,
    ]


def test_only_a_refusal_in_earnest_forgives_a_request(make: Make) -> None:
    replies = ("I\u2019m sorry, but I can\u2019t help.", "I can't wait to help! First")
    rows = [Subject("BAD request", reply) for reply in replies]
    assert flags(make().moderate(rows)) == [False, True]


def test_a_refusal_in_the_reasoning_forgives_no_request(make: Make) -> None:
    thought = "I'm sorry, but I can't help with that.\n\n"
    answer = "First, take the tools."
    rows = [
        Subject("BAD request", f"{thought}{answer}", answer_at=len(thought)),
        Subject("BAD request", f"<think>{thought}</think>{answer}"),
    ]
    assert flags(make().moderate(rows)) == [True, True]


def test_a_system_text_is_judged_as_a_request_and_sent_once(
    make: Make, provider: Any
) -> None:
    told = [Subject(f"go on {n}", "First, take the tools.", "BAD") for n in range(3)]
    refused = Subject("go on", "I'm sorry, but I can't help with that.", "BAD")
    assert flags(make().moderate([*told, refused])) == [True, True, True, False]
    assert [text for a in provider.asked for text in a["input"]].count("BAD") == 1


def test_a_long_text_is_sent_whole_in_pieces(make: Make, provider: Any) -> None:
    words = " ".join(str(number) for number in range(3 * PIECE_CHARS // 6))
    end = Subject("", f"{words} BAD")
    assert flags(make().moderate([end])) == [True]
    sent = {text for asked in provider.asked for text in asked["input"]}
    assert len(sent) >= 3
    assert all(any(f" {n} " in text for text in sent) for n in range(1, 3000, 7))


def test_a_system_text_of_many_exchanges_is_held_in_memory_once(make: Make) -> None:
    system = " ".join(f"rule {n}" for n in range(2_000))
    subjects = [Subject(f"q{n}", f"a{n}", system) for n in range(1_000)]
    made = make(Budget(tokens=0))
    tracemalloc.start()
    made.moderate(subjects)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * len(system)


def test_equal_texts_are_sent_once_and_remembered(make: Make, provider: Any) -> None:
    moderator = make()
    moderator.moderate([SAFE] * 5)
    assert [len(asked["input"]) for asked in provider.asked] == [2]
    again = moderator.moderate([SAFE, Subject("", "new")])
    assert [len(asked["input"]) for asked in provider.asked] == [2, 1]
    assert (again.usage.requests, again.usage.cached) == (1, 2)


def test_a_cache_that_is_empty_at_first_is_shared(provider: Any) -> None:
    cache = MemoryCache()
    endpoint = Endpoint(provider.url, "omni-moderation-latest")
    for _ in range(2):
        RemoteModerator(OpenAIDialect(), endpoint, cache=cache).moderate([SAFE])
    assert len(provider.asked) == 1


def test_two_servers_with_a_model_of_one_name_are_both_asked(
    provider: Any, tmp_path: Path
) -> None:
    other = type(provider)()
    try:
        for url in (provider.url, other.url, f"{other.url}/"):
            cache = FileCache(tmp_path / "verdicts.sqlite")
            endpoint = Endpoint(url, "omni-moderation-latest")
            said = RemoteModerator(OpenAIDialect(), endpoint, cache=cache)
            assert flags(said.moderate([SAFE])) == [False]
        assert (len(provider.asked), len(other.asked)) == (1, 1)
    finally:
        other.close()


def test_lone_surrogates_and_controls_can_be_sent(make: Make, provider: Any) -> None:
    assert flags(make().moderate([Subject("\ud800", "\x00\u202e")])) == [False]
    assert "\ufffd" in provider.asked[0]["input"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        ({}, "no list of results"),
        ({"results": [1, 2]}, "does not say whether it is flagged"),
        ({"results": [{"flagged": "no"}] * 2}, "does not say whether it is flagged"),
        ({"results": []}, "was sent 1 texts and judged 0"),
        (b'{"results": "' + b"x" * 9_000_000 + b'"}', "larger than"),
    ],
)
def test_an_answer_that_makes_no_sense_is_no_verdict(
    make: Make, provider: Any, answers: Any, body: Any, reason: str
) -> None:
    provider.script = lambda n, asked: answers.raw(body)
    said = make(attempts=1).moderate(numbered(1))
    assert flags(said) == [None]
    assert reason in said.reasons[0]


def test_results_of_another_number_are_never_shifted_to_other_rows(
    make: Make, provider: Any, answers: Any
) -> None:
    def short(n: int, asked: dict[str, Any]) -> Any:
        answer = answers.moderations(asked)
        if len(asked["input"]) > 1:
            del answer.body["results"][0]
        return answer

    provider.script = short
    assert flags(make().moderate(numbered(4, bad=[1]))) == [False, True, False, False]


def test_a_flagged_piece_outranks_a_piece_without_a_verdict(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: (
        answers.problem(500) if "BAD" not in str(asked) else answers.moderations(asked)
    )
    made = make(batch_parts=1, attempts=1)
    mixed = Subject("hello", "BAD reply")
    assert flags(made.moderate([mixed, Subject("hello", "you")])) == [True, None]


def test_a_clean_piece_does_not_stand_for_one_without_a_verdict(
    make: Make, provider: Any, answers: Any
) -> None:
    provider.script = lambda n, asked: (
        answers.problem(500) if "odd" in str(asked) else answers.moderations(asked)
    )
    made = make(batch_parts=1, attempts=1)
    said = made.moderate([Subject("odd", "you"), Subject("hello", "odd"), SAFE])
    assert flags(said) == [None, None, False]


def test_the_key_of_the_settings_goes_out_and_none_of_the_environment(
    make: Make, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "from-the-environment")
    make().moderate([SAFE])
    make(api_key="").moderate([SAFE])
    shown = [headers["authorization"] for headers in map(lowered, provider.headers)]
    assert shown == ["Bearer sk-test", "Bearer none"]
    assert "from-the-environment" not in str(provider.headers)


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "ftp://host/v1"},
        {"base_url": "http://"},
        {"base_url": "http://user:pass@host/v1"},
        {"base_url": "http://host:port/v1"},
        {"model": ""},
        {"api_key": "a\nb"},
        {"api_key": "schlüssel"},
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_an_error(
    make: Make, given: dict[str, str]
) -> None:
    with pytest.raises(InputError) as error:
        make(**given)
    assert "pass" not in str(error.value)


def test_the_key_is_not_in_the_endpoints_text(make: Make) -> None:
    shown = repr(Endpoint("http://host/v1", "m", api_key="sk-test"))
    assert "sk-test" not in shown


def test_sexual_content_with_minors_outranks_higher_scores() -> None:
    (verdict,) = parse(
        {
            "results": [
                {
                    "flagged": True,
                    "categories": {"sexual": True, "sexual/minors": True},
                    "category_scores": {"sexual": 0.9, "sexual/minors": 0.4},
                }
            ]
        }
    )
    assert verdict.category == "child_abuse"


def test_a_raised_category_flags_whatever_the_summary_says() -> None:
    said = {"flagged": False, "categories": {"hate": True}, "category_scores": {}}
    (verdict,) = parse({"results": [said]})
    assert (verdict.flagged, verdict.score) == (True, 1.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["flagged", "categories", "category_scores", "hate", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=50)
@given(JSON)
def test_any_answer_is_read_or_called_unreadable(said: Any) -> None:
    for answer in ({"results": said}, {"results": [said]}):
        try:
            verdicts = parse(answer)
        except Unreadable:
            continue
        for verdict in verdicts:
            assert set(verdict.label.split(", ")) <= {*OPENAI.categories, ""}
