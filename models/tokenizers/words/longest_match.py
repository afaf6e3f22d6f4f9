"""Words to WordPiece ids by the longest matches from their start, one word at a time, or many at once."""

from collections.abc import Iterable, Mapping

import numpy as np

from sluice.models.tokenizers.words.word_table import Buffer

# In place of an id: no entry starts the word; entries of more than eight bytes may, so the word is cut by itself.
_NOTHING, _LONGER = -1, -2
_POWERS = np.array([1 << 8 * byte for byte in range(8)], np.uint64)


class LongestMatch:
    """Cuts words by a vocabulary.

    whole: ids of the entries that may start a word; rest: ids of those that may go on with one, without their ##.
    unknown: the id of a word that cannot be cut; longest_word: in characters, a longer one cannot. few: so many words
    or fewer are cut one by one, which is faster then.

    >>> match = LongestMatch({"fox": 5}, {"es": 8}, unknown=0, longest_word=100)
    >>> match.cut("foxes"), match.cut("dog")
    ([5, 8], [])
    """

    def __init__(
        self, whole: Mapping[str, int], rest: Mapping[str, int], *, unknown: int, longest_word: int, few: int = 20
    ) -> None:
        self._few = few
        self._unknown = unknown
        self._longest_word = longest_word
        self._entries = (whole, _longest(whole)), (rest, _longest(rest))
        self._starts = _Starts(whole), _Starts(rest)

    def cut(self, word: str, *, within: bool = False) -> list[int]:
        """The ids of one word: its longest beginning in the vocabulary, then the longest of the rest, and so on.

        None for a word that cannot be cut so, or is too long. within: the word is the rest of one: ## entries start it.
        """
        ids: list[int] = []
        start = 0 if len(word) <= self._longest_word else len(word)
        entries, longest = self._entries[within]
        while start < len(word):
            for end in range(min(len(word), start + longest.get(word[start : start + 3], 2)), start, -1):
                number = entries.get(word[start:end])
                if number is not None:
                    break
            else:
                return []
            ids.append(number)
            start, (entries, longest) = end, self._entries[1]
        return ids

    def cut_all(self, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids int32, counts int64 [n]): every word cut as `cut` does it, with `unknown` for one that cannot be.

        counts[i] of the ids belong to word i. Words hold no zero bytes.

        All words go forward together, one entry each round. Those that entries of more than eight bytes may match, and
        the last few, are cut one by one.
        """
        at, left = starts.copy(), lengths.copy()
        unknown = np.zeros(len(starts), bool)
        # Lengths are in bytes here, the longest word is in characters: `cut` tells.
        alone = lengths > self._longest_word
        active = np.flatnonzero(~alone)
        owners, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        entries = self._starts[0]
        while len(active) > self._few:
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
    """By their first three characters, the length of the longest entry.

    >>> _longest(["fox", "foxes", "a"])
    {'fox': 5, 'a': 2}
    """
    lengths: dict[str, int] = {}
    for entry in entries:
        lengths[entry[:3]] = max(len(entry), lengths.get(entry[:3], 2))
    return lengths


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
        # starts[i, b]: of the entries that the first b bytes of entry i begin with, the longest.
        self._starts = np.zeros((len(words), 9), np.int32)
        places = {word: place for place, word in enumerate(words)}
        for place, word in enumerate(words):
            for size in range(1, 9):
                self._starts[place, size] = places.get(word[:size], self._starts[place, size - 1])

    def longest(self, eights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids int32, sizes int64 [n]): the longest entry that starts each word, given by its first eight bytes."""
        words = eights.byteswap()
        before = np.searchsorted(self._words, words, side="right") - 1
        shared = 8 - np.searchsorted(_POWERS, words ^ self._words[before], side="right")
        entry = self._starts[before, shared]
        return self._ids[entry], self._sizes[entry]
