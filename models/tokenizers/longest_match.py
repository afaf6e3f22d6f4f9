"""Words to WordPiece ids by the longest matches from their start, one word at a time, or many at once."""

from collections.abc import Iterable, Mapping

import numpy as np

from sluice.models.tokenizers.word_table import LONGEST, Buffer

_FEW = 20  # words that are cut faster one by one
_LONGER = -1  # stands for entries longer than LONGEST, of which one may be the match


class LongestMatch:
    """`whole`: ids of the entries that start a word; `rest`: of those that go on with one, without their mark."""

    def __init__(self, whole: Mapping[str, int], rest: Mapping[str, int], *, unknown: int, longest_word: int) -> None:
        self._unknown = unknown
        self._longest_word = longest_word
        self._entries = (whole, _longest(whole)), (rest, _longest(rest))
        self._sorted = _Sorted(whole), _Sorted(rest)

    def cut(self, word: str) -> list[int]:
        """The ids of one word: its longest first part in the vocabulary, then that of the rest, and so on."""
        if len(word) > self._longest_word:
            return [self._unknown]
        found: list[int] = []
        start, (entries, longest) = 0, self._entries[0]
        while start < len(word):
            for end in range(min(len(word), start + longest.get(word[start : start + 3], 2)), start, -1):
                number = entries.get(word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start, (entries, longest) = end, self._entries[1]
        return found

    def cut_all(self, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids int32, counts int64 [n]): as `cut` does, all words' ids in a row; of words without zero bytes."""
        at, left = starts.copy(), lengths.copy()
        alone = lengths > self._longest_word  # words for `cut`, which counts characters
        none = np.zeros(len(starts), bool)
        entries, active = self._sorted[0], np.flatnonzero(~alone)
        owners, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        while len(active) > _FEW:
            ids, sizes = entries.longest(buffer.keys(at[active], left[active]))
            owners.append(active)
            found.append(ids)
            none[active[sizes == 0]] = True
            alone[active[ids == _LONGER]] = True
            at[active] += sizes
            left[active] -= sizes
            entries, active = self._sorted[1], active[~(alone | none)[active] & (left[active] > 0)]
        alone[active] = True
        words = buffer.words(starts[alone], lengths[alone])
        known = {word: self.cut(word.decode()) for word in set(words)}
        cut = [known[word] for word in words]
        owner, ids = np.concatenate(owners), np.concatenate(found)
        regular = ~(alone | none)[owner]
        unknown = np.flatnonzero(none)
        owner = np.concatenate([owner[regular], unknown, np.repeat(np.flatnonzero(alone), list(map(len, cut)))])
        ids = np.concatenate(
            [
                ids[regular],
                np.full(len(unknown), self._unknown, np.int32),
                np.array([i for word in cut for i in word], np.int32),
            ]
        )
        return ids[np.argsort(owner, kind="stable")], np.bincount(owner, minlength=len(starts))


def _longest(entries: Iterable[str]) -> dict[str, int]:
    """How long the entries are that start with three characters, at most."""
    found: dict[str, int] = {}
    for entry in entries:
        found[entry[:3]] = max(len(entry), found.get(entry[:3], 2))
    return found


class _Sorted:
    """The entries of a vocabulary in the order of their bytes; of long ones the first LONGEST bytes.

    An entry that starts a word sorts before the word, and all between the two start with that entry too. So the longest
    such entry is the word's predecessor, or what starts that within the bytes that it shares with the word.
    """

    def __init__(self, entries: Mapping[str, int]) -> None:
        usable = {word.encode(): i for word, i in entries.items() if "\0" not in word}
        ids = {word: i for word, i in usable.items() if 0 < len(word) <= LONGEST}
        ids |= {word[:LONGEST]: _LONGER for word in usable if len(word) > LONGEST}
        words = [b"", *sorted(ids)]
        self._words = np.array(words, f"S{LONGEST}")
        self._keys = np.ascontiguousarray(self._words.view("<u8").reshape(-1, 2).T)
        self._ids = np.array([0, *(ids[word] for word in words[1:])], np.int32)
        self._sizes = np.fromiter(map(len, words), np.int64, len(words))
        # [entry, bytes shared with it]: the longest entry that starts those
        self._starts = np.zeros((len(words), LONGEST + 1), np.int32)
        places = {word: place for place, word in enumerate(words)}
        for place, word in enumerate(words):
            longest = 0
            for size in range(1, LONGEST + 1):
                longest = places.get(word[:size], longest)
                self._starts[place, size] = longest

    def longest(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids int32, sizes int64 [n]): the longest entries that start words, given by their keys; no entry: size 0."""
        words = np.ascontiguousarray(keys.T).view(self._words.dtype)[:, 0]
        before = np.searchsorted(self._words, words, side="right") - 1
        different = np.ascontiguousarray((keys ^ self._keys[:, before]).T).view(np.uint8) != 0
        shared = np.where(different.any(axis=1), different.argmax(axis=1), LONGEST)
        found = self._starts[before, shared]
        return self._ids[found], self._sizes[found]
