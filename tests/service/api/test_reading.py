import pytest
from pydantic import BaseModel

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
