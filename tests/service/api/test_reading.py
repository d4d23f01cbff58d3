import pytest
from pydantic import BaseModel

from service.api.bodies import ScreeningIn
from service.api.errors_http import Problem
from service.api.reading import parse_json


class Body(BaseModel):
    rows: list[dict[str, str]]


def test_a_body_is_parsed_and_checked() -> None:
    assert parse_json(b'{"rows": [{"text": "a"}]}', Body).rows == [{"text": "a"}]


@pytest.mark.parametrize(
    "body",
    [b'{"rows": [{"text": "a", "text": "b"}]}', b'{"rows": [', b"\xff", b"[" * 9],
)
def test_a_body_two_readers_could_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body, Body)
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        b'"run_trial": 0',
        b'"run_trial": "no"',
        b'"recipe": {"mitigate": 1}',
        b'"recipe": {"l2_weight": false}',
        b'"recipe": {"epochs": true}',
        b'"recipe": {"epochs": "3"}',
        b'"recipe": {"epochs": 3.5}',
        b'"recipe": {"batch_size": true}',
    ],
)
def test_a_value_of_another_type_than_documented_is_refused(wrong: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(b'{"rows": [1], ' + wrong + b"}", ScreeningIn)
    assert (caught.value.status_code, caught.value.code) == (422, "invalid_request")


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    recipe = b'{"epochs": 3.0, "batch_size": 2.0, "l2_weight": 1, "targets": ["q"]}'
    named = b'{"sha256": "' + b"a" * 64 + b'", "recipe": '
    asked = parse_json(named + recipe + b"}", ScreeningIn)
    assert (asked.recipe.epochs, asked.recipe.batch_size) == (3, 2)
    assert (asked.recipe.l2_weight, asked.recipe.targets) == (1.0, ("q",))
