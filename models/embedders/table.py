"""Token tables: a text's vector is the mean of its tokens' rows. Tens of thousands of texts a second on one core.

The format and the arithmetic are model2vec's (github.com/MinishLab/model2vec): a directory of config.json with the
model_type "model2vec", model.safetensors with `embeddings` [rows, d] and, of vocabularies that were quantised,
`mapping` [tokens] (a token's row) and `weights` [tokens], and tokenizer.json. A text is cut at
max_tokens times the median token's characters and then at max_tokens, unknown tokens are dropped, the rest averaged.
`sluice distill` makes such a directory out of any other embedder (models/embedders/distill.py).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from sluice.models import checkpoints
from sluice.models.arrays.parallel import by_batches
from sluice.models.checkpoints import tensors
from sluice.models.embedders import token_table
from sluice.models.embedders.config import Counters, EmbedderConfig
from sluice.models.embedders.network import Embedded
from sluice.models.tokenizers import chosen, words

DEFAULT_MAX_TOKENS = 512  # model2vec's, where config.json has no max_length
# Fields of an EmbedderConfig that mean nothing here, with the values that ask for nothing
UNUSED: dict[str, tuple[Any, ...]] = {
    "pooling": ("auto", "mean"),
    "dtype": ("auto", "float32"),
    "convention": ("auto",),
    "prompt": (None, ""),
    "prompt_name": (None,),
    "layers": (None,),
    "long_documents": ("truncate",),
}


class Given(NamedTuple):
    """Texts, and the tokens of each [n] where they are known."""

    texts: Sequence[str]
    tokens: np.ndarray | None


class StaticEmbedder:
    """An embedder without a network: what models.embedders.network.Embedder does, under the same names.

    `dimension` of the vectors; `window`: texts that are best given at once. A text without known tokens gets the
    direction of the mean of all rows.
    """

    window = 4096

    def __init__(self, config: EmbedderConfig, directory: str, *, weights: bool = True) -> None:
        for name, values in UNUSED.items():
            if getattr(config, name) not in values:
                raise ValueError(
                    f"{config.model} is a token table: {name}={getattr(config, name)!r} means nothing to it"
                )
        from tokenizers import Tokenizer

        self._model, self._directory = config.model, directory
        description = checkpoints.read_config(directory)
        limit = description.get("max_length", DEFAULT_MAX_TOKENS)
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"{directory}: max_length {limit!r} of {checkpoints.CONFIG} is no number of tokens")
        self._max_tokens = config.max_tokens if limit is None else min(config.max_tokens, limit)
        if not (Path(directory) / "tokenizer.json").is_file():
            raise FileNotFoundError(f"{directory} has no tokenizer: looked for tokenizer.json")
        self._tokenizer_module: ModuleType = chosen.kind(directory)
        self._tokenizer = self._tokenizer_module.load(directory)
        vocabulary = Tokenizer.from_file(str(Path(directory) / "tokenizer.json")).get_vocab()
        self._most_characters = self._max_tokens * int(np.median([len(token) for token in vocabulary]))
        stored = tensors.open_tensors(directory)
        width = token_table.width_of(directory, stored, vocabulary)
        if config.dimensions is not None and config.dimensions > width:
            raise ValueError(f"dimensions {config.dimensions}: the model's vectors have {width}")
        self.dimension: int = config.dimensions or width
        self._table: np.ndarray | None = None
        if weights:
            ids = max(vocabulary.values()) + 1
            self._table = np.ascontiguousarray(token_table.read_rows(directory, stored, ids)[:, : self.dimension])
            self._nothing = token_table.row_of_nothing(self._table)
        self.counters = Counters()

    @property
    def dtype(self) -> str:
        """Of the arithmetic, whatever the table is stored as."""
        return "float32"

    def recipe(self) -> dict[str, Any]:
        """JSON-able: equal recipes give equal vectors (within rounding)."""
        files = (checkpoints.CONFIG, *tensors.weight_files(self._directory), *self._tokenizer_module.FILES)
        return {
            "family": "static",
            "model_digest": checkpoints.digest(self._directory, files),
            "dimension": self.dimension,
            "pooling": [{"kind": "pool", "modes": ["mean"]}],
            "max_tokens": self._max_tokens,
            "normalisation": "l2",
            "dtype": self.dtype,
            "tokenizer": self._tokenizer.recipe(),
        }

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each WHOLE text, unknown ones too."""
        return self._tokenizer.count(texts)

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text whose rows are averaged: cut at max_tokens, then without unknown ones."""
        found: list[np.ndarray] = []
        for ids, ends, _ in by_batches(self._tokens, self._cut(texts), characters=words.CHARACTERS):
            found += np.split(ids, ends[:-1])
        return found

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, dimension], rows of unit length in the order of the texts; a row depends on its text alone.

        Raises ValueError, naming the first, for texts whose rows add up to nothing.
        """
        vectors, valid = self.try_embed(texts)
        if not valid.all():
            bad = np.flatnonzero(~valid)
            first = texts[int(bad[0])][:80]
            raise ValueError(f"{self._model} gives {len(bad)} of {len(texts)} texts no vector, the first: {first!r}")
        return vectors

    def try_embed(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Embedded:
        """As embed; texts whose rows add up to nothing are told apart instead of raising.

        tokens: of each whole text as count_tokens has them, where they are known; otherwise those of truncated texts
        are counted.
        """
        return self.compute(self.prepare(texts, tokens=tokens))

    def prepare(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Given:
        """What `compute` takes: nothing is done ahead, because looking words up already takes all cores."""
        return Given(texts, tokens)

    def compute(
        self, prepared: Given, *, done: Callable[[int], None] | None = None, counters: Counters | None = None
    ) -> Embedded:
        """As try_embed, of texts that were prepared; `done` hears of as many as have just been finished.

        They are counted in `counters`, or else in the embedder's own, which several threads must not do at once.
        """
        texts, tokens = prepared
        counters = self.counters if counters is None else counters
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        valid = np.zeros(len(texts), bool)
        found = np.zeros(len(texts), np.int64)
        known = np.zeros(len(texts), np.int64)
        start = 0
        for block in by_batches(self._block, self._cut(texts), characters=words.CHARACTERS):
            stop = start + len(block[0])
            vectors[start:stop], valid[start:stop], found[start:stop], known[start:stop] = block
            if done:
                done(stop - start)
            start = stop
        seen = np.minimum(found, self._max_tokens)
        counters.tokens += int(known.sum())
        counters.unknown += int((2 * known < seen).sum())
        unsure = np.fromiter(map(len, texts), np.int64, len(texts)) > self._most_characters
        if not isinstance(self._tokenizer, words.WordTokenizer):
            unsure |= found >= self._max_tokens
        if unsure.any():
            whole = (
                self.count_tokens([texts[i] for i in np.flatnonzero(unsure).tolist()])
                if tokens is None
                else tokens[unsure]
            )
            found[unsure] = np.maximum(whole, seen[unsure])
        counters.truncated += int((found > seen).sum())
        counters.tokens_cut += int((found - seen).sum())
        counters.documents += len(texts)
        counters.without_vector += int((~valid).sum())
        return Embedded(vectors, valid)

    def layer_angles(self, texts: Sequence[str]) -> np.ndarray:
        """Raises ValueError: there are no layers."""
        raise ValueError(f"{self._model} is a token table: it has no layers")

    @property
    def _rows(self) -> np.ndarray:
        if self._table is None:
            raise ValueError("this embedder was made to be described, without weights")
        return self._table

    def _cut(self, texts: Sequence[str]) -> Any:
        return (text[: self._most_characters] for text in texts)

    def _block(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Vectors [n, d], whether there is one [n], tokens found [n] as _tokens has them, and those averaged [n]."""
        ids, ends, found = self._tokens(texts)
        return *self._average(ids, ends), found, np.diff(ends, prepend=0)

    def _tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first max_tokens ids of the texts without unknown ones, int32; where each text's end, int64 [n]; tokens
        found [n], unknown ones too: all by a WordTokenizer, at most max_tokens by others.
        """
        if isinstance(self._tokenizer, words.WordTokenizer):
            ids, ends = self._tokenizer.flat(texts)
            found = np.diff(ends, prepend=0)
            counts = np.minimum(found, self._max_tokens)
            long = np.flatnonzero(found > counts)
            if len(long):
                stops = (ends - found + counts)[long].tolist()
                starts = ends[long].tolist()
                ids = np.concatenate([ids[start:stop] for start, stop in zip([0, *starts], [*stops, len(ids)])])
        else:
            rows, _ = self._tokenizer.tokenize(texts, max_tokens=self._max_tokens, special=False)
            ids = np.concatenate([np.zeros(0, np.int32), *rows])
            counts = found = np.fromiter(map(len, rows), np.int64, len(rows))
        ends = np.cumsum(counts)
        if self._tokenizer.unknown is not None:
            unknown = np.flatnonzero(ids == self._tokenizer.unknown)
            if len(unknown):
                ends = ends - np.searchsorted(unknown, ends)
                ids = np.delete(ids, unknown)
        return ids, ends, found

    def _average(self, ids: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors float32 [n, d] and whether there is one [n]; the rows of a text are added in their order."""
        from scipy.sparse import csr_array

        starts = np.concatenate([np.zeros(1, np.int32), ends.astype(np.int32)])  # of one type with ids: no copies
        # Faster than gathering rows and adding them up, and the order does not depend on the batch.
        chosen_rows = csr_array((np.ones(len(ids), np.float32), ids, starts), shape=(len(ends), len(self._rows)))
        sums = chosen_rows @ self._rows
        sums[starts[1:] == starts[:-1]] = self._nothing
        norms = np.sqrt(np.einsum("nd,nd->n", sums, sums))
        valid = (norms > 0) & np.isfinite(norms)
        sums[~valid] = 0
        sums /= np.where(valid, norms, 1)[:, None]
        return sums, valid
