import json

import pytest

from detectors.reading.fault import RowFault
from detectors.reading.jsontext import parse_json_text
from detectors.reading.limits import Limits
from tests.pace import processor_seconds


def test_a_key_that_stands_twice_at_the_end_of_a_huge_object_is_named_at_once() -> None:
    keys = [f"k{i}" for i in range(60_000)]
    text = "{" + ",".join(f"{json.dumps(key)}:0" for key in [*keys, keys[-1]]) + "}"
    with processor_seconds(8), pytest.raises(RowFault) as caught:
        parse_json_text(text, Limits())
    assert caught.value.code == "duplicate_key"
    assert caught.value.found == "'k59999'"
