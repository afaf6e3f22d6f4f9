"""A token table out of any embedder, the model2vec way (github.com/MinishLab/model2vec): no weights need shipping.

Every token of the vocabulary goes through the embedder alone, between its special tokens; the mean of the last states
is the token's vector. Principal components (float64) take out what all tokens share and make the vectors short; SIF
weighting, a / (a + p(token)), makes frequent tokens count less (Arora, Liang, Ma: "A Simple but Tough-to-Beat Baseline
for Sentence Embeddings", ICLR 2017), with p from a corpus or from Zipf's law over the vocabulary's order.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sluice.models import checkpoints
from sluice.models.checkpoints.files import local_directory
from sluice.models.embedders import describe
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.embedders.network import NetworkEmbedder
from sluice.models.tokenizers import bert_files, chosen, library, wordpiece, words

DIMENSIONS = 256
SIF = 1e-4  # model2vec's, for Zipf's law
COUNTED_SIF = 1e-3  # nearer to the embedder where tokens were counted (docs/embedders.md)
BATCH = 512
_UNUSED = re.compile(r"\[unused\d+\]")


class Vocabulary(NamedTuple):
    """`tokenizer`: the tokenizer.json of the table; row i of the table is the teacher's token ids[i]."""

    tokenizer: dict[str, Any]
    ids: np.ndarray


def read_vocabulary(model: str) -> Vocabulary:
    """The vocabulary of a model, without BERT's [unused] tokens and the special tokens around texts.

    Raises ValueError for a SentencePiece model without a tokenizer.json, and for a token table.
    """
    with checkpoints.reading(model):
        return _vocabulary(model)


def _vocabulary(model: str) -> Vocabulary:
    directory = describe.network(model)
    if chosen.is_table(local_directory(model)):
        raise ValueError(f"{model} is a token table already")
    described = _described(directory)
    described |= {"post_processor": None, "truncation": None, "padding": None}
    entries = described["model"]["vocab"]
    known = {entry[0]: i for i, entry in enumerate(entries)} if isinstance(entries, list) else dict(entries)
    added = {token["content"]: token["id"] for token in described.get("added_tokens") or []}
    order = sorted({**known, **added}.items(), key=lambda item: item[1])
    # Only where ids are given outright can tokens be left out: merges and scores refer to the others.
    if described["model"]["type"] in ("WordPiece", "WordLevel"):
        order = [item for item in order if item[0] in added or not _UNUSED.fullmatch(item[0])]
        new = {token: i for i, (token, _) in enumerate(order)}
        described["model"]["vocab"] = {token: new[token] for token in known if token in new}
        for token in described.get("added_tokens") or []:
            token["id"] = new[token["content"]]
    elif [i for _, i in order] != list(range(len(order))):
        raise ValueError(f"{model}: the ids of the vocabulary have gaps")
    return Vocabulary(described, np.array([i for _, i in order], np.int32))


def check_options(tokens: int, *, dimensions: int | None, sif: float | None) -> None:
    """Raises ValueError for what no table of so many tokens can have."""
    if dimensions is not None and not 1 <= dimensions <= tokens:
        raise ValueError(f"dimensions must be between 1 and {tokens}, got {dimensions}")
    if sif is not None and not 0 < sif < 1:
        raise ValueError(f"the SIF coefficient must be between 0 and 1, got {sif}")


def token_vectors(model: str, ids: np.ndarray, *, least: int = 1, cache: str | None = None) -> np.ndarray:
    """float32 [len(ids), D]: the mean of the last states of each token between the special ones.

    The vector of an id that the model has no row for is zero. Raises ValueError for states that are not finite, and,
    after the first batch, where D is below `least`.
    """
    teacher = load(EmbedderConfig(model, prompt="", cache=cache))
    tokenizer = describe.load_tokenizer(model)
    bare = teacher.recipe()["convention"] == "d4"
    before, after = ([], []) if bare else (tokenizer.before, tokenizer.after)
    assert isinstance(teacher, NetworkEmbedder), model
    rows = int(teacher.vocabulary)
    length = len(before) + 1 + len(after)
    found: list[np.ndarray] = []
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        batch = np.zeros((BATCH, length), np.int32)
        batch[:, : len(before)], batch[:, len(before) + 1 :] = before, after
        batch[: len(part), len(before)] = np.where(part < rows, part, 0)
        states = teacher.hidden_states(batch, np.full(BATCH, length, np.int32))[: len(part)]
        if states.shape[2] < least:
            raise ValueError(f"dimensions must be between 1 and {states.shape[2]}, got {least}")
        found.append(np.where((part < rows)[:, None], states.mean(axis=1), 0))
    vectors = np.concatenate(found)
    if len(bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1))):
        raise ValueError(f"{model} has states that are not finite for {len(bad)} of {len(ids)} tokens: is it damaged?")
    return vectors.astype(np.float32)


