"""Text to WordPiece ids, equal to Hugging Face's BertTokenizerFast: clean, split, then TensorFlow Text's linear trie.

TensorFlow Text normalises differently from BERT's reference (it folds compatibility characters, drops acute accents
standing alone, turns control characters into spaces), so normalisation is done here, character by character, and the
trie sees text that needs none. ASCII without control characters, most text there is, only needs lower-casing.
Greedy longest match: Song et al., "Fast WordPiece Tokenization" (arXiv:2012.15524).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models.arrays.parallel import by_batches
from sluice.models.tokenizers.bert_files import (
    SPECIAL,
    Rules,
    differences,
    ends_of,
    read_json,
    read_vocab_txt,
    read_vocabulary,
)
from sluice.models.tokenizers.truncation import first_tokens

FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")

# Private-use characters never survive cleaning, so these can only come from this module.
_UNKNOWN_LETTER = "\ue000"  # in no vocabulary entry: the word that holds it is unknown
SPECIAL_LETTER = 0xE001  # + i stands for the i-th special token written out in a text
_NOWHERE = "\uf8ff"  # starts the entries that fill unusable ids; no text ever holds it

NOT_PLAIN = re.compile(r"[^\t\n\r\x20-\x7e]+")
_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # the reference starts here, not at 2B820
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class Characters(dict[int, str]):
    """What one character that is not plain ASCII becomes; worked out when first met."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._lower_case = rules.lower_case
        self._strip = rules.lower_case if rules.strip_accents is None else rules.strip_accents
        self._split_cjk = rules.split_cjk

    def __missing__(self, code: int) -> str:
        self[code] = result = self._replacement(chr(code))
        return result

    def _replacement(self, character: str) -> str:
        category = unicodedata.category(character)
        if character == "\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
            return ""
        if category == "Cn":
            return _UNKNOWN_LETTER
        if character.isspace():
            return " "
        code, text = ord(character), character
        if self._strip:
            text = "".join(part for part in unicodedata.normalize("NFD", text) if unicodedata.category(part) != "Mn")
        if self._lower_case:
            text = "".join(part.lower() for part in text)  # one by one: no final sigma
        alone = category[0] == "P" or (self._split_cjk and any(low <= code <= high for low, high in _CJK))
        return f" {text} " if alone else text


