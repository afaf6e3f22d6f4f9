"""BERT's WordPiece by looking up words.

Text is mostly words met before, and BERT cuts every word by itself. So:

1. A batch of texts becomes one array of bytes, and is split into words wherever the class of the characters changes
   (blank, letter, punctuation). Characters beyond ASCII count as letters for now.
2. The ids of all words are looked up at once, in a memory of words met before.
3. New words are normalised (case, accents, control characters: rules that look at one character at a time, so they may
   wait until here), and cut by the longest matches from their start, all new words at once.
"""

import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sluice.models.arrays.parallel import by_batches
from sluice.models.tokenizers.bert_files import Rules
from sluice.models.tokenizers.wordpiece import NOT_PLAIN, SPECIAL_LETTER, Characters
from sluice.models.tokenizers.words.longest_match import LongestMatch
from sluice.models.tokenizers.words.memory import Limits, Memory, unpack
from sluice.models.tokenizers.words.word_table import LONGEST, Buffer, distinct

# A longer word, in bytes, is cut each time it comes.
LONGEST_KNOWN = 64
# Bytes from blank to blank, on average: a text with more is in a script without blanks, and its words come once.
LONG_CHUNK = 24
# Of the texts of one call: the more, the more new words are cut at once.
CHARACTERS = 1_200_000

_BLANK, _ALONE, _LETTER, _ODD = range(4)


def _class(code: int) -> int:
    if chr(code) in " \t\n\r":
        return _BLANK
    if not 32 < code < 127:
        # Control characters, and bytes of what is beyond ASCII: part of a word until that is normalised.
        return _ODD
    return _LETTER if chr(code).isalnum() else _ALONE


_CLASSES = bytes(map(_class, range(256)))
_IS_ODD = np.frombuffer(_CLASSES, np.uint8) == _ODD
_SPLIT_CLASSES = _CLASSES.replace(b"%c" % _ODD, b"%c" % _LETTER)
_BLANKS = bytes(32 if code in b"\t\n\r" else code for code in range(256))
_LOWER_CASE = bytes(code + 32 if 65 <= code <= 90 else code for code in _BLANKS)
_ALONE_CHARACTERS = re.escape("".join(chr(code) for code in range(128) if _CLASSES[code] == _ALONE))
_WORD = re.compile(rf"[{_ALONE_CHARACTERS}]|[^ \t\n\r{_ALONE_CHARACTERS}]+")
# Letters that wordpiece.py puts into texts for special tokens; normalised texts have none of their own.
_MARK = re.compile("[\ue000-\uefff]")
# In UTF-8 these letters begin with this byte, and no other character does.
_MARK_BYTE = b"\xee"


class Flat(NamedTuple):
    """Token ids of several texts: those of text i are ids[ends[i - 1] : ends[i]]. int32 and int64."""

    ids: np.ndarray
    ends: np.ndarray


