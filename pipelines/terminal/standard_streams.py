"""Standard streams as whoever starts a command left them: closed, full, without a reader, or of few characters."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any


def make_usable() -> None:
    """Services close streams and locales know few characters: neither may stop a command.

    A closed stream reads and writes nothing from now on; what an encoding does not have is written out, as \\u2026.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        _take(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        # A stream that somebody has put in place, over a file in the middle of which it is, may not take it.
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="backslashreplace")


def _take(number: int) -> None:
    """A file that is opened later must not get the number of a stream: what a library prints would end in it."""
    try:
        os.fstat(number)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != number:
            os.dup2(nothing, number)
            os.close(nothing)


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Around what prints results. A reader that has seen enough, as `head`, is no error; raises OSError for others."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)
    except OSError as error:
        _drop(sys.stdout)
        raise OSError(f"the results cannot be written to standard output: {error.strerror or error}") from error


def to_stderr(line: str) -> None:
    """Print a line for people; where nobody can read it, it is no error that it is not read."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
    flush_stderr()


def flush_stderr() -> None:
    try:
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def _drop(stream: Any) -> None:
    """What a stream still holds goes nowhere: at exit Python would try to write it again, and fail again."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
