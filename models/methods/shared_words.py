"""Word n-grams that texts share with benchmark items, as GPT-3's decontamination looks for them (arXiv 2005.14165, C).

Words are runs of letters and digits in lower case (NFKC, casefolded), so case, punctuation and white space make no
difference, nor do characters that nobody sees. In scripts without spaces every letter is a word, as minhash has it. An
item shorter than n words is looked for as a whole if it has at least `shortest` words.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from sluice.models.methods.shingles import UNSPACED

_UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED)
ALONE = re.compile(f"[{_UNSPACED}]")
WORD = re.compile(r"[^\W_]+")
# Slower, so only for texts that have letters of such scripts.
WORD_OR_LETTER = re.compile(rf"(?![\W_])[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
# Unicode's Default_Ignorable_Code_Point, but for fillers that are letters: soft hyphens, joiners, marks of direction,
# variation selectors. Web pages put them inside words, where they would make two words of one.
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_BASE = np.uint64(0x9E3779B97F4A7C15)
# Words whose numbers are remembered; more are forgotten together.
REMEMBERED = 1 << 20


def words(text: str) -> list[str]:
    """The normalised words of a text.

    >>> words("Soft\u00adly, IT’S 東京")
    ['softly', 'it', 's', '東', '京']
    """
    if text.isascii():
        return WORD.findall(text.lower())
    plain = unicodedata.normalize("NFKC", UNSEEN.sub("", text)).casefold()
    return (WORD_OR_LETTER if ALONE.search(plain) else WORD).findall(plain)


def digest(run: Sequence[str]) -> bytes:
    """16 bytes that stand for consecutive words."""
    return hashlib.blake2b(" ".join(run).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Numbers:
    """A number for each word, the same everywhere: 8 bytes of its hash."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, run: Sequence[str]) -> np.ndarray:
        """uint64 [n]."""
        known = self._known
        if len(known) > REMEMBERED:
            known.clear()
        found = np.empty(len(run), np.uint64)
        for place, word in enumerate(run):
            number = known.get(word)
            if number is None:
                data = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                number = known[word] = int.from_bytes(data, "little")
            found[place] = number
        return found


def rolling(numbers: np.ndarray, n: int) -> np.ndarray:
    """uint64 [m] -> uint64 [m - n + 1]: a hash of each n consecutive numbers (a polynomial modulo 2**64)."""
    count = len(numbers) - n + 1
    if count < 1:
        return np.empty(0, np.uint64)
    found = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(n):
            found = found * _BASE + numbers[place : place + count]
    return found


class Index:
    """The n-grams of benchmark items (their texts); `skipped` are those too short to be looked for."""

    def __init__(self, texts: Sequence[str], *, n: int, shortest: int):
        self.skipped: list[int] = []
        self._numbers = Numbers()
        self._items: dict[bytes, list[int]] = {}
        hashes: dict[int, list[np.ndarray]] = {}
        for item, text in enumerate(texts):
            found = words(text)
            length = min(n, len(found))
            if length < shortest:
                self.skipped.append(item)
                continue
            hashes.setdefault(length, []).append(rolling(self._numbers.of(found), length))
            for start in range(len(found) - length + 1):
                held = self._items.setdefault(digest(found[start : start + length]), [])
                if not held or held[-1] != item:
                    held.append(item)
        self._hashes = {length: np.unique(np.concatenate(blocks)) for length, blocks in hashes.items()}

    def matches(self, text: str) -> list[int]:
        """The items that share an n-gram with a text, in order."""
        found = words(text)
        numbers = self._numbers.of(found)
        items: set[int] = set()
        for length, known in self._hashes.items():
            hashes = rolling(numbers, length)
            near = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
            for start in np.flatnonzero(known[near] == hashes):
                # A hash may agree by chance; these 16 bytes do not.
                items.update(self._items.get(digest(found[start : start + length]), ()))
        return sorted(items)
