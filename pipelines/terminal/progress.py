"""What a long command is at: a moving line on a terminal, a line of the log elsewhere."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

from sluice.pipelines.terminal.printing import one_line
from sluice.pipelines.terminal.repeating import repeating

log = logging.getLogger("sluice")


@contextlib.contextmanager
def doing(text: str) -> Iterator[None]:
    """Tells it for as long as the block takes. Blocks do not lie within each other."""
    if not sys.stderr.isatty() or log.isEnabledFor(logging.INFO):
        log.info("%s", text)
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        line.add_task(one_line(text))
        yield


@contextlib.contextmanager
def counting(name: str, total: int | None, done: Callable[[], int], *, every: float) -> Iterator[None]:
    """Shows how many documents are done, how many a second and the time left, for as long as the block takes.

    done: asked every so many seconds, and only where there is a terminal. In logs there is nothing.
    """
    if not sys.stderr.isatty() or log.isEnabledFor(logging.INFO):
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        task = line.add_task(name, total=total, speed="")
        started = time.monotonic()

        def draw() -> None:
            documents = done()
            rate = documents / max(time.monotonic() - started, 1e-9)
            line.update(task, completed=min(documents, total or documents), speed=f"{rate:,.0f} documents/s")

        with repeating(draw, every):
            yield