class WordPiece:
    """The tokenizer of one vocabulary. Special tokens written out in a text are those tokens, as in the reference."""

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        *,
        rules: Rules,
        special: Sequence[str] = SPECIAL,
        ends: tuple[str, str] = ("[CLS]", "[SEP]"),
    ) -> None:
        self.rules = rules
        self.size = max(vocabulary.values()) + 1
        self.before, self.after = ([_id(vocabulary, token)] for token in ends)
        self._special = {token: chr(SPECIAL_LETTER + i) for i, token in enumerate(special) if token in vocabulary}
        self._special_starts = sorted({token[0] for token in self._special})
        self._special_split = re.compile("(" + "|".join(map(re.escape, self._special)) + ")")
        self._characters = Characters(rules)
        self._overlong = re.compile(rf"[^\s!-/:-@\[-`{{-~]{{{rules.longest_word + 1},}}")
        self._longest = rules.longest_word
        self.unknown = _id(vocabulary, "[UNK]")
        self._entries = _entries(vocabulary, self._special)

    @cached_property
    def _trie(self) -> Any:
        """Made when the first text comes: a launcher that only names a tokenizer has no need of TensorFlow."""
        import tensorflow as tf
        import tensorflow_text

        return tensorflow_text.FastBertTokenizer(
            self._entries,
            max_bytes_per_word=4 * self._longest,  # characters are counted here, the trie counts bytes
            token_out_type=tf.int32,
            unknown_token="[UNK]",
            lower_case_nfd_strip_accents=False,
        )

    def recipe(self) -> dict[str, Any]:
        """JSON-able: everything but the vocabulary that decides the ids."""
        return {"kind": "wordpiece", **self.rules._asdict()}

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each whole text, without special tokens and without truncation."""
        counts = [np.diff(ragged.row_splits.numpy()) for ragged in by_batches(self._split, map(self.normalise, texts))]
        return np.concatenate(counts).astype(np.int32) if counts else np.zeros(0, np.int32)

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, special: bool = True
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """int32 ids of each text between [CLS] and [SEP], at most max_tokens; bool [n]: whether any were cut off.

        Only as much of a long text is read as fills max_tokens. `special`: with [CLS] and [SEP].
        """
        room = max_tokens - 2 if special else max_tokens
        if room < 1:
            raise ValueError(f"max_tokens must leave room for one token between two special ones, got {max_tokens}")
        rows, truncated = first_tokens(texts, room, encode=self._ids, prefix=self._prefix)
        if special:
            rows = [np.concatenate([self.before, row, self.after]).astype(np.int32) for row in rows]
        return rows, truncated

    def normalise(self, text: str) -> str:
        """The text as the trie wants it: cleaned, accents stripped, lower-cased, odd punctuation set apart."""
        if any(start in text for start in self._special_starts):
            parts = self._special_split.split(text)
            if len(parts) > 1:
                return " ".join(self._special.get(part) or self._normalise(part) for part in parts)
        return self._normalise(text)

    def _normalise(self, text: str) -> str:
        text = NOT_PLAIN.sub(lambda match: match.group().translate(self._characters), text)
        if self.rules.lower_case:
            text = text.lower()
        if max(map(len, text.split()), default=0) > self._longest:
            text = self._overlong.sub(_UNKNOWN_LETTER, text)
        return text

    def _prefix(self, text: str, window: int) -> str:
        """The text, or of a longer one the whole words within its first `window` characters."""
        if len(text) <= window:
            return self.normalise(text)
        start = self.normalise(text[:window])
        return start[: max(start.rfind(space) for space in " \n\t\r") + 1]

    def _ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for ragged in by_batches(self._split, texts):
            found.extend(np.split(ragged.values.numpy(), ragged.row_splits.numpy()[1:-1]))
        return found

    def _split(self, texts: list[str]) -> Any:
        return self._trie.tokenize(texts)


def load(directory: str) -> WordPiece:
    """The tokenizer of a Hugging Face model directory: tokenizer.json, or vocab.txt with tokenizer_config.json.

    Raises FileNotFoundError without a vocabulary, ValueError for a tokenizer.json that is not BERT's.
    """
    folder = Path(directory)
    if (folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(folder / "tokenizer.json")
    if not (folder / "vocab.txt").is_file():
        raise FileNotFoundError(f"{directory} has neither tokenizer.json nor vocab.txt")
    vocabulary, rules = read_vocab_txt(folder)
    return WordPiece(vocabulary, rules=rules)


def _from_tokenizer_json(path: Path) -> WordPiece:
    if wrong := differences(path):
        raise ValueError(f"{path} is not a BERT tokenizer: {'; '.join(wrong)}")
    vocabulary, rules, added = read_vocabulary(path)
    ends = ends_of(read_json(path))
    assert ends is not None
    return WordPiece(vocabulary, rules=rules, special=added or SPECIAL, ends=ends)


def _id(vocabulary: Mapping[str, int], token: str) -> int:
    if token not in vocabulary:
        raise ValueError(f"the vocabulary has no {token}")
    return vocabulary[token]


def _entries(vocabulary: Mapping[str, int], special: Mapping[str, str]) -> list[str]:
    """The vocabulary in id order, special tokens under their letters; ids that no text can reach are filled."""
    entries = [f"{_NOWHERE}{i}" for i in range(max(vocabulary.values()) + 1)]
    for entry, i in vocabulary.items():
        if entry and not any(unicodedata.category(character) == "Co" for character in entry):
            entries[i] = special.get(entry, entry)
    if "[UNK]" in special:
        entries[vocabulary["[UNK]"]] = "[UNK]"
    return entries
