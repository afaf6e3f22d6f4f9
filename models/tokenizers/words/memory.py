"""The ids of words met before. A word's ids are packed into one number of 64 bits:

    bits  0..30   how many ids the word has
    bits 31..63   the id itself where there is one, else the place in `pieces` at which the ids begin

No number is 0, which stands for a word not met yet: places begin at 1, so a word without ids has one too.
"""

from typing import NamedTuple

import numpy as np

from sluice.models.tokenizers.words.word_table import WordTable

COUNT_BITS = 31


def pack(places: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """int64 [n]: numbers of words, from the places of their ids (of one id, the id) and how many there are.

    >>> pack(np.array([7]), np.array([1])).tolist() == [7 * 2**31 + 1]
    True
    """
    return places << COUNT_BITS | counts


def unpack(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(places, counts), int64 [n]: what `pack` was given.

    >>> unpack(pack(np.array([7, 40]), np.array([1, 3])))
    (array([ 7, 40]), array([1, 3]))
    """
    return numbers >> COUNT_BITS, numbers & ((1 << COUNT_BITS) - 1)


class Limits(NamedTuple):
    """How much is remembered. slot_bits: 2 ** of them are the slots of short words; 20 take 32 MB."""

    words: int = 400_000
    ids: int = 4_000_000
    slot_bits: int = 20


class Memory:
    """Numbers of words: `short` ones in a table, `long` ones by their bytes; and the ids that the numbers refer to."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.short = WordTable(limits.slot_bits)
        self.long: dict[bytes, int] = {}
        self.pieces = np.zeros(1 << 10, np.int32)
        self.words, self.filled = 0, 1

    @property
    def full(self) -> bool:
        return self.words > self.limits.words or self.filled > self.limits.ids

    def store(self, ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """int64 [n]: numbers of new words, which have counts[i] ids each, one word's after another's in `ids`.

        >>> numbers = Memory(Limits(slot_bits=1)).store(np.array([5, 8, 9]), np.array([1, 2]))
        >>> unpack(numbers)
        (array([5, 2]), array([1, 2]))
        """
        start, stop = self.filled, self.filled + len(ids)
        if stop > len(self.pieces):
            # A new array, as other threads may be reading this one.
            self.pieces = np.concatenate([self.pieces, np.zeros(2 * stop - len(self.pieces), np.int32)])
        self.pieces[start:stop] = ids
        self.words, self.filled = self.words + len(counts), stop
        places = start + np.cumsum(counts) - counts
        single = counts == 1
        places[single] = self.pieces[places[single]]
        return pack(places, counts)
