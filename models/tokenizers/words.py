"""BERT's WordPiece by looking up words: for token tables, whose only cost is the tokenizer.

Text is mostly words seen before, and BERT cuts each word alone. So a batch of texts is split into words as one array of
bytes (a change of character class starts a word; the blanks after a word stay with it, which saves moving the rest),
Arrow finds the distinct ones, and their ids come from a memory of at most MOST_WORDS words. A new word is cut by the
longest matches from its start, as in the reference. The characters' rules are those of wordpiece.py.
"""

import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sluice.models.tokenizers import wordpiece
from sluice.models.tokenizers.threads import by_batches
from sluice.models.tokenizers.wordpiece import NOT_PLAIN, SPECIAL_LETTER, Characters, Rules

FILES = ("tokenizer.json",)
MOST_WORDS = 400_000  # about 60 MB
LONGEST_KNOWN = 64  # bytes of a word that is remembered

_REMOVED, _BLANK, _ALONE, _LETTER = range(4)
_CONTROL = bytes(code for code in (*range(32), 127) if chr(code) not in "\t\n\r")
_NOT_CONTROL = bytes(code for code in range(256) if code not in _CONTROL)


# Words of at most 16 bytes are found without Python, by two 8-byte numbers.
_SLOT_BITS = 19
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


def _class(code: int) -> int:
    if chr(code) in " \t\n\r":
        return _BLANK
    return _LETTER if code >= 128 or chr(code).isalnum() else _ALONE


_CLASSES = bytes(map(_class, range(256)))
_BLANKS = bytes(32 if code in b"\t\n\r" else code for code in range(256))
_LOWER_CASE = bytes(code + 32 if 65 <= code <= 90 else code for code in _BLANKS)


class Flat(NamedTuple):
    """Token ids of several texts: those of text i are ids[ends[i - 1] : ends[i]]. int32 and int64."""

    ids: np.ndarray
    ends: np.ndarray


