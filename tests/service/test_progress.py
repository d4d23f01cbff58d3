import io
import sys

import pytest
from rich.console import Console

from service.progress import ProgressBars


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def test_a_bar_shows_the_stage_of_the_dataset_and_is_gone_at_the_end() -> None:
    console = terminal()
    with ProgressBars(console) as bars:
        bars.title = "data\x1b[31m.jsonl"
        bars("tune", 1, 4)
        bars("tune", 2, 4)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "data\\x1b[31m.jsonl tune" in text
    assert text.rstrip().endswith("\x1b[2K") or text.rstrip().endswith("\x1b[?25h")


def test_standard_output_stays_its_own_while_bars_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressBars(terminal()) as bars:
        bars("tune", 1, 4)
        with bars.hidden():
            sys.stdout.write("a summary\n")
        sys.stdout.write("a report")
    assert capsys.readouterr().out == "a summary\na report"


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=120)
    with ProgressBars(console) as bars:
        bars("tune", 1, 4)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
