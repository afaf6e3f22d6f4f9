"""Two texts beside each other, with the words that differ marked."""

import difflib
import re
from typing import NamedTuple

from sluice.pipelines.terminal.printing import printable

# Comparing takes time with the product of the words; a reader looks at no more.
MOST_WORDS, MOST_CHARACTERS = 300, 2000


class Piece(NamedTuple):
    """Part of a text; other: the other text has no such words in this place."""

    text: str
    other: bool


def marked(text: str, beside: str) -> list[Piece]:
    """A text in pieces, those that differ from another one marked; characters that are not seen are written out.

    >>> marked("a red fox", "a grey fox")
    [Piece(text='a ', other=False), Piece(text='red', other=True), Piece(text=' fox', other=False)]
    """
    words, others = _words(text), _words(beside)
    pieces: list[Piece] = []
    for kind, start, stop, _, _ in difflib.SequenceMatcher(None, words, others, autojunk=False).get_opcodes():
        if stop > start:
            pieces.append(Piece("".join(words[start:stop]), kind != "equal"))
    return pieces


def shown(text: str) -> str:
    """The beginning of a text as a page shows it."""
    whole = printable(text[:MOST_CHARACTERS], lines=True)
    return whole + "…" if len(text) > MOST_CHARACTERS else whole


def _words(text: str) -> list[str]:
    """Words and what stands between them, in turn."""
    return re.findall(r"\s+|\w+|[^\w\s]", shown(text))[:MOST_WORDS]
