"""Words to WordPiece ids by the longest matches from their start, one word at a time, or many at once."""

from collections.abc import Iterable, Mapping

import numpy as np

from sluice.models.tokenizers.words.word_table import Buffer

_FEW = 20  # words that are cut faster one by one
_NOTHING = -1  # no entry starts the word
_LONGER = -2  # stands for entries of more than eight bytes, of which one may be the match
_POWERS = np.array([1 << 8 * byte for byte in range(8)], np.uint64)


class LongestMatch:
    """`whole`: ids of the entries that start a word; `rest`: of those that go on with one, without their mark."""

    def __init__(self, whole: Mapping[str, int], rest: Mapping[str, int], *, unknown: int, longest_word: int) -> None:
        self._unknown = unknown
        self._longest_word = longest_word
        self._entries = (whole, _longest(whole)), (rest, _longest(rest))
        self._starts = _Starts(whole), _Starts(rest)

    def cut(self, word: str, *, within: bool = False) -> list[int]:
        """The ids of one word: its longest first part in the vocabulary, then that of the rest, and so on; none for a
        word without such parts, or too long. within: it goes on with another.
        """
        found: list[int] = []
        start = 0 if len(word) <= self._longest_word else len(word)
        entries, longest = self._entries[within]
        while start < len(word):
            for end in range(min(len(word), start + longest.get(word[start : start + 3], 2)), start, -1):
                number = entries.get(word[start:end])
                if number is not None:
                    break
            else:
                return []
            found.append(number)
            start, (entries, longest) = end, self._entries[1]
        return found

    def cut_all(self, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids int32, counts int64 [n]): as `cut` does, all words' ids in a row, the unknown one where there are none;
        of words without zero bytes.
        """
        at, left = starts.copy(), lengths.copy()
        unknown = np.zeros(len(starts), bool)
        alone = lengths > self._longest_word  # for `cut`, which counts characters
        active = np.flatnonzero(~alone)
        owners, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        entries = self._starts[0]
        while len(active) > _FEW:
            ids, sizes = entries.longest(buffer.eights_of(at[active], left[active]))
            unknown[active[ids == _NOTHING]] = True
            alone[active[ids == _LONGER]] = True
            matched = ids >= 0
            active, sizes = active[matched], sizes[matched]
            owners.append(active)
            found.append(ids[matched])
            at[active] += sizes
            left[active] -= sizes
            entries, active = self._starts[1], active[left[active] > 0]
        alone[active] = True
        rests = np.flatnonzero(alone)
        words = buffer.words(at[rests], left[rests])
        cut = [self.cut(word.decode(), within=go_on) for word, go_on in zip(words, (at > starts)[rests].tolist())]
        counts = np.fromiter(map(len, cut), np.int64, len(cut))
        unknown[rests[counts == 0]] = True
        owners.append(np.repeat(rests, counts))
        found.append(np.fromiter((i for ids in cut for i in ids), np.int32, counts.sum()))
        owner, ids = np.concatenate(owners), np.concatenate(found)
        without = np.flatnonzero(unknown)
        if len(without):
            known = ~unknown[owner]
            owner = np.concatenate([owner[known], without])
            ids = np.concatenate([ids[known], np.full(len(without), self._unknown, np.int32)])
        return ids[np.argsort(owner, kind="stable")], np.bincount(owner, minlength=len(starts))


def _longest(entries: Iterable[str]) -> dict[str, int]:
    """How long the entries are that start with three characters, at most."""
    found: dict[str, int] = {}
    for entry in entries:
        found[entry[:3]] = max(len(entry), found.get(entry[:3], 2))
    return found


class _Starts:
    """The first eight bytes of a vocabulary's entries, in order.

    An entry that starts a word sorts before the word, and all between the two start with that entry too. So the longest
    such entry is the word's predecessor, or what starts that within the bytes that it shares with the word.
    """

    def __init__(self, entries: Mapping[str, int]) -> None:
        usable = {word.encode(): i for word, i in entries.items() if word and "\0" not in word}
        ids = {b"": _NOTHING} | usable | {word[:8]: _LONGER for word in usable if len(word) > 8}
        words = sorted(word for word in ids if len(word) <= 8)
        self._words = np.array([int.from_bytes(word.ljust(8, b"\0"), "big") for word in words], np.uint64)
        self._ids = np.array([ids[word] for word in words], np.int32)
        self._sizes = np.fromiter(map(len, words), np.int64, len(words))
        # [entry, bytes shared with it]: the longest entry that starts those
        self._starts = np.zeros((len(words), 9), np.int32)
        places = {word: place for place, word in enumerate(words)}
        for place, word in enumerate(words):
            for size in range(1, 9):
                self._starts[place, size] = places.get(word[:size], self._starts[place, size - 1])

    def longest(self, eights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids int32, sizes int64 [n]): the longest entries that start words, given by their first bytes."""
        words = eights.byteswap()
        before = np.searchsorted(self._words, words, side="right") - 1
        shared = 8 - np.searchsorted(_POWERS, words ^ self._words[before], side="right")
        found = self._starts[before, shared]
        return self._ids[found], self._sizes[found]
