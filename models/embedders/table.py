"""Token tables: a text's vector is the mean of its tokens' rows. Tens of thousands of texts a second on one core.

The format and the arithmetic are model2vec's (github.com/MinishLab/model2vec): a directory of config.json with the
model_type "model2vec", model.safetensors with `embeddings` [rows, d] and, of vocabularies that were quantised,
`mapping` [tokens] (a token's row) and `weights` [tokens], and tokenizer.json. A text is cut at
max_tokens times the median token's characters and then at max_tokens, unknown tokens are dropped, the rest averaged.
`sluice distill` makes such a directory out of any other embedder (models/embedders/distill.py).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sluice.models import checkpoints
from sluice.models.arrays.parallel import by_batches
from sluice.models.checkpoints import tensors, token_table
from sluice.models.embedders.config import Counters, EmbedderConfig
from sluice.models.embedders.embedder import Embedder, Vectors
from sluice.models.tokenizers import chosen, words

DEFAULT_MAX_TOKENS = 512  # model2vec's, where config.json has no max_length
# Fields of an EmbedderConfig that mean nothing to a table, with the values that change nothing
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


class Tokens(NamedTuple):
    """int32 `ids` of several texts in a row: those of text i end before ends[i], int64 [n].

    `found` int64 [n]: tokens of each text, unknown ones too, which are not among the ids.
    """

    ids: np.ndarray
    ends: np.ndarray
    found: np.ndarray


class TableEmbedder(Embedder):
    """An embedder without a network. A text without known tokens gets the direction of the mean of all rows."""

    WITHOUT_VECTOR = "no vector"
    window = 4096
    dtype = "float32"  # whatever the table is stored as

    def __init__(self, config: EmbedderConfig, directory: str, *, weights: bool = True) -> None:
        super().__init__(config)
        for name, values in UNUSED.items():
            if getattr(config, name) not in values:
                raise ValueError(
                    f"{config.model} is a token table: {name}={getattr(config, name)!r} means nothing to it"
                )
        self._directory = directory
        self._max_tokens = _max_tokens(config, directory)
        if not (Path(directory) / "tokenizer.json").is_file():
            raise FileNotFoundError(f"{directory} has no tokenizer: looked for tokenizer.json")
        self._tokenizer_module = chosen.kind(directory)
        self._tokenizer = self._tokenizer_module.load(directory)
        vocabulary = _vocabulary(directory)
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

    def recipe(self) -> dict[str, Any]:
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
        return self._tokenizer.count(texts)

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text whose rows are averaged: cut at max_tokens, then without unknown ones."""
        rows: list[np.ndarray] = []
        for tokens in by_batches(self._tokens, self._cut(texts), characters=words.CHARACTERS):
            rows += np.split(tokens.ids, tokens.ends[:-1])
        return rows

    def prepare(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Given:
        """What `compute` takes: nothing is done ahead, because looking words up already takes all cores."""
        return Given(texts, tokens)

    def compute(
        self, prepared: Given, *, done: Callable[[int], None] | None = None, counters: Counters | None = None
    ) -> Vectors:
        texts = prepared.texts
        counters = self.counters if counters is None else counters
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        valid = np.zeros(len(texts), bool)
        found = np.zeros(len(texts), np.int64)
        known = np.zeros(len(texts), np.int64)
        start = 0
        for tokens, averages in by_batches(self._block, self._cut(texts), characters=words.CHARACTERS):
            stop = start + len(averages.valid)
            vectors[start:stop], valid[start:stop] = averages
            found[start:stop], known[start:stop] = tokens.found, np.diff(tokens.ends, prepend=0)
            if done:
                done(stop - start)
            start = stop
        seen = np.minimum(found, self._max_tokens)
        whole = self._whole_counts(prepared, found, seen)
        counters.documents += len(texts)
        counters.tokens += int(known.sum())
        counters.unknown += int((2 * known < seen).sum())
        counters.truncated += int((whole > seen).sum())
        counters.tokens_cut += int((whole - seen).sum())
        counters.without_vector += int((~valid).sum())
        return Vectors(vectors, valid)

    def layer_angles(self, texts: Sequence[str]) -> np.ndarray:
        """Raises ValueError: there are no layers."""
        raise ValueError(f"{self.config.model} is a token table: it has no layers")

    @property
    def rows(self) -> np.ndarray:
        """float32 [ids, dimension]: what each token adds to a text."""
        if self._table is None:
            raise ValueError("this embedder was made to be described, without weights")
        return self._table

    def _whole_counts(self, prepared: Given, found: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """int64 [n]: tokens of each whole text, which is longer than what was tokenized where it was cut."""
        cut = np.fromiter(map(len, prepared.texts), np.int64, len(prepared.texts)) > self._most_characters
        if not isinstance(self._tokenizer, words.WordTokenizer):
            cut |= found >= self._max_tokens
        if not cut.any():
            return found
        if prepared.tokens is None:
            counts = self.count_tokens([prepared.texts[i] for i in np.flatnonzero(cut).tolist()])
        else:
            counts = prepared.tokens[cut]
        whole = found.copy()
        whole[cut] = np.maximum(counts, seen[cut])
        return whole

    def _cut(self, texts: Sequence[str]) -> Any:
        return (text[: self._most_characters] for text in texts)

    def _block(self, texts: list[str]) -> tuple[Tokens, Vectors]:
        tokens = self._tokens(texts)
        return tokens, self._average(tokens.ids, tokens.ends)

    def _tokens(self, texts: list[str]) -> Tokens:
        """The first max_tokens ids of the texts, then without unknown ones.

        A WordTokenizer finds all tokens of a text, others max_tokens at most.
        """
        if isinstance(self._tokenizer, words.WordTokenizer):
            ids, ends = self._tokenizer.flat(texts)
            found = np.diff(ends, prepend=0)
            counts = np.minimum(found, self._max_tokens)
            long = np.flatnonzero(found > counts)
            if len(long):
                # What stays are the ids from each long text's end to the cut in the next one.
                cuts = (ends - found + counts)[long].tolist()
                starts = ends[long].tolist()
                ids = np.concatenate([ids[start:stop] for start, stop in zip([0, *starts], [*cuts, len(ids)])])
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
        return Tokens(ids, ends, found)

    def _average(self, ids: np.ndarray, ends: np.ndarray) -> Vectors:
        """The means of the texts' rows, to unit length; the rows of a text are added in their order."""
        from scipy.sparse import csr_array

        starts = np.concatenate([np.zeros(1, np.int32), ends.astype(np.int32)])  # of one type with ids: no copies
        # Faster than gathering rows and adding them up, and the order does not depend on the batch.
        chosen_rows = csr_array((np.ones(len(ids), np.float32), ids, starts), shape=(len(ends), len(self.rows)))
        sums = chosen_rows @ self.rows
        sums[starts[1:] == starts[:-1]] = self._nothing
        norms = np.sqrt(np.einsum("nd,nd->n", sums, sums))
        valid = (norms > 0) & np.isfinite(norms)
        sums[~valid] = 0
        sums /= np.where(valid, norms, 1)[:, None]
        return Vectors(sums, valid)


def _max_tokens(config: EmbedderConfig, directory: str) -> int:
    limit = checkpoints.read_config(directory).get("max_length", DEFAULT_MAX_TOKENS)
    if limit is None:
        return config.max_tokens
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"{directory}: max_length {limit!r} of {checkpoints.CONFIG} is no number of tokens")
    return min(config.max_tokens, limit)


def _vocabulary(directory: str) -> dict[str, int]:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(directory) / "tokenizer.json")).get_vocab()
