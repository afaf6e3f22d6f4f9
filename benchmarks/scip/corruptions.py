"""Synthetic corruptions of Python code, the idea of SCIP (arXiv 2312.02418): what low-quality code may look like.

`syntax` corruptions mostly make a file that does not parse or has unknown names, `content` ones a file that does
something else. The paper's own list is not public; these are of its two families. The `control` is an edit that
changes nothing that a program does: what it moves, any edit moves.
"""

import hashlib
import io
import keyword
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

SWAPS = {"+": "-", "-": "+", "*": "/", "/": "*", "<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "!=", "!=": "=="}
SWAPS |= {"and": "or", "or": "and", "+=": "-=", "-=": "+="}
CONDITIONS = {"if", "elif", "while"}
LAYOUT = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENCODING}


@dataclass(frozen=True)
class Edit:
    """Characters start..stop-1 become `text`."""

    start: int
    stop: int
    text: str


@dataclass(frozen=True)
class Token:
    """A token of Python; `first`: of its logical line; `last`: before the line's end."""

    kind: int
    text: str
    start: int
    stop: int
    first: bool
    last: bool


def read_tokens(source: str) -> list[Token]:
    """The tokens of a file but for its layout and comments, places in characters. Raises ValueError for no Python."""
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found: list[Token] = []
    first = True
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NEWLINE:
                first = True
                if found:
                    found[-1] = Token(**(vars(found[-1]) | {"last": True}))
            if token.type in LAYOUT or token.type == tokenize.ENDMARKER:
                continue
            start, stop = (starts[row - 1] + column for row, column in (token.start, token.end))
            found.append(Token(token.type, token.string, start, stop, first, False))
            first = False
    except (tokenize.TokenError, SyntaxError, IndexError) as error:
        raise ValueError(f"not Python: {error}") from error
    return found


def closing_brackets(tokens: list[Token]) -> Iterator[Edit]:
    yield from (Edit(one.start, one.stop, "") for one in tokens if one.text in {")", "]", "}"})


def block_colons(tokens: list[Token]) -> Iterator[Edit]:
    yield from (Edit(one.start, one.stop, "") for one in tokens if one.text == ":" and one.last)


def indentation(tokens: list[Token]) -> Iterator[Edit]:
    yield from (Edit(one.start, one.start, " ") for one in tokens if one.first)


def renamed_variables(tokens: list[Token]) -> Iterator[Edit]:
    """Names that the file has elsewhere too, so that the renamed one is unknown."""
    names = [one for one in tokens if one.kind == tokenize.NAME and not keyword.iskeyword(one.text)]
    counted = Counter(one.text for one in names)
    yield from (Edit(one.stop, one.stop, "_0") for one in names if counted[one.text] > 1)


def conditions(tokens: list[Token]) -> Iterator[Edit]:
    """Conditions of statements become True."""
    for number, head in enumerate(tokens):
        if not (head.first and head.text in CONDITIONS):
            continue
        depth = 0
        for token in tokens[number + 1 :]:
            depth += (token.text in {"(", "[", "{"}) - (token.text in {")", "]", "}"})
            if token.first:
                break
            if token.text == ":" and depth == 0:
                yield Edit(head.stop, token.start, " True")
                break


def numbers(tokens: list[Token]) -> Iterator[Edit]:
    """Whole numbers grow by one."""
    for one in tokens:
        if one.kind == tokenize.NUMBER and one.text.isdecimal() and len(one.text) < 20:
            yield Edit(one.start, one.stop, str(int(one.text) + 1))


def operators(tokens: list[Token]) -> Iterator[Edit]:
    yield from (Edit(one.start, one.stop, SWAPS[one.text]) for one in tokens if one.text in SWAPS)


def quotes(tokens: list[Token]) -> Iterator[Edit]:
    """Strings in the other kind of quotes."""
    for one in tokens:
        mark, inside = one.text[:1], one.text[1:-1]
        if one.kind == tokenize.STRING and mark in "'\"" and inside and not set(inside) & {"'", '"', "\\"}:
            other = '"' if mark == "'" else "'"
            yield Edit(one.start, one.stop, other + inside + other)


KINDS: dict[str, tuple[str, Callable[[list[Token]], Iterator[Edit]]]] = {
    "closing brackets removed": ("syntax", closing_brackets),
    "block colons removed": ("syntax", block_colons),
    "lines misindented": ("syntax", indentation),
    "variables renamed": ("syntax", renamed_variables),
    "conditions made true": ("content", conditions),
    "numbers off by one": ("content", numbers),
    "operators swapped": ("content", operators),
    "other quotes": ("control", quotes),
}


def corrupt(source: str, kind: str, *, share: float, window: int, name: str, seed: int) -> str | None:
    """The source with a share of the places that a kind of KINDS knows changed, at least one; None without any place.

    window: only places in the first so many characters; name and seed decide which. Raises ValueError for no Python.
    """
    edits = [edit for edit in KINDS[kind][1](read_tokens(source)) if edit.stop <= window]
    if not edits:
        return None
    digest = hashlib.blake2b(f"{seed}:{kind}:{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    chosen = Random(int.from_bytes(digest, "big")).sample(edits, max(round(share * len(edits)), 1))
    for edit in sorted(chosen, key=lambda edit: -edit.start):
        source = source[: edit.start] + edit.text + source[edit.stop :]
    return source


def without_header(source: str) -> str:
    """The source from its first line that is neither empty nor a comment: licences are left out."""
    lines = source.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            return "".join(lines[number:])
    return ""
