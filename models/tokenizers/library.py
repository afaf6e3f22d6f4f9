"""Any tokenizer.json by Hugging Face's tokenizers library, parallel in itself; and byte-level BPE from its two files.

GPT-2's and OPT's vocab.json and merges.txt (arXiv:1909.03341) become what transformers makes of them.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models.checkpoints import read_json
from sluice.models.tokenizers import truncation

FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
ROBERTA = {
    "bos": "<s>",
    "eos": "</s>",
    "cls": "<s>",
    "sep": "</s>",
    "pad": "<pad>",
    "unk": "<unk>",
    "mask": "<mask>",
}


class LibraryTokenizer:
    """A tokenizers.Tokenizer. `before`, `after`: the special tokens that it puts around a text."""

    def __init__(self, tokenizer: Any, *, name: str) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        if not vocabulary:
            raise ValueError(f"{name} has an empty vocabulary")
        self.size = max(vocabulary.values()) + 1
        plain = tokenizer.encode("a", add_special_tokens=False).ids
        full = tokenizer.encode("a", add_special_tokens=True).ids
        start = next((i for i in range(len(full)) if full[i : i + len(plain)] == plain), None)
        if start is None:
            raise ValueError(f"{name} changes the tokens of a text when it adds special ones")
        self.before, self.after = full[:start], full[start + len(plain) :]
        added = [str(token) for token in tokenizer.get_added_tokens_decoder().values()]
        description = json.loads(tokenizer.to_str())
        self._by_words = _works_by_words(description, [*vocabulary, *added])
        model = description["model"]
        self.unknown: int | None = model.get("unk_id")
        if model.get("unk_token") is not None:
            self.unknown = tokenizer.token_to_id(model["unk_token"])

    def recipe(self) -> dict[str, Any]:
        """JSON-able: everything but the files that decides the ids."""
        return {"kind": "tokenizers"}

    def to_json(self) -> str:
        """The tokenizer.json of it."""
        return self._tokenizer.to_str()

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each whole text, without special tokens and without truncation."""
        found = self._encode(texts)
        return np.fromiter((len(one.ids) for one in found), np.int32, len(texts))

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, special: bool = True
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """int32 ids of each text, at most max_tokens with the special ones; bool [n]: whether any were cut off."""
        before, after = (self.before, self.after) if special else ([], [])
        room = max_tokens - len(before) - len(after)
        if room < 1:
            raise ValueError(f"max_tokens must leave room for one token beside the special ones, got {max_tokens}")
        prefix = truncation.whole_words if self._by_words else lambda text, window: text
        rows, truncated = truncation.first_tokens(
            texts,
            room,
            encode=lambda pieces: [np.array(one.ids, np.int32) for one in self._encode(pieces)],
            prefix=prefix,
        )
        if before or after:
            rows = [np.concatenate([before, row, after]).astype(np.int32) for row in rows]
        return rows, truncated

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        clean = [truncation.without_surrogates(text) for text in texts]
        return self._tokenizer.encode_batch_fast(clean, add_special_tokens=False)


def load(directory: str) -> LibraryTokenizer:
    """The tokenizer of a model directory: tokenizer.json, or vocab.json and merges.txt.

    Raises FileNotFoundError without them, ValueError for files the library cannot read.
    """
    folder = Path(directory)
    if (folder / "tokenizer.json").is_file():
        return from_file(str(folder / "tokenizer.json"))
    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{directory} has neither tokenizer.json nor {name}")
    return LibraryTokenizer(_byte_level(folder), name=directory)


def from_file(path: str) -> LibraryTokenizer:
    """The tokenizer of one tokenizer.json file."""
    from tokenizers import Tokenizer

    if not Path(path).is_file():
        raise FileNotFoundError(f"no {path}")
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error
    return LibraryTokenizer(tokenizer, name=path)


def _works_by_words(description: dict[str, Any], vocabulary: Sequence[str]) -> bool:
    """Whether no entry reaches over a blank: then the words before a blank are tokenized without those after it."""
    byte_level = "ByteLevel" in json.dumps([description.get("pre_tokenizer"), description.get("decoder")])
    over_a_blank = re.compile(r"[^ \u0120][ \u0120]" if byte_level else r"[^ \u2581][ \u2581]")
    return not any(map(over_a_blank.search, vocabulary))


def _byte_level(folder: Path) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    config = _read(folder / "tokenizer_config.json")
    named = _read(folder / "special_tokens_map.json")
    try:
        model = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    except Exception as error:
        raise ValueError(f"{folder}: vocab.json and merges.txt are not a byte-level BPE: {error}") from error
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(config.get("add_prefix_space", False)))
    tokenizer.decoder = decoders.ByteLevel()
    roberta = str(config.get("tokenizer_class", "")).startswith("Roberta")
    names = dict(ROBERTA) if roberta else {}
    for key in ("bos", "eos", "cls", "sep", "pad", "unk", "mask"):
        token = config.get(f"{key}_token") or named.get(f"{key}_token")
        content = token.get("content") if isinstance(token, dict) else token
        if content:
            names[key] = content
    known = sorted(content for content in set(names.values()) if tokenizer.token_to_id(content) is not None)
    tokenizer.add_special_tokens(
        [AddedToken(content, special=True, normalized=False, lstrip=content == names.get("mask")) for content in known]
    )
    if roberta:
        first, last = (tokenizer.token_to_id(names[key]) for key in ("cls", "sep"))
        if first is None or last is None:
            raise ValueError(f"{folder}: the vocabulary has no {names['cls']} or no {names['sep']}")
        tokenizer.post_processor = processors.RobertaProcessing((names["sep"], last), (names["cls"], first))
    elif config.get("add_bos_token"):
        bos = names.get("bos", "<|endoftext|>")
        if tokenizer.token_to_id(bos) is None:
            raise ValueError(f"{folder}: the vocabulary has no {bos}, which is to start each text")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return tokenizer


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
