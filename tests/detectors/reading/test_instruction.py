import pytest

from detectors.dataset import Origin
from detectors.reading.fault import RowFault
from detectors.reading.limits import Limits
from detectors.reading.rowshape import read_row

PAIR = {"prompt": "q", "completion": "a"}


@pytest.mark.parametrize("label", [True, 0, 1, 1.0, "True", "false", " 0", "1", "0.0"])
def test_a_label_of_yes_or_no_marks_an_unpaired_preference(label: object) -> None:
    with pytest.raises(RowFault) as caught:
        read_row({**PAIR, "label": label}, Origin("rows.jsonl", 1), Limits())
    assert (caught.value.code, caught.value.field) == ("unsupported_field", "label")


@pytest.mark.parametrize("label", [None, "", "sports", 2, "10", ["true"]])
def test_any_other_label_is_left_alone(label: object) -> None:
    example = read_row({**PAIR, "label": label}, Origin("rows.jsonl", 1), Limits())
    assert [m.content for m in example.messages] == ["q", "a"]
