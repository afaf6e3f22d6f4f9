"""Short words to numbers, many at once: a hash table in one array, searched and filled by NumPy alone.

The key of a word of at most LONGEST bytes is two numbers of 64 bits:

    keys[0]   bytes 0..7 of the word, the first in bits 0..7; zeros where the word has ended
    keys[1]   bytes 8..15, in the same way
"""

import numpy as np

LONGEST = 16
# A word may lie in so many slots, one after another; where other words have them all it is not kept.
PROBES = 4

# The golden ratio in 64 bits: multiplying by it spreads keys over the high bits (Knuth, TAOCP 3, 6.4).
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


class Buffer:
    """Bytes that hold words, of which any eight in a row can be read as one number.

    >>> buffer = Buffer(b"the fox")
    >>> buffer.keys(np.array([4]), np.array([3])).tolist() == [[int.from_bytes(b"fox", "little")], [0]]
    True
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._eights = np.ndarray(len(text) + 8, "<u8", buffer=text + bytes(16), strides=(1,))

    def keys(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """uint64 [2, n]: the keys of words; of a word above LONGEST bytes, that of its beginning."""
        keys = np.zeros((2, len(starts)), np.uint64)
        keys[0] = self.eights_of(starts, lengths)
        more = np.flatnonzero(lengths > 8)
        keys[1, more] = self.eights_of(starts[more] + 8, lengths[more] - 8)
        return keys

    def eights_of(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """uint64 [n]: the first eight bytes of words, the first byte in bits 0..7."""
        eights = self._eights[starts]
        eights &= _MASKS.take(lengths, mode="clip")
        return eights

    def holding(self, table: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """bool [n]: which words hold a byte for which `table`, bool [256], is true. No word is empty."""
        if not len(starts):
            return np.zeros(0, bool)
        first = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts - first, lengths)
        return np.logical_or.reduceat(table[np.frombuffer(self.text, np.uint8)[places]], first)

    def words(self, starts: np.ndarray, lengths: np.ndarray) -> list[bytes]:
        return [self.text[start : start + length] for start, length in zip(starts.tolist(), lengths.tolist())]


class WordTable:
    """Numbers above 0 of words, by their keys, uint64 [2, n], in 2 ** bits slots, of which at best half are used.

    One thread may add words while others look words up: a slot is filled once, and its number, which says that it is
    filled, is written last.
    """

    def __init__(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        # [slot] = key, key, number, unused: 32 bytes, so that a look-up reads one line of the processor's cache.
        self._slots = np.zeros((1 << bits, 4), np.uint64)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: the words' numbers; 0 for a word that is not in the table."""
        slots = self._first(keys)
        rows = self._slots.take(slots, axis=0)
        same = (rows[:, 0] == keys[0]) & (rows[:, 1] == keys[1])
        numbers = np.where(same, rows[:, 2], np.uint64(0)).view(np.int64)
        rest = np.flatnonzero(~same & (rows[:, 2] > 0))
        for probe in range(1, PROBES):
            if not len(rest):
                break
            rows = self._slots.take((slots[rest] + probe) & self._last, axis=0)
            same = (rows[:, 0] == keys[0, rest]) & (rows[:, 1] == keys[1, rest])
            numbers[rest[same]] = rows[same, 2]
            rest = rest[~same & (rows[:, 2] > 0)]
        return numbers

    def add(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        """Keep words with their numbers, int64 [n] above 0, where slots are free; words in the table keep theirs."""
        slots = self._first(keys)
        # A word of zero bytes alone cannot be told from an empty slot.
        rest = np.flatnonzero(keys.any(axis=0))
        for probe in range(PROBES):
            if not len(rest):
                break
            there = (slots[rest] + probe) & self._last
            free = np.flatnonzero(self._slots[there, 2] == 0)
            taken, first = np.unique(there[free], return_index=True)
            chosen = rest[free[first]]
            self._slots[taken, :2] = keys[:, chosen].T
            self._slots[taken, 2] = numbers[chosen]
            rest = rest[(self._slots[there, :2] != keys[:, rest].T).any(axis=1)]

    def _first(self, keys: np.ndarray) -> np.ndarray:
        return (_mixed(keys) >> self._shift).view(np.int64)


def distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first, which), int64: each key once, as keys[:, first], and keys[:, i] is keys[:, first[which[i]]].

    Now and then a key comes twice among the first ones: where another has the same mixed value.

    >>> first, which = distinct(np.array([[5, 3, 5], [0, 0, 0]], np.uint64))
    >>> len(first), bool(which[0] == which[2])
    (2, True)
    """
    order = np.argsort(_mixed(keys))
    ordered = keys[:, order]
    new = np.ones(len(order), bool)
    new[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    which = np.zeros(len(order), np.int64)
    which[order] = np.cumsum(new) - 1
    return order[new], which


def _mixed(keys: np.ndarray) -> np.ndarray:
    return (keys[0] ^ (keys[1] * _MIX)) * _MIX
