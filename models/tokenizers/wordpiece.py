"""Text to WordPiece ids, equal to Hugging Face's BertTokenizerFast: clean, split, then TensorFlow Text's linear trie.

TensorFlow Text normalises differently from BERT's reference (it folds compatibility characters, drops acute accents
standing alone, turns control characters into spaces), so normalisation is done here, character by character, and the
trie sees text that needs none. ASCII without control characters, most text there is, only needs lower-casing.
Greedy longest match: Song et al., "Fast WordPiece Tokenization" (arXiv:2012.15524).
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# Private-use characters never survive cleaning, so these can only come from this module.
_UNKNOWN_LETTER = "\ue000"  # in no vocabulary entry: the word that holds it is unknown
_SPECIAL_LETTER = 0xE001  # + i stands for the i-th special token written out in a text
_NOWHERE = "\uf8ff"  # starts the entries that fill unusable ids; no text ever holds it

_NOT_PLAIN = re.compile(r"[^\t\n\r\x20-\x7e]+")
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
_CHARACTERS_PER_CALL = 4_000_000
_CHARACTERS_PER_TOKEN = 8


class Rules(NamedTuple):
    """How text is normalised. `strip_accents` None means: exactly when lower-casing."""

    lower_case: bool = True
    strip_accents: bool | None = None
    split_cjk: bool = True
    longest_word: int = 100


class _Characters(dict[int, str]):
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

    def __init__(self, vocabulary: Mapping[str, int], *, rules: Rules, special: Sequence[str] = SPECIAL) -> None:
        import tensorflow as tf
        import tensorflow_text

        self.rules = rules
        self.size = max(vocabulary.values()) + 1
        self._start, self._end = (_id(vocabulary, token) for token in ("[CLS]", "[SEP]"))
        self._special = {token: chr(_SPECIAL_LETTER + i) for i, token in enumerate(special) if token in vocabulary}
        self._special_starts = sorted({token[0] for token in self._special})
        self._special_split = re.compile("(" + "|".join(map(re.escape, self._special)) + ")")
        self._characters = _Characters(rules)
        self._overlong = re.compile(rf"[^\s!-/:-@\[-`{{-~]{{{rules.longest_word + 1},}}")
        self._longest = rules.longest_word
        self._trie = tensorflow_text.FastBertTokenizer(
            _entries(vocabulary, self._special),
            max_bytes_per_word=4 * rules.longest_word,  # characters are counted here, the trie counts bytes
            token_out_type=tf.int32,
            unknown_token="[UNK]",
            lower_case_nfd_strip_accents=False,
        )

    def recipe(self) -> dict[str, Any]:
        """JSON-able: everything but the vocabulary that decides the ids."""
        return {"kind": "wordpiece", **self.rules._asdict()}

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each whole text, without special tokens and without truncation."""
        counts = [np.diff(self._split(batch).row_splits.numpy()) for batch in _batches(map(self.normalise, texts))]
        return np.concatenate(counts).astype(np.int32) if counts else np.zeros(0, np.int32)

    def tokenize(self, texts: Sequence[str], *, max_tokens: int) -> tuple[list[np.ndarray], np.ndarray]:
        """int32 ids of each text between [CLS] and [SEP], at most max_tokens; bool [n]: whether any were cut off.

        Only as much of a long text is read as fills max_tokens.
        """
        if max_tokens < 3:
            raise ValueError(f"max_tokens must leave room for one token between two special ones, got {max_tokens}")
        room = max_tokens - 2
        found: list[np.ndarray] = [np.zeros(0, np.int32)] * len(texts)
        truncated = np.zeros(len(texts), bool)
        pending = list(range(len(texts)))
        window = _CHARACTERS_PER_TOKEN * room
        while pending:
            pieces = [self._prefix(texts[i], window) for i in pending]
            short = []
            for i, ids in zip(pending, self._ids(pieces)):
                if len(ids) <= room and len(texts[i]) > window:
                    short.append(i)
                    continue
                truncated[i] = len(ids) > room or len(texts[i]) > window
                found[i] = np.concatenate([[self._start], ids[:room], [self._end]]).astype(np.int32)
            pending, window = short, 4 * window
        return found, truncated

    def normalise(self, text: str) -> str:
        """The text as the trie wants it: cleaned, accents stripped, lower-cased, odd punctuation set apart."""
        if any(start in text for start in self._special_starts):
            parts = self._special_split.split(text)
            if len(parts) > 1:
                return " ".join(self._special.get(part) or self._normalise(part) for part in parts)
        return self._normalise(text)

    def _normalise(self, text: str) -> str:
        text = _NOT_PLAIN.sub(lambda match: match.group().translate(self._characters), text)
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
        for batch in _batches(texts):
            ragged = self._split(batch)
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
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {line.rstrip("\r"): i for i, line in enumerate(lines if lines[-1] else lines[:-1])}
    config: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").is_file():
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    rules = Rules(
        lower_case=config.get("do_lower_case", not _is_cased(vocabulary)),
        strip_accents=config.get("strip_accents"),
        split_cjk=config.get("tokenize_chinese_chars", True),
    )
    return WordPiece(vocabulary, rules=rules)


def _from_tokenizer_json(path: Path) -> WordPiece:
    description = json.loads(path.read_text(encoding="utf-8"))
    model, normalizer = description["model"], description.get("normalizer") or {}
    splitter = description.get("pre_tokenizer") or {}
    added = description.get("added_tokens", [])
    required = {
        "model.type": (model.get("type"), "WordPiece"),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix", "##"), "##"),
        "model.unk_token": (model.get("unk_token"), "[UNK]"),
        "normalizer.type": (normalizer.get("type"), "BertNormalizer"),
        "normalizer.clean_text": (normalizer.get("clean_text", True), True),
        "pre_tokenizer.type": (splitter.get("type"), "BertPreTokenizer"),
    }
    wrong = [f"{name} is {got!r}, not {want!r}" for name, (got, want) in required.items() if got != want]
    wrong += [f"added token {token['content']!r} is not special" for token in added if not token.get("special")]
    if wrong:
        raise ValueError(f"{path} is not a BERT tokenizer: {'; '.join(wrong)}")
    rules = Rules(
        lower_case=normalizer.get("lowercase", True),
        strip_accents=normalizer.get("strip_accents"),
        split_cjk=normalizer.get("handle_chinese_chars", True),
        longest_word=model.get("max_input_chars_per_word", 100),
    )
    return WordPiece(model["vocab"], rules=rules, special=[token["content"] for token in added] or SPECIAL)


def _is_cased(vocabulary: Mapping[str, int]) -> bool:
    return any(entry != entry.lower() for entry in vocabulary if entry not in SPECIAL and entry.isalpha())


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


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Consecutive texts, about _CHARACTERS_PER_CALL together, so that a call's memory does not grow with the corpus."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _CHARACTERS_PER_CALL:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
