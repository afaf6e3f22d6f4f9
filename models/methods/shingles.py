"""Texts -> hashes of their shingles, for many documents at once, in NumPy.

A shingle is a run of words or of characters. Hashes are polynomials modulo 2**64 over mixed code points, mixed once
more; they depend on nothing but the text, so they are the same on every machine.
"""

import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sluice.models.arrays.hashing import mix

_BASE = np.uint64(0x9E3779B97F4A7C15)
# What a code point is to a text: part of a word, white space, nothing, a digit, a word of its own.
LETTER, SPACE, DROPPED, DIGIT, ALONE = range(5)
# Scripts written without spaces: every character counts as a word.
UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
_IS_PUNCTUATION = np.array([chr(code) in string.punctuation for code in range(128)])


@dataclass(frozen=True)
class Shingling:
    """What a shingle is: `width` words or characters, of a text that was made simpler first.

    text: `simple` (lower case, no punctuation, no diacritics, every number a 0: what datatrove compares), `letters`
    (NFC, lower case, no ASCII punctuation, single spaces: SlimPajama), `plain` (as it is: NeMo Curator).
    shortest: texts of fewer characters, once simplified, have no shingles.
    """

    of: Literal["words", "characters"] = "words"
    width: int = 5
    text: Literal["simple", "letters", "plain"] = "simple"
    shortest: int = 0


def shingle(texts: Sequence[str], how: Shingling) -> tuple[np.ndarray, np.ndarray]:
    """(hashes uint64, in the texts' order; how many each text has, int64 [n]), repeats included.

    A text of fewer words or characters than the width has none.
    """
    codes, counts = _code_points([_spelled(text, how.text) for text in texts])
    if how.text != "plain":
        codes, counts = _cleaned(codes, counts, how.text)
    values = mix(codes.astype(np.uint64))
    lengths = counts
    if how.of == "words":
        values, counts = _words(codes, values, counts)
    found, sizes = _runs(values, counts, how.width)
    if how.shortest:
        short = lengths < how.shortest
        found, sizes = found[np.repeat(~short, sizes)], np.where(short, 0, sizes)
    return found, sizes


def _spelled(text: str, how: str) -> str:
    if how == "plain":
        return text
    text = text.lower()
    return text if text.isascii() else unicodedata.normalize("NFD" if how == "simple" else "NFC", text)


def _code_points(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    joined = "".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    return codes, np.fromiter((len(text) for text in texts), np.int64, len(texts))


class Kinds:
    """What code points are in a `simple` text; pages of 256 are looked up in Unicode's tables when first met."""

    def __init__(self) -> None:
        self.table = np.zeros(0x110000, np.uint8)
        self.known = np.zeros(0x1100, bool)

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """uint32 [n] -> uint8 [n]."""
        met = np.zeros(len(self.known), bool)
        met[codes >> np.uint32(8)] = True
        for page in np.flatnonzero(met & ~self.known).tolist():
            self.table[page << 8 : (page + 1) << 8] = [_kind(chr(code)) for code in range(page << 8, (page + 1) << 8)]
            self.known[page] = True
        return self.table[codes]


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if character.isspace():
        return SPACE
    if category[0] in "PSC" or category == "Mn":
        return DROPPED
    if category == "Nd":
        return DIGIT
    return ALONE if any(first <= ord(character) <= last for first, last in UNSPACED) else LETTER


_kinds = Kinds()


def _kinds_of_letters(codes: np.ndarray) -> np.ndarray:
    """As _kinds, of a `letters` text."""
    found = np.where(_kinds(codes) == SPACE, np.uint8(SPACE), np.uint8(LETTER))
    found[_IS_PUNCTUATION[np.minimum(codes, 127)]] = DROPPED
    return found


def _cleaned(codes: np.ndarray, counts: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Code points that stay: what is dropped is gone, white space is one space, a number is one 0."""
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    kind = _kinds(codes) if how == "simple" else _kinds_of_letters(codes)
    stays = kind != DROPPED
    codes, kind, owner = codes[stays], kind[stays], owner[stays]
    codes = np.where(kind == SPACE, np.uint32(32), np.where(kind == DIGIT, np.uint32(48), codes))
    again = np.zeros(len(codes), bool)
    again[1:] = ((kind[1:] == SPACE) | (kind[1:] == DIGIT)) & (kind[1:] == kind[:-1]) & (owner[1:] == owner[:-1])
    # White space at the ends says nothing.
    edge = np.zeros(len(codes), bool)
    if len(codes):
        edge[0] = edge[-1] = True
        edge[1:] |= owner[1:] != owner[:-1]
    codes, kind, owner, edge = codes[~again], kind[~again], owner[~again], edge[~again]
    last = np.r_[owner[1:] != owner[:-1], True] if len(owner) else edge
    stays = ~((kind == SPACE) & (edge | last))
    return codes[stays], np.bincount(owner[stays], minlength=len(counts))


def _words(codes: np.ndarray, values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hash of every word, words of each document)."""
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    kind = _kinds(codes)
    inside = kind != SPACE
    starts = inside.copy()
    # A word goes on where the character before is of the same document and neither stands for itself.
    goes_on = inside[:-1] & inside[1:] & (owner[1:] == owner[:-1]) & (kind[1:] != ALONE) & (kind[:-1] != ALONE)
    starts[1:] &= ~goes_on
    values, starts, owner = values[inside], starts[inside], owner[inside]
    if not len(values):
        return values, np.zeros(len(counts), np.int64)
    first = np.flatnonzero(starts)
    offset = np.arange(len(values)) - np.repeat(first, np.diff(np.r_[first, len(values)]))
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(int(offset.max()) + 1, _BASE))
        hashed = np.add.reduceat(values * powers[offset], first)
    return mix(hashed), np.bincount(owner[first], minlength=len(counts))


def _runs(values: np.ndarray, counts: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all runs of `width` values within a document, and how many each document has."""
    sizes = np.maximum(counts - width + 1, 0)
    if len(values) < width:
        return np.empty(0, np.uint64), np.zeros_like(counts)
    # Position by position from the left, twice as far each time: run(i, a + b) = run(i, a) * base**b + run(i + a, b).
    with np.errstate(over="ignore"):
        total, reach = None, 0
        block, span, power = values, 1, _BASE
        while True:
            if width & span:
                size = len(values) - (reach + span) + 1
                total = block if total is None else total[:size] * power + block[reach : reach + size]
                reach += span
            if span * 2 > width:
                break
            block = block[:-span] * power + block[span:]
            span, power = span * 2, power * power
    assert total is not None, width
    first = np.cumsum(counts) - counts
    starts = np.repeat(first - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
    return mix(total[starts]), sizes