class _Memory:
    """Words known and their numbers; the ids of word i are pieces[starts[i] : starts[i] + counts[i]]."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.starts = np.zeros(1 << 10, np.int64)
        self.counts = np.zeros(1 << 10, np.int64)
        self.pieces = np.zeros(1 << 10, np.int32)
        # two numbers of a word and where its ids are, 32 * start + count: of each word one line of the cache is read
        self.slots = np.zeros((1 << _SLOT_BITS, 4), np.uint64)
        self.words = self.filled = 0

    def add(self, words: Sequence[Sequence[int]]) -> None:
        """Ids of more words; arrays handed out before stay as they were where they were filled."""
        counts = np.fromiter(map(len, words), np.int64, len(words))
        ends = self.filled + np.cumsum(counts)
        total = int(ends[-1])
        after = self.words + len(words)
        self.starts, self.counts = _room(self.starts, after), _room(self.counts, after)
        self.pieces = _room(self.pieces, total)
        self.starts[self.words : after], self.counts[self.words : after] = ends - counts, counts
        self.pieces[self.filled : total] = [i for word in words for i in word]
        self.words, self.filled = after, total


def _room(array: np.ndarray, size: int) -> np.ndarray:
    """The array, or a copy with room for `size` and as much again."""
    return array if len(array) >= size else np.concatenate([array, np.zeros(2 * size - len(array), array.dtype)])


class WordTokenizer:
    """Ids equal to Hugging Face's tokenizers; texts get no special tokens, those written out in a text are tokens."""

    def __init__(self, vocabulary: Mapping[str, int], *, rules: Rules, special: Sequence[str]) -> None:
        self.rules = rules
        self.before: list[int] = []
        self.after: list[int] = []
        self.size = max(vocabulary.values()) + 1
        self._unknown = vocabulary["[UNK]"]
        # private-use characters of a text are removed: an entry that holds one is never met
        usable = {word: i for word, i in vocabulary.items() if not any(map(_is_private, word))}
        self._whole = {word: i for word, i in usable.items() if not word.startswith("##")}
        self._rest = {word[2:]: i for word, i in usable.items() if word.startswith("##") and len(word) > 2}
        self._characters = Characters(rules)
        self._split = re.compile("(" + "|".join(map(re.escape, special)) + ")")
        self._special_starts = sorted({token[0] for token in special})
        self._special = {token: chr(SPECIAL_LETTER + i) for i, token in enumerate(special)}
        self._special_ids = {self._special[token]: vocabulary[token] for token in special}
        self._translation = _LOWER_CASE if rules.lower_case else _BLANKS
        self._lock = threading.Lock()
        self._longest_entry = max(map(len, usable), default=1)
        self._memory = self._new_memory()

    def recipe(self) -> dict[str, Any]:
        """JSON-able: everything but the vocabulary that decides the ids."""
        return {"kind": "wordpiece", **self.rules._asdict()}

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each whole text."""
        found = list(by_batches(lambda batch: np.diff(self.flat(batch).ends, prepend=0), texts))
        return np.concatenate(found).astype(np.int32) if found else np.zeros(0, np.int32)

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, special: bool = True
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """int32 ids of each text, at most max_tokens; bool [n]: whether any were cut off."""
        rows: list[np.ndarray] = []
        for ids, ends in by_batches(self.flat, texts):
            rows += np.split(ids, ends[:-1])
        return [row[:max_tokens] for row in rows], np.array([len(row) > max_tokens for row in rows], bool)

    def flat(self, texts: Sequence[str]) -> Flat:
        """All ids of the texts, on one core; may be called from several threads at once."""
        if not texts:
            return Flat(np.zeros(0, np.int32), np.zeros(0, np.int64))
        joined, first, last, ends = self._words([self._clean(text) for text in texts])
        starts, lengths, pieces = self._known(joined, first, last)
        stops = np.cumsum(lengths)
        source = np.repeat(starts - (stops - lengths), lengths)
        ids = pieces[source + np.arange(len(source))]
        return Flat(ids, np.concatenate([np.zeros(1, np.int64), stops])[ends])

    def _clean(self, text: str) -> str:
        """The text with its characters beyond ASCII normalised and special tokens written out replaced by letters."""
        if any(start in text for start in self._special_starts):
            parts = self._split.split(text)
            if len(parts) > 1:
                return " ".join(self._special.get(part) or self._normalise(part) for part in parts)
        return text if text.isascii() else self._normalise(text)

    def _normalise(self, text: str) -> str:
        return NOT_PLAIN.sub(lambda match: match.group().translate(self._characters), text)

    def _words(self, texts: list[str]) -> tuple[bytes, np.ndarray, np.ndarray, np.ndarray]:
        """(bytes, starts, stops, ends): the words of the texts are bytes[start:stop], int64; text i has those before
        ends[i] that the texts before it do not have.
        """
        joined = "\n".join(texts).encode()
        if joined.translate(None, _NOT_CONTROL):
            texts = [self._normalise(text) if text.isascii() else text for text in texts]
            joined = "\n".join(texts).encode()
        sizes = (len(text) if text.isascii() else len(text.encode()) for text in texts)
        text_ends = np.cumsum(np.fromiter(sizes, np.int64, len(texts)) + 1)
        classes = np.frombuffer(b"%c%b%c" % (_BLANK, joined.translate(_CLASSES), _BLANK), np.uint8)
        letters, alone = classes == _LETTER, classes[1:-1] == _ALONE
        starts = np.flatnonzero((letters[1:-1] > letters[:-2]) | alone)
        stops = np.flatnonzero((letters[1:-1] > letters[2:]) | alone) + 1
        return joined.translate(self._translation), starts, stops, np.searchsorted(starts, text_ends)

    def _known(self, joined: bytes, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(starts [n], counts [n], pieces): the ids of word i are pieces[starts[i] : starts[i] + counts[i]]."""
        keys, short = _keys(joined, starts, stops)
        slots = ((keys[0] ^ (keys[1] * _MIX)) * _MIX >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
        with self._lock:
            if self._memory.words > MOST_WORDS:
                self._memory = self._new_memory()
            memory = self._memory
            rows = memory.slots.take(slots, axis=0)
            values = rows[:, 2].astype(np.int64)
            known = short & (rows[:, 0] == keys[0]) & (rows[:, 1] == keys[1]) & (values > 0)
            first, counts = values >> 5, values & 31
            rest = np.flatnonzero(~known)
            if len(rest):
                words = [joined[a:b] for a, b in zip(starts[rest].tolist(), stops[rest].tolist())]
                found = list(map(memory.numbers.get, words))
                if None in found:
                    self._learn(words, found)
                numbers = np.array(found, np.int64)
                first[rest], counts[rest] = memory.starts[numbers], memory.counts[numbers]
                # the first word that comes to a slot stays there
                free = rest[short[rest] & (values[rest] == 0)]
                free = free[np.unique(slots[free], return_index=True)[1]]
                memory.slots[slots[free], :2] = keys[:, free].T
                memory.slots[slots[free], 2] = first[free] << 5 | counts[free]
            return first, counts, memory.pieces

    def _learn(self, words: list[bytes], found: list[int | None]) -> None:
        """Fill up `found`, the numbers of the words, and remember those that are not too long."""
        memory = self._memory
        numbers = memory.numbers
        new: list[list[int]] = []
        for place, number in enumerate(found):
            if number is not None:
                continue
            word = words[place]
            number = numbers.get(word)  # it may be there twice
            if number is None:
                number = memory.words + len(new)
                new.append(self._cut(word.decode()))
                if len(word) <= LONGEST_KNOWN:
                    numbers[word] = number
            found[place] = number
        if new:
            memory.add(new)

    def _cut(self, word: str) -> list[int]:
        """The ids of one word: its longest first part in the vocabulary, then that of the rest, and so on."""
        if len(word) > self.rules.longest_word:
            return [self._unknown]
        found: list[int] = []
        start, entries = 0, self._whole
        while start < len(word):
            for end in range(min(len(word), start + self._longest_entry), start, -1):
                number = entries.get(word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start, entries = end, self._rest
        return found

    def _new_memory(self) -> _Memory:
        memory = _Memory()
        memory.numbers.update((letter.encode(), i) for i, letter in enumerate(self._special_ids))
        if self._special_ids:
            memory.add([[number] for number in self._special_ids.values()])
        return memory


def _keys(joined: bytes, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint64 [2, n]: the words' bytes where they are at most 16, zero after their ends; bool [n]: whether they are."""
    lengths = stops - starts
    eights = np.ndarray(len(joined) + 8, "<u8", buffer=joined + bytes(16), strides=(1,))
    short = lengths <= 16
    keys = np.stack([eights[starts], eights[np.minimum(starts + 8, len(joined))]])
    keys[0] &= _MASKS[np.minimum(lengths, 8)]
    keys[1] &= _MASKS[np.clip(lengths - 8, 0, 8)]
    return keys, short


def suits(directory: str) -> bool:
    """Whether a directory's tokenizer has BERT's rules, whatever special tokens it puts around a text."""
    path = Path(directory) / "tokenizer.json"
    return path.is_file() and not wordpiece.differences(path, ends=False)


def load(directory: str) -> WordTokenizer:
    """The tokenizer of a directory that `suits`."""
    vocabulary, rules, special = wordpiece.read_vocabulary(Path(directory) / "tokenizer.json")
    return WordTokenizer(vocabulary, rules=rules, special=special)


def _is_private(character: str) -> bool:
    return unicodedata.category(character) == "Co"
