"""What the files of a BERT tokenizer say: tokenizer.json, or vocab.txt with tokenizer_config.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sluice.models.checkpoints import read_json

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Rules(NamedTuple):
    """How text is normalised. `strip_accents` None means: exactly when lower-casing."""

    lower_case: bool = True
    strip_accents: bool | None = None
    split_cjk: bool = True
    longest_word: int = 100


def read_vocab_txt(folder: Path) -> tuple[dict[str, int], Rules]:
    """The vocabulary of vocab.txt, and how tokenizer_config.json says that text is normalised."""
    path, settings = folder / "vocab.txt", folder / "tokenizer_config.json"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    vocabulary = {line.rstrip("\r"): i for i, line in enumerate(lines if lines[-1] else lines[:-1])}
    if not vocabulary:
        raise ValueError(f"{path} holds no tokens")
    config: dict[str, Any] = read_json(settings) if settings.is_file() else {}
    rules = Rules(
        lower_case=config.get("do_lower_case", not _is_cased(vocabulary)),
        strip_accents=config.get("strip_accents"),
        split_cjk=config.get("tokenize_chinese_chars", True),
    )
    return vocabulary, rules


def differences(path: Path, *, ends: bool = True) -> list[str]:
    """What a tokenizer.json asks for that wordpiece.py does not do: empty for one of BERT's.

    `ends`: it should put special tokens around a text.
    """
    description = read_json(path)
    model, normalizer = description.get("model") or {}, description.get("normalizer") or {}
    required = {
        "model.type": (model.get("type"), "WordPiece"),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix", "##"), "##"),
        "model.unk_token": (model.get("unk_token"), "[UNK]"),
        "normalizer.type": (normalizer.get("type"), "BertNormalizer"),
        "normalizer.clean_text": (normalizer.get("clean_text", True), True),
        "pre_tokenizer.type": ((description.get("pre_tokenizer") or {}).get("type"), "BertPreTokenizer"),
    }
    wrong = [f"{name} is {got!r}, not {want!r}" for name, (got, want) in required.items() if got != want]
    for token in description.get("added_tokens") or []:
        if not token.get("special") or token.get("single_word") or token.get("normalized"):
            wrong.append(f"added token {token['content']!r} is not a plain special one")
    if ends and ends_of(description) is None:
        wrong.append("post_processor puts no one token before and after a text")
    return wrong


def ends_of(description: dict[str, Any]) -> tuple[str, str] | None:
    """The tokens that stand before and after a text."""
    processor = description.get("post_processor") or {}
    if processor.get("type") in ("BertProcessing", "RobertaProcessing"):
        return processor["cls"][0], processor["sep"][0]
    if processor.get("type") == "TemplateProcessing":
        names = [part.get("SpecialToken", {}).get("id") for part in processor["single"]]
        if len(names) == 3 and names[1] is None and None not in (names[0], names[2]):
            return names[0], names[2]
    return None


def read_vocabulary(path: Path) -> tuple[dict[str, int], Rules, list[str]]:
    """Of a tokenizer.json with BERT's rules: all tokens' ids, how text is normalised, and its special tokens."""
    description = read_json(path)
    model, normalizer = description["model"], description["normalizer"]
    added = description.get("added_tokens") or []
    rules = Rules(
        lower_case=normalizer.get("lowercase", True),
        strip_accents=normalizer.get("strip_accents"),
        split_cjk=normalizer.get("handle_chinese_chars", True),
        longest_word=model.get("max_input_chars_per_word", 100),
    )
    return model["vocab"] | {one["content"]: one["id"] for one in added}, rules, [one["content"] for one in added]


def _is_cased(vocabulary: Mapping[str, int]) -> bool:
    return any(entry != entry.lower() for entry in vocabulary if entry not in SPECIAL and entry.isalpha())