def principal_components(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """float64 [n, dimensions]: the vectors without their mean, along their widest directions, widest first.

    The largest number of each column is positive. Raises ValueError for more dimensions than there are.
    """
    if not 1 <= dimensions <= min(vectors.shape):
        raise ValueError(f"dimensions must be between 1 and {min(vectors.shape)}, got {dimensions}")
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    scores = centred @ directions[:, ::-1][:, :dimensions]
    largest = np.abs(scores).argmax(axis=0)
    return scores * np.where(scores[largest, np.arange(dimensions)] < 0, -1.0, 1.0)


def zipf(tokens: int) -> np.ndarray:
    """float64 [tokens]: frequencies by Zipf's law where token 0 is the most frequent one, as in model2vec."""
    inverse = 1 / np.arange(2, tokens + 2)
    return inverse / inverse.sum()


def frequencies(counts: np.ndarray) -> np.ndarray:
    """float64: frequencies of counted tokens, each one counted once more so that none is impossible."""
    return (counts + 1) / (counts.sum() + len(counts))


def make_table(vectors: np.ndarray, frequency: np.ndarray, *, dimensions: int, sif: float = SIF) -> np.ndarray:
    """float32 [n, dimensions]: the table's rows, of token vectors [n, D] and frequencies [n]."""
    check_options(len(vectors), dimensions=dimensions, sif=sif)
    weighted = principal_components(vectors, dimensions) * (sif / (sif + frequency))[:, None]
    return weighted.astype(np.float32)


def count_tokens(folder: Path, batches: Iterable[Sequence[str]], *, tokens: int) -> np.ndarray:
    """int64 [tokens]: how often each token of folder's tokenizer.json comes in the texts."""
    tokenizer = words.load(str(folder)) if words.suits(str(folder)) else library.load(str(folder))
    counts = np.zeros(tokens, np.int64)
    for texts in batches:
        rows, _ = tokenizer.tokenize(texts, max_tokens=2**31 - 1, special=False)
        counts += np.bincount(np.concatenate([np.zeros(0, np.int32), *rows]), minlength=tokens)
    return counts


def write_table(folder: Path, table: np.ndarray, tokenizer: dict[str, Any], *, teacher: str, sif: float = SIF) -> None:
    """A directory that the static family, model2vec and sentence-transformers load."""
    from safetensors.numpy import save

    (folder / "model.safetensors").write_bytes(save({"embeddings": table}))
    write_tokenizer(folder, tokenizer)
    config = {
        "model_type": chosen.TABLE,
        "architectures": ["StaticModel"],
        "tokenizer_name": teacher,
        "apply_pca": table.shape[1],
        "sif_coefficient": sif,
        "hidden_dim": table.shape[1],
        "seq_length": 1000000,
        "max_length": None,
        "normalize": True,
        "pooling": "mean",
        "embedding_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")
    kinds = (("", "StaticEmbedding"), ("1_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path or ".", "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=4) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, tokenizer: dict[str, Any]) -> None:
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")


def _described(directory: str) -> dict[str, Any]:
    """The tokenizer.json of a model directory, or the one that its vocabulary files amount to."""
    folder = Path(directory)
    if (folder / "tokenizer.json").is_file():
        return checkpoints.read_json(folder / "tokenizer.json")
    kind = chosen.kind(directory)
    if kind is library:
        return json.loads(library.load(directory).to_json())
    if kind is wordpiece:
        return _bert(*bert_files.read_vocab_txt(folder))
    raise ValueError(
        f"{directory} has no tokenizer.json, which a token table needs: save the tokenizer with transformers to get one"
    )


def _bert(vocabulary: Mapping[str, int], rules: bert_files.Rules) -> dict[str, Any]:
    """The tokenizer.json of a vocab.txt."""
    plain = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": vocabulary[token], "content": token, **plain} for token in bert_files.SPECIAL if token in vocabulary
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": rules.split_cjk,
            "strip_accents": rules.strip_accents,
            "lowercase": rules.lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": rules.longest_word,
            "vocab": dict(vocabulary),
        },
    }
