"""Short words to numbers, many at once: a hash table in one array, searched and filled by NumPy alone.

A word of at most LONGEST bytes is two numbers of 8 bytes, its key; zero bytes at its end do not count.
"""

import numpy as np

LONGEST = 16
PROBES = 4  # slots that a word may lie in; one that finds them taken is not kept

_MIX = np.uint64(0x9E3779B97F4A7C15)
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


class Buffer:
    """Bytes in which words start and stop; reading eight of them from anywhere."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._eights = np.ndarray(len(text) + 8, "<u8", buffer=text + bytes(16), strides=(1,))

    def keys(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """uint64 [2, n]: the keys of words, of the first LONGEST bytes of longer ones."""
        keys = np.zeros((2, len(starts)), np.uint64)
        keys[0] = self.eights_of(starts, lengths)
        more = np.flatnonzero(lengths > 8)
        keys[1, more] = self.eights_of(starts[more] + 8, lengths[more] - 8)
        return keys

    def eights_of(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """uint64 [n]: the first eight bytes of words, the first of them lowest."""
        found = self._eights[starts]
        found &= _MASKS.take(lengths, mode="clip")
        return found

    def holding(self, table: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """bool [n]: which words, none of them empty, hold a byte that the table, bool [256], has."""
        if not len(starts):
            return np.zeros(0, bool)
        first = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts - first, lengths)
        return np.logical_or.reduceat(table[np.frombuffer(self.text, np.uint8)[places]], first)

    def words(self, starts: np.ndarray, lengths: np.ndarray) -> list[bytes]:
        return [self.text[start : start + length] for start, length in zip(starts.tolist(), lengths.tolist())]


class WordTable:
    """Numbers above 0 of words, given by their keys, uint64 [2, n], in 2 ** bits slots, at best half of them used.

    One thread may add while others look up: a slot is filled once, its number last.
    """

    def __init__(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        # a word's key and its number, so that one line of the cache is read
        self._slots = np.zeros((1 << bits, 4), np.uint64)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: the words' numbers, 0 for those that are not there."""
        slots = self._first(keys)
        rows = self._slots.take(slots, axis=0)
        same = (rows[:, 0] == keys[0]) & (rows[:, 1] == keys[1])
        found = np.where(same, rows[:, 2], np.uint64(0)).view(np.int64)
        rest = np.flatnonzero(~same & (rows[:, 2] > 0))
        for probe in range(1, PROBES):
            if not len(rest):
                break
            rows = self._slots.take((slots[rest] + probe) & self._last, axis=0)
            same = (rows[:, 0] == keys[0, rest]) & (rows[:, 1] == keys[1, rest])
            found[rest[same]] = rows[same, 2]
            rest = rest[~same & (rows[:, 2] > 0)]
        return found

    def add(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        """Keep words with their numbers, int64 [n] above 0, where there is room; a word that is there keeps its own."""
        slots = self._first(keys)
        rest = np.flatnonzero(keys.any(axis=0))  # an empty slot has the key 0
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
    """(first, which): keys[:, i] of keys [2, n] equals keys[:, first[which[i]]]; firsts that are equal are rare."""
    order = np.argsort(_mixed(keys))
    ordered = keys[:, order]
    new = np.ones(len(order), bool)
    new[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    which = np.zeros(len(order), np.int64)
    which[order] = np.cumsum(new) - 1
    return order[new], which


def _mixed(keys: np.ndarray) -> np.ndarray:
    return (keys[0] ^ (keys[1] * _MIX)) * _MIX
