"""BERT's WordPiece by looking up words: for token tables, whose only cost is the tokenizer.

Text is mostly words seen before, and BERT cuts each word alone. So a batch of texts is split into words as one array of
bytes, where the class of its characters changes, and their ids come from a memory of at most MOST_WORDS words, of all
words at once. New words are cut by the longest matches from their start, as in the reference, all at once too. What is
not plain ASCII stays in its word until that is new: the rules for characters, those of wordpiece.py, look at no more
than one character.
"""

import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sluice.models.arrays.parallel import by_batches
from sluice.models.tokenizers import bert_files
from sluice.models.tokenizers.bert_files import Rules
from sluice.models.tokenizers.wordpiece import NOT_PLAIN, SPECIAL_LETTER, Characters
from sluice.models.tokenizers.words.longest_match import LongestMatch
from sluice.models.tokenizers.words.word_table import LONGEST, Buffer, WordTable, distinct

FILES = ("tokenizer.json",)
MOST_WORDS = 400_000
MOST_IDS = 4_000_000  # of them
LONGEST_KNOWN = 64  # bytes of a word that is remembered
LONG_CHUNK = 24  # bytes from one blank to the next, on average: more is a script without blanks

# A call's: its new words are cut together, and so many at once take less time.
CHARACTERS = 1_200_000

_SLOT_BITS = 20  # 32 MB
_COUNT_BITS = 31
_BLANK, _ALONE, _LETTER, _ODD = range(4)


def _class(code: int) -> int:
    if chr(code) in " \t\n\r":
        return _BLANK
    if not 32 < code < 127:
        return _ODD  # control characters and what is beyond ASCII: part of a word until it is looked at
    return _LETTER if chr(code).isalnum() else _ALONE


_CLASSES = bytes(map(_class, range(256)))
_IS_ODD = np.frombuffer(_CLASSES, np.uint8) == _ODD
_SPLIT_CLASSES = _CLASSES.replace(b"%c" % _ODD, b"%c" % _LETTER)
_BLANKS = bytes(32 if code in b"\t\n\r" else code for code in range(256))
_LOWER_CASE = bytes(code + 32 if 65 <= code <= 90 else code for code in _BLANKS)
_ALONE_CHARACTERS = re.escape("".join(chr(code) for code in range(128) if _CLASSES[code] == _ALONE))
_WORD = re.compile(rf"[{_ALONE_CHARACTERS}]|[^ \t\n\r{_ALONE_CHARACTERS}]+")
_MARK = re.compile("[\ue000-\uefff]")  # letters that wordpiece.py puts into texts; of their own they hold none
_MARK_BYTE = b"\xee"  # starts these characters, and no others


class Flat(NamedTuple):
    """Token ids of several texts: those of text i are ids[ends[i - 1] : ends[i]]. int32 and int64."""

    ids: np.ndarray
    ends: np.ndarray


