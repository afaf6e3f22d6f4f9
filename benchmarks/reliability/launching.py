"""Commands of `sluice` in forked children: imports are paid once, everything else is as on a command line."""

import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

LIMIT = 300  # seconds after which a command counts as hanging
HANGS = "hangs"
# What a curation imports as it goes; in the parent it costs every child nothing.
IMPORTED = (
    "apache_beam",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.sparse.csgraph",
    "sluice.pipelines.curate",
    "sluice.pipelines.main",
    "sluice.pipelines.report.report",
    "sluice.pipelines.run.runner",
)


@dataclass(frozen=True)
class Ended:
    """code: its exit code, negative for a signal, or `hangs`; peak: resident megabytes at most."""

    code: int | str
    output: str
    peak: float
    seconds: float

    @property
    def message(self) -> str:
        """The command's last line about itself, or the last of all."""
        lines = self.output.strip().splitlines() or [""]
        own = [line for line in lines if line.startswith("sluice:") and not line.startswith("sluice: changed")]
        return (own or lines)[-1]


class Launcher:
    """Starts commands; `folder` gets their output."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._started = 0
        for name in IMPORTED:
            importlib.import_module(name)

    def run(self, arguments: Sequence[str], *, before: Callable[[], None] = lambda: None) -> Ended:
        """A command from its beginning to its end. before: called in the child, to lower its limits."""
        return self.end(self.start(arguments, before=before))

    def start(self, arguments: Sequence[str], *, before: Callable[[], None] = lambda: None) -> "Child":
        self._started += 1
        log = self.folder / f"output-{self._started:05d}"
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process:
            return Child(process, log, time.monotonic())
        _work(arguments, log, before)

    def end(self, child: "Child") -> Ended:
        """Waits for a command, and stops one that hangs."""
        while True:
            process, status, usage = os.wait4(child.process, os.WNOHANG)
            seconds = time.monotonic() - child.started
            if process or seconds > LIMIT:
                break
            time.sleep(0.005)
        code: int | str = HANGS
        if process:
            code = os.waitstatus_to_exitcode(status)
        else:
            child.kill()
            _, _, usage = os.wait4(child.process, 0)
        output = child.log.read_text(errors="replace")
        child.log.unlink()
        return Ended(code, output, usage.ru_maxrss / 1024, seconds)


@dataclass(frozen=True)
class Child:
    process: int
    log: Path
    started: float

    def kill(self) -> None:
        """SIGKILL to the command and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)


def _work(arguments: Sequence[str], log: Path, before: Callable[[], None]) -> NoReturn:
    """The child's whole life; it never returns into the parent's code."""
    code = 99
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # The parent's objects may write elsewhere than to these two numbers: a test runner's do.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)
        before()
        from sluice.pipelines.main import main

        sys.argv = ["sluice", *arguments]
        code = main(list(arguments))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
