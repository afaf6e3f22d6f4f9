"""BERT's WordPiece by looking up words: for token tables, whose only cost is the tokenizer."""

from pathlib import Path

from sluice.models.tokenizers import bert_files
from sluice.models.tokenizers.words.memory import Limits
from sluice.models.tokenizers.words.tokenizer import CHARACTERS, Flat, WordTokenizer

__all__ = ["CHARACTERS", "FILES", "Flat", "WordTokenizer", "load", "suits"]

FILES = ("tokenizer.json",)


def suits(directory: str) -> bool:
    """Whether a directory's tokenizer has BERT's rules, whatever special tokens it puts around a text."""
    path = Path(directory) / "tokenizer.json"
    return path.is_file() and not bert_files.differences(path, ends=False)


def load(directory: str, limits: Limits | None = None) -> WordTokenizer:
    """The tokenizer of a directory that `suits`; it remembers words within the limits."""
    vocabulary, rules, special = bert_files.read_vocabulary(Path(directory) / "tokenizer.json")
    return WordTokenizer(vocabulary, rules=rules, special=special, limits=limits)