class WordTokenizer:
    """Ids equal to those of Hugging Face's tokenizers.

    Texts get no special tokens around them; those that are written out in a text are tokens.
    """

    def __init__(
        self, vocabulary: Mapping[str, int], *, rules: Rules, special: Sequence[str], limits: Limits | None = None
    ) -> None:
        self.rules = rules
        self.before: list[int] = []
        self.after: list[int] = []
        self.size = max(vocabulary.values()) + 1
        self.unknown = vocabulary["[UNK]"]
        # Private-use characters are removed from texts, so an entry that holds one never matches.
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
        self._memory = Memory(limits or Limits())

    def recipe(self) -> dict[str, Any]:
        """JSON-able: everything but the vocabulary that decides the ids."""
        return {"kind": "wordpiece", **self.rules._asdict()}

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each whole text."""
        if not texts:
            return np.zeros(0, np.int32)
        counts = by_batches(lambda batch: np.diff(self.flat(batch).ends, prepend=0), texts, characters=CHARACTERS)
        return np.concatenate(list(counts)).astype(np.int32)

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
        places, counts = unpack(numbers)
        stops = np.cumsum(counts)
        # Right for words of one id, whose place is the id; the others' ids are copied from `pieces`.
        ids = np.repeat(places.astype(np.int32), counts)
        several = np.flatnonzero(counts > 1)
        if len(several):
            counts, places = counts[several], places[several]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            ids[np.repeat(stops[several] - counts, counts) + within] = pieces[np.repeat(places, counts) + within]
        return Flat(ids, np.concatenate([np.zeros(1, np.int64), stops])[ends])

    def _bytes(self, text: str) -> bytes:
        """The text in UTF-8, normalised only where that cannot wait for the words: see step 3 above."""
        for start in self._special_starts:
            if start in text:
                parts = self._split.split(text)
                if len(parts) > 1:
                    return " ".join(self._special.get(part) or self._normalise(part) for part in parts).encode()
                break
        if text.isascii():
            return text.encode()
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            # A surrogate, half of a character.
            return self._normalise(text).encode()
        if _MARK_BYTE in encoded or len(encoded) > LONG_CHUNK * (encoded.count(b" ") + 1):
            return self._normalise(text).encode()
        return encoded

    def _normalise(self, text: str) -> str:
        return NOT_PLAIN.sub(lambda match: match.group().translate(self._characters), text)

    def _words(self, texts: list[bytes]) -> tuple[Buffer, np.ndarray, np.ndarray, np.ndarray]:
        """(buffer, starts, lengths, ends): the words of the texts, by their places in a buffer, int64.

        Text i has words ends[i - 1] to ends[i], from 0 for the first text.
        """
        joined = b"\n".join(texts)
        text_ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
        classes = np.frombuffer(b"%c%b%c" % (_BLANK, joined.translate(_SPLIT_CLASSES), _BLANK), np.uint8)
        letters, alone = classes == _LETTER, classes[1:-1] == _ALONE
        starts = np.flatnonzero((letters[1:-1] > letters[:-2]) | alone)
        lengths = np.flatnonzero((letters[1:-1] > letters[2:]) | alone) - starts + 1
        return Buffer(joined.translate(self._translation)), starts, lengths, np.searchsorted(starts, text_ends)

    def _numbers(self, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(numbers int64 [n], pieces) of words, as Memory has them; new words are learnt."""
        with self._lock:
            if self._memory.full:
                self._memory = Memory(self._memory.limits)
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
        self, memory: Memory, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray, keys: np.ndarray
    ) -> np.ndarray:
        """int64 [n]: numbers of words that the table of short words lacks: new ones, and all long ones.

        New words are in the memory afterwards, but those above LONGEST_KNOWN.
        """
        short, long = np.flatnonzero(lengths <= LONGEST), np.flatnonzero(lengths > LONGEST)
        first, which = distinct(keys[:, short])
        words = buffer.words(starts[long], lengths[long])
        places = {word: place for word, place in zip(words, long.tolist()) if word not in memory.long}
        chosen = np.concatenate([short[first], np.fromiter(places.values(), np.int64, len(places))])
        cut = self._new(memory, buffer, starts[chosen], lengths[chosen])
        of_short, of_long = np.split(cut, [len(first)])
        memory.short.add(keys[:, short[first]], of_short)
        learnt = dict(zip(places, of_long.tolist()))
        memory.long.update((word, number) for word, number in learnt.items() if len(word) <= LONGEST_KNOWN)
        numbers = np.zeros(len(starts), np.int64)
        numbers[short] = of_short[which]
        numbers[long] = [learnt.get(word) or memory.long[word] for word in words]
        return numbers

    def _new(self, memory: Memory, buffer: Buffer, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """int64 [n]: numbers of words that the memory lacks; their ids are stored in it."""
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
        """What a word becomes when its characters are normalised: no word, one, or several.

        A word with letters of wordpiece.py in it comes from a text that is normalised already.
        """
        if _MARK.search(word):
            return [word]
        return _WORD.findall(word.translate(self._characters))


def _is_private(character: str) -> bool:
    return unicodedata.category(character) == "Co"
