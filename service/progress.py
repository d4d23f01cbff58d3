"""Progress: one bar a stage on standard error, gone when the work is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from service.text import printable

NAME_CHARS = 30


class ProgressBars:
    """Callable as `progress(stage, done, total)`; a context manager.

    `title` names the dataset now screened. Nothing is drawn where standard error is
    not a terminal.
    """

    def __init__(self, console: Console) -> None:
        self.title = ""
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # standard output may go elsewhere
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> "ProgressBars":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar of one stage of the current dataset."""
        key = (self.title, stage)
        if key not in self._tasks:
            name = Text(f"{printable(self.title, NAME_CHARS)} {printable(stage, 30)}")
            self._tasks[key] = self._bars.add_task(name.plain, total=total)
        self._bars.update(self._tasks[key], completed=done, total=total)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take all bars away while a summary is printed inside."""
        self._bars.stop()
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()
        yield
        self._bars.start()
