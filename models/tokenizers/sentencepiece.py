"""SentencePiece models (arXiv:1808.06226) by TensorFlow Text, for directories that ship one and no tokenizer.json.

The ids are those of the SentencePiece library itself. A tokenizer.json made from the same model can differ where two
ways of cutting a text score the same ("...." as "... ." or ". ..."), so where there is one, it is what is used.
Special tokens written out in a text are text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models.arrays.parallel import by_batches
from sluice.models.checkpoints import read_json
from sluice.models.tokenizers import truncation

MODELS = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "sentencepiece.model")
FILES = (*MODELS, "tokenizer_config.json")
# tokenizer_class of tokenizer_config.json: special tokens before and after a text unless add_*_token says otherwise
ENDS = {
    "T5": (False, True),
    "Gemma": (True, False),
    "Llama": (True, False),
}
FAIRSEQ = ("XLMRoberta", "Camembert")  # ids moved by one, with fairseq's special tokens in front
FAIRSEQ_SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


class SentencePiece:
    """One SentencePiece model. `ids`: the model's id of every piece, -1 for none; `before`, `after`: special tokens."""

    def __init__(self, model: bytes, *, before: Sequence[str], after: Sequence[str], fairseq: bool = False) -> None:
        import tensorflow as tf
        import tensorflow_text

        self._splitter = tensorflow_text.SentencepieceTokenizer(model)
        count = int(self._splitter.vocab_size())
        pieces = [piece.decode() for piece in self._splitter.id_to_string(tf.range(count)).numpy()]
        self._fairseq = fairseq
        self._ids = np.arange(count, dtype=np.int32)
        if fairseq:
            self._ids += 1
            self._ids[: len(pieces)] = [FAIRSEQ_SPECIAL.get(piece, i + 1) for i, piece in enumerate(pieces)]
        self.size = int(self._ids.max()) + 1
        known = {piece: int(i) for piece, i in zip(pieces, self._ids)} | (FAIRSEQ_SPECIAL if fairseq else {})
        if missing := [token for token in (*before, *after) if token not in known]:
            raise ValueError(f"the SentencePiece model has no {', '.join(missing)}")
        self.before, self.after = [known[token] for token in before], [known[token] for token in after]
        self.unknown = known.get("<unk>")
        self._by_words = not any("\u2581" in piece.lstrip("\u2581") for piece in pieces)

    def recipe(self) -> dict[str, Any]:
        """JSON-able: everything but the vocabulary that decides the ids."""
        return {"kind": "sentencepiece", "before": self.before, "after": self.after, "fairseq": self._fairseq}

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each whole text, without special tokens and without truncation."""
        counts = [np.diff(ragged.row_splits.numpy()) for ragged in by_batches(self._split, texts)]
        return np.concatenate(counts).astype(np.int32) if counts else np.zeros(0, np.int32)

    def tokenize(
        self, texts: Sequence[str], *, max_tokens: int, special: bool = True
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """int32 ids of each text, at most max_tokens with the special ones; bool [n]: whether any were cut off."""
        before, after = (self.before, self.after) if special else ([], [])
        room = max_tokens - len(before) - len(after)
        if room < 1:
            raise ValueError(f"max_tokens must leave room for one token beside the special ones, got {max_tokens}")
        prefix = truncation.whole_words if self._by_words else lambda text, window: text
        rows, truncated = truncation.first_tokens(texts, room, encode=self._encode, prefix=prefix)
        if before or after:
            rows = [np.concatenate([before, row, after]).astype(np.int32) for row in rows]
        return rows, truncated

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for ragged in by_batches(self._split, texts):
            found.extend(np.split(self._ids[ragged.values.numpy()], ragged.row_splits.numpy()[1:-1]))
        return found

    def _split(self, texts: list[str]) -> Any:
        return self._splitter.tokenize([truncation.without_surrogates(text) for text in texts])


def load(directory: str) -> SentencePiece:
    """The tokenizer of a model directory: a SentencePiece model, and tokenizer_config.json saying whose rules hold.

    Raises FileNotFoundError without them, ValueError for a tokenizer_class whose rules are not known here.
    """
    folder = Path(directory)
    path = next((folder / name for name in MODELS if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{directory} has no SentencePiece model: looked for {', '.join(MODELS)}")
    if not (folder / "tokenizer_config.json").is_file():
        raise FileNotFoundError(f"{directory} has {path.name} but no tokenizer_config.json to say how it is used")
    config = read_json(folder / "tokenizer_config.json")
    family = str(config.get("tokenizer_class")).removesuffix("Fast").removesuffix("Tokenizer")
    if family in FAIRSEQ:
        return _make(path, before=["<s>"], after=["</s>"], fairseq=True)
    if family not in ENDS:
        raise ValueError(
            f"{directory}: tokenizer_class {config.get('tokenizer_class')!r} needs a tokenizer.json: without one "
            f"there are {', '.join((*ENDS, *FAIRSEQ))}; save the tokenizer with transformers to get one"
        )
    first, last = ENDS[family]
    before = [_token(config, "bos_token", "<bos>" if family == "Gemma" else "<s>")]
    after = [_token(config, "eos_token", "<eos>" if family == "Gemma" else "</s>")]
    return _make(
        path,
        before=before if config.get("add_bos_token", first) else [],
        after=after if config.get("add_eos_token", last) else [],
    )


def _token(config: dict[str, Any], key: str, default: str) -> str:
    token = config.get(key) or default
    return str(token["content"]) if isinstance(token, dict) else str(token)


def _make(path: Path, *, before: Sequence[str], after: Sequence[str], fairseq: bool = False) -> SentencePiece:
    try:
        return SentencePiece(path.read_bytes(), before=before, after=after, fairseq=fairseq)
    except Exception as error:  # TensorFlow's errors for a damaged model are of many kinds
        raise ValueError(f"{path} is not a SentencePiece model that can be used: {error}") from error
