"""The tokenizer of a model directory, chosen by the files that are there.

BERT's WordPiece, and SentencePiece models without a tokenizer.json, run in TensorFlow Text; everything else, byte-level
BPE for one, in the tokenizers library, whose tokenizer.json is the last word where there is one. Token tables with
BERT's rules have the fastest one, words.py.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from sluice.models import checkpoints
from sluice.models.tokenizers import bert_files, library, sentencepiece, wordpiece, words

TABLE = "model2vec"  # the model_type of a token table


class Tokenizer(Protocol):
    """`size`: ids of the ordinary vocabulary are below it. `unknown`: the id of what the vocabulary has nothing for,
    None where every text can be told. `before`, `after`: the special tokens around a text.
    """

    size: int
    unknown: int | None
    before: list[int]
    after: list[int]

    def recipe(self) -> dict[str, Any]: ...

    def count(self, texts: Sequence[str]) -> np.ndarray: ...

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, special: bool = True
    ) -> tuple[list[np.ndarray], np.ndarray]: ...


def kind(directory: str) -> ModuleType:
    """The module that reads a directory's tokenizer. Raises FileNotFoundError naming the files looked for."""
    folder = Path(directory)
    if is_table(directory) and words.suits(directory):
        return words
    if (folder / "tokenizer.json").is_file():
        if not bert_files.differences(folder / "tokenizer.json"):
            return wordpiece
        return library
    if any((folder / name).is_file() for name in sentencepiece.MODELS):
        return sentencepiece
    if (folder / "vocab.txt").is_file():
        return wordpiece
    if (folder / "vocab.json").is_file():
        return library
    looked = ", ".join(("tokenizer.json", *sentencepiece.MODELS, "vocab.txt", "vocab.json with merges.txt"))
    raise FileNotFoundError(f"{directory} has no tokenizer: looked for {looked}")


def is_table(directory: str) -> bool:
    """Whether a model directory holds a token table in model2vec's format, whose texts get no special tokens."""
    path = Path(directory) / checkpoints.CONFIG
    return path.is_file() and checkpoints.read_config(directory).get("model_type") == TABLE


def load(directory: str) -> Tokenizer:
    """The tokenizer of a model directory. Raises FileNotFoundError and ValueError as its kind does."""
    return kind(directory).load(directory)
