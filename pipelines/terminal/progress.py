"""What a long command is at: a moving line on a terminal, a line of the log elsewhere."""

import contextlib
import logging
import sys
from collections.abc import Iterator

from sluice.pipelines.terminal.printing import one_line

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
