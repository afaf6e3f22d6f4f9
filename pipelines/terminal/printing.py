"""Results on a terminal: texts made harmless and short, and one way to print them or give them as JSON."""

import json
import sys
import unicodedata
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from sluice.pipelines.terminal.standard_streams import to_stdout

# Control, format (bidirectional overrides among them), surrogate, private use, unassigned; line separators.
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

WIDEST = 10_000  # columns of a page that is no terminal's


def printable(value: Any, limit: int | None = None, *, lines: bool = False) -> str:
    r"""Any text in characters that change nothing but where they stand, cut to `limit`.

    Runs of white space become one space, unless `lines` are kept; what a terminal might obey is written out, as \x1b.
    """
    text = str(value)
    if limit is not None:
        # Cut before the work: texts may be megabytes of anything.
        text = text[: 8 * limit + 8]
    parts = text.splitlines() if lines else [text]
    whole = "\n".join("".join(map(_escaped, _spaced(part, lines))) for part in parts)
    return whole if limit is None or len(whole) <= limit else whole[: max(limit - 1, 0)].rstrip() + "…"


def one_line(value: Any) -> str:
    """A message of one line, printable; spaces in names are kept."""
    return " ".join(printable(value, lines=True).splitlines())


def _spaced(text: str, lines: bool) -> str:
    return text.replace("\t", "    ").rstrip() if lines else " ".join(text.split())


def _escaped(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    return character.encode("unicode_escape").decode() if unicodedata.category(character) in UNSAFE else character


def cell(value: Any, limit: int | None = None, style: str = "") -> Text:
    """Text for a table or a page: no markup in it is obeyed."""
    return Text(printable(value, limit), style=style)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


def counted(count: int, noun: str) -> str:
    """1 file, 2,000 files."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def share(part: float | None, whole: float | None) -> str:
    return "-" if part is None or not whole else f"{part / whole:.1%}"


def size(count: float | None) -> str:
    """Bytes for people."""
    if count is None:
        return "-"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError(count)


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def emit(result: dict[str, Any], page: RenderableType, *, as_json: bool) -> None:
    """Print a result as JSON (ASCII only, whatever texts hold) or as a page."""
    if as_json:
        write(json.dumps(result, indent=1, allow_nan=False))
    else:
        show(page)


def write(text: str) -> None:
    """Print a text as it is. Raises OSError where that fails, but not where its reader has gone."""
    with to_stdout():
        print(text)


def show(page: RenderableType) -> None:
    """Print a page; where it goes into a file or another program, nothing in it is shortened or broken into lines."""
    terminal = sys.stdout.isatty()
    with to_stdout():
        _Console(soft_wrap=not terminal, width=None if terminal else WIDEST, highlight=False).print(_Harmless(page))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich's own ends the process, as failed
        raise BrokenPipeError


@dataclass(frozen=True)
class _Harmless:
    """A page in which no text is obeyed by a terminal, wherever it came from."""

    page: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.page, options):
            text, style, control = segment
            if control or (text.isascii() and text.replace("\n", "").isprintable()):
                yield segment
            else:
                yield Segment("\n".join("".join(map(_escaped, line)) for line in text.split("\n")), style)