class _Memory:
    """Ids of words. A word's number holds their count and, of one id, that, of others, where in `pieces` they start."""

    def __init__(self) -> None:
        self.short = WordTable(_SLOT_BITS)
        self.long: dict[bytes, int] = {}
        self.pieces = np.zeros(1 << 10, np.int32)
        self.words, self.filled = 0, 1  # a word without ids has a place too: no number is 0

    @property
    def full(self) -> bool:
        return self.words > MOST_WORDS or self.filled > MOST_IDS

    def store(self, ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """int64 [n]: numbers of words with so many ids each, int64 [n], the ids of one after those of another."""
        start, stop = self.filled, self.filled + len(ids)
        if stop > len(self.pieces):  # a new array: others may be reading this one
            self.pieces = np.concatenate([self.pieces, np.zeros(2 * stop - len(self.pieces), np.int32)])
        self.pieces[start:stop] = ids
        self.words, self.filled = self.words + len(counts), stop
        places = start + np.cumsum(counts) - counts
        one = counts == 1
        places[one] = self.pieces[places[one]]
        return places << _COUNT_BITS | counts


class WordTokenizer:
    """Ids equal to Hugging Face's tokenizers; texts get no special tokens, those written out in a text are tokens."""

    def __init__(self, vocabulary: Mapping[str, int], *, rules: Rules, special: Sequence[str]) -> None:
        self.rules = rules
        self.before: list[int] = []
        self.after: list[int] = []
        self.size = max(vocabulary.values()) + 1
        self.unknown = vocabulary["[UNK]"]
        # private-use characters of a text are removed: an entry that holds one is never met
        usable = {word: i for word, i in vocabulary.items() if not any(map(_is_private, word))}
        self._special = {token: chr(SPECIAL_LETTER + i) for i, token in enumerate(special)}
        letters = {self._special[token]: vocabulary[token] for token in special}
        self._match = LongestMatch(
            {word: i for word, i in usable.items() if not word.startswith("##")} | letters,
            {word[2:]: i for word, i in usable.items() if word.startswith("##") and len(word) > 2},
            unknown=self.unknown,
            longest_word=rules.longest_word,
        )
        self._characters = Characters(rules)
        self._split = re.compile("(" + "|".join(map(re.escape, special)) + ")")
        self._special_starts = sorted({token[0] for token in special})
        self._translation = _LOWER_CASE if rules.lower_case else _BLANKS
        self._lock = threading.Lock()
        self._memory = _Memory()

    def recipe(self) -> dict[str, Any]:
        """JSON-able: everything but the vocabulary that decides the ids."""
        return {"kind": "wordpiece", **self.rules._asdict()}

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each whole text."""
        found = list(by_batches(lambda batch: np.diff(self.flat(batch).ends, prepend=0), texts, characters=CHARACTERS))
        return np.concatenate(found).astype(np.int32) if found else np.zeros(0, np.int32)

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, special: bool = True
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """int32 ids of each text, at most max_tokens; bool [n]: whether any were cut off."""
        rows: list[np.ndarray] = []
        for ids, ends in by_batches(self.flat, texts, characters=CHARACTERS):
            rows += np.split(ids, ends[:-1])
        return [row[:max_tokens] for row in rows], np.array([len(row) > max_tokens for row in rows], bool)

    def flat(self, texts: Sequence[str]) -> Flat:
        """All ids of the texts, on one core; may be called from several threads at once."""
        if not texts:
            return Flat(np.zeros(0, np.int32), np.zeros(0, np.int64))
        buffer, starts, lengths, ends = self._words([self._bytes(text) for text in texts])
        numbers, pieces = self._numbers(buffer, starts, lengths)
        counts, places = numbers & ((1 << _COUNT_BITS) - 1), numbers >> _COUNT_BITS
        stops = np.cumsum(counts)
        ids = np.repeat(places.astype(np.int32), counts)
        several = np.flatnonzero(counts > 1)
        if len(several):
            counts, places = counts[several], places[several]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            ids[np.repeat(stops[several] - counts, counts) + within] = pieces[np.repeat(places, counts) + within]
        return Flat(ids, np.concatenate([np.zeros(1, np.int64), stops])[ends])

    def _bytes(self, text: str) -> bytes:
        """The text, normalised where that cannot wait until its words are looked at."""
        for start in self._special_starts:
            if start in text:
                parts = self._split.split(text)
                if len(parts) > 1:
                    return " ".join(self._special.get(part) or self._normalise(part) for part in parts).encode()
                break
        if text.isascii():
            return text.encode()
        try:
            found = text.encode()
        except UnicodeEncodeError:  # halves of characters
            return self._normalise(text).encode()
        if _MARK_BYTE in found or len(found) > LONG_CHUNK * (found.count(b" ") + 1):
            return self._normalise(text).encode()
        return found

    def _normalise(self, text: str) -> str:
        return NOT_PLAIN.sub(lambda match: match.group().translate(self._characters), text)

    def _words(self, texts: list[bytes]) -> tuple[Buffer, np.ndarray, np.ndarray, np.ndarray]:
        """(buffer, starts, lengths, ends): the words of the texts in a buffer, int64; text i has those before ends[i]
        that the texts before it do not have.
        """
        joined = b"\n".join(texts)
        text_ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
        classes = np.frombuffer(b"%c%b%c" % (_BLANK, joined.translate(_SPLIT_CLASSES), _BLANK), np.uint8)
        letters, alone = classes == _LETTER, classes[1:-1] == _ALONE
        starts = np.flatnonzero((letters[1:-1] > letters[:-2]) | alone)
        lengths = np.flatnonzero((letters[1:-1] > letters[2:]) | alone) - starts + 1
        return Buffer(joined.translate(self._translation)), starts, lengths, np.searchsorted(starts, text_ends)

    def _numbers(self, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(numbers int64 [n], pieces): of words, as _Memory has them."""
        with self._lock:
            if self._memory.full:
                self._memory = _Memory()
            memory = self._memory
        keys = buffer.keys(starts, lengths)
        numbers = memory.short.find(keys)
        numbers[lengths > LONGEST] = 0
        new = np.flatnonzero(numbers == 0)
        if len(new):
            with self._lock:
                numbers[new] = self._learn(memory, buffer, starts[new], lengths[new], keys[:, new])
        return numbers, memory.pieces

    def _learn(
        self, memory: _Memory, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray, keys: np.ndarray
    ) -> np.ndarray:
        """int64 [n]: numbers of words that are long, or not in the memory: then they are from now on."""
        short, long = np.flatnonzero(lengths <= LONGEST), np.flatnonzero(lengths > LONGEST)
        first, which = distinct(keys[:, short])
        words = buffer.words(starts[long], lengths[long])
        places = {word: place for word, place in zip(words, long.tolist()) if word not in memory.long}
        chosen = np.concatenate([short[first], np.fromiter(places.values(), np.int64, len(places))])
        found = self._new(memory, buffer, starts[chosen], lengths[chosen])
        of_short, of_long = np.split(found, [len(first)])
        memory.short.add(keys[:, short[first]], of_short)
        here = dict(zip(places, of_long.tolist()))
        memory.long.update((word, number) for word, number in here.items() if len(word) <= LONGEST_KNOWN)
        numbers = np.zeros(len(starts), np.int64)
        numbers[short] = of_short[which]
        numbers[long] = [here.get(word) or memory.long[word] for word in words]
        return numbers

    def _new(self, memory: _Memory, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """int64 [n]: numbers of words that the memory does not know; it holds their ids then."""
        odd = buffer.holding(_IS_ODD, starts, lengths)
        numbers = np.zeros(len(starts), np.int64)
        numbers[~odd] = memory.store(*self._match.cut_all(buffer, starts[~odd], lengths[~odd]))
        parts = [self._parts(word.decode()) for word in buffer.words(starts[odd], lengths[odd])]
        pieces = [part.encode() for word in parts for part in word]
        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
        ids, counts = self._match.cut_all(Buffer(b"".join(pieces)), np.cumsum(sizes) - sizes, sizes)
        ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
        numbers[odd] = memory.store(ids, np.diff(np.concatenate([[0], np.cumsum(counts)])[ends], prepend=0))
        return numbers

    def _parts(self, word: str) -> list[str]:
        """The words that a word is when its characters have been normalised."""
        if _MARK.search(word):  # they have been
            return [word]
        return _WORD.findall(word.translate(self._characters))


def suits(directory: str) -> bool:
    """Whether a directory's tokenizer has BERT's rules, whatever special tokens it puts around a text."""
    path = Path(directory) / "tokenizer.json"
    return path.is_file() and not bert_files.differences(path, ends=False)


def load(directory: str) -> WordTokenizer:
    """The tokenizer of a directory that `suits`."""
    vocabulary, rules, special = bert_files.read_vocabulary(Path(directory) / "tokenizer.json")
    return WordTokenizer(vocabulary, rules=rules, special=special)


def _is_private(character: str) -> bool:
    return unicodedata.category(character) == "Co"
