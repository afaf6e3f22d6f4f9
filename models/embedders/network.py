"""Embedders with a network: texts to rows of token ids, in batches of like length through a compiled program."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sluice.models import checkpoints
from sluice.models.arrays import device
from sluice.models.checkpoints import tensors
from sluice.models.embedders import batches
from sluice.models.embedders.architecture import Architecture, read_architecture
from sluice.models.embedders.chain import Dense, described
from sluice.models.embedders.config import Counters, EmbedderConfig
from sluice.models.embedders.embedder import Embedder, Vectors
from sluice.models.embedders.rows import OVERLAP, Rows, TextRows
from sluice.models.tokenizers import chosen


class Prepared(NamedTuple):
    """Token ids of texts, and what was counted while they were made."""

    rows: Rows
    counters: Counters


class NetworkEmbedder(Embedder):
    """Token ids go through a family's network and its pooling steps, in batches of `sizes` (those of this machine).

    `architecture`: what the files and the configuration decide; `vocabulary`: ids that the network has rows for;
    `layers` of the model, before any are left out.
    """

    WITHOUT_VECTOR = "a vector that is not finite"

    def __init__(self, config: EmbedderConfig, *, weights: bool = True, sizes: batches.Sizes | None = None) -> None:
        if weights:
            config = replace(config, dtype=device.chosen_dtype(config.dtype))
        super().__init__(config)
        self.architecture = read_architecture(config)
        self.dtype = config.dtype
        self.dimension = self.architecture.dimension
        self.vocabulary: int = self.architecture.module.vocabulary
        self.layers = self.architecture.layers
        self._text_rows = _make_rows(config, self.architecture)
        self._buckets = batches.bucket_lengths(self._text_rows.max_tokens)
        # Opened without weights too: a checkpoint that does not fit is reported before any worker starts.
        checkpoint = self.architecture.checkpoint()
        self._program: Any = self._make_program(checkpoint, sizes) if weights else _NoWeights()

    @property
    def window(self) -> int:
        return self._program.sizes.window

    def recipe(self) -> dict[str, Any]:
        network = self.architecture
        files = (checkpoints.CONFIG, *tensors.weight_files(network.directory), *chosen.kind(network.directory).FILES)
        long: Any = self.config.long_documents
        if long == "chunk-mean":
            long = {"chunk-mean": f"1/{OVERLAP} overlap"}
        return {
            "family": network.name,
            "model_digest": checkpoints.digest(network.directory, files),
            "dimension": self.dimension,
            "pooling": [described(step) for step in network.steps],
            "max_tokens": self._text_rows.max_tokens,
            "normalisation": "l2",
            "dtype": self.dtype,
            "tokenizer": self._text_rows.tokenizer.recipe(),
            "convention": network.convention,
            "prompt": self._text_rows.prompt,
            "lower_case": network.chain.lower_case,
            "layers": network.kept,
            "long_documents": long,
        }

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        return self._text_rows.tokenizer.count(texts)

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text as the model sees them: with prompt and special tokens, cut at max_tokens."""
        return self._text_rows.tokenize(texts)

    def prepare(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Prepared:
        counters = Counters()
        return Prepared(self._text_rows.rows(texts, counters, tokens=tokens), counters)

    def compute(
        self, prepared: Prepared, *, done: Callable[[int], None] | None = None, counters: Counters | None = None
    ) -> Vectors:
        ids, text_of, weights = prepared.rows
        counters = self.counters if counters is None else counters
        counters.add(prepared.counters)
        texts = prepared.counters.documents
        lengths = np.array([len(row) for row in ids], np.int32)
        # Each text is one row unless there are windows: then their vectors, of unit length each, are added up.
        in_windows = len(ids) > texts
        sums = np.zeros((texts, self.dimension), np.float64 if in_windows else np.float32)
        for batch, vectors in self._program.run(self._batches(lengths), lambda batch: _padded(batch, ids, lengths)):
            vectors = vectors[: len(batch.rows)]
            if in_windows:
                weighted = vectors.astype(np.float64) * weights[batch.rows, None]
                np.add.at(sums, text_of[batch.rows], weighted)
            else:
                sums[batch.rows] = vectors
            counters.padded_tokens += batch.size * batch.length
            if done:
                # A text's first row stands at the text's own place, its further windows after all of these.
                done(int(np.count_nonzero(batch.rows < texts)))
        counters.tokens += int(lengths.sum())
        counters.padded_tokens -= int(lengths.sum())
        unit = unit_vectors(sums)
        counters.without_vector += int((~unit.valid).sum())
        return unit

    def hidden_states(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """float32 [B, L, D] before pooling; what stands at padded positions means nothing."""
        return self._program.hidden_states(ids, lengths)

    def layer_angles(self, texts: Sequence[str]) -> np.ndarray:
        if not texts:
            raise ValueError("angles between layers need texts")
        ids = self._text_rows.tokenize(texts)
        lengths = np.array([len(row) for row in ids], np.int32)
        total: Any = 0.0
        for batch in self._batches(lengths):
            angles = self._program.angles(*_padded(batch, ids, lengths))
            total = total + angles[: len(batch.rows)].astype(np.float64).sum(axis=0)
        return total / len(texts)

    def _batches(self, lengths: np.ndarray) -> Iterator[batches.Batch]:
        sizes, devices = self._program.sizes, self._program.devices
        return batches.plan_batches(
            lengths, self._buckets, tokens=sizes.tokens, devices=devices, halvings=sizes.halvings
        )

    def _make_program(self, checkpoint: checkpoints.Checkpoint, sizes: batches.Sizes | None) -> Any:
        # heavy: JAX, which a launcher that only describes an embedder does without
        from sluice.models.embedders import pooling
        from sluice.models.embedders.program import Program, keep_programs

        if self.config.cache is not None:
            keep_programs(self.config.cache)
        steps = self.architecture.steps
        return Program(
            self.architecture.module,
            steps,
            parameters=checkpoint.read(lambda path: self.architecture.parameter_type(path, self.dtype)),
            heads=[pooling.read_dense(step) if isinstance(step, Dense) else {} for step in steps],
            prompt=self._text_rows.prompt_tokens,
            dimensions=self.config.dimensions,
            sizes=sizes,
        )


class _NoWeights:
    def __getattr__(self, name: str) -> Any:
        raise ValueError("this embedder was made to be described, without weights")


def _make_rows(config: EmbedderConfig, network: Architecture) -> TextRows:
    """Raises ValueError for a prompt that the model lacks or that leaves no room, and a tokenizer of another model."""
    prompt = network.chain.prompt(config.prompt, config.prompt_name)
    tokenizer = chosen.load(network.directory)
    vocabulary = network.module.vocabulary
    if tokenizer.size > vocabulary:
        raise ValueError(f"{config.model}: the tokenizer has {tokenizer.size} ids, the model {vocabulary}")
    return TextRows(
        tokenizer,
        network.description,
        vocabulary=vocabulary,
        max_tokens=min(config.max_tokens, network.family.max_tokens(network.description)),
        prompt=prompt,
        bare=network.convention == "d4",
        lower_case=network.chain.lower_case,
        chunks=config.long_documents == "chunk-mean",
    )


def _padded(batch: batches.Batch, ids: Sequence[np.ndarray], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 [size, length] and lengths [size]; rows that only fill up hold one token, and are dropped."""
    padded = np.zeros((batch.size, batch.length), np.int32)
    valid = np.ones(batch.size, np.int32)
    valid[: len(batch.rows)] = lengths[batch.rows]
    for row, i in enumerate(batch.rows):
        padded[row, : lengths[i]] = ids[i]
    return padded, valid


def unit_vectors(sums: np.ndarray) -> Vectors:
    """float [n, d] -> float32 unit vectors [n, d], zero where `valid` is False: there the sum is zero or not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", sums, sums))
    # Unit vectors in float32, and sums of several, are this short only if nothing is left of them.
    valid = np.isfinite(norms) & (norms > 1e-6)
    vectors = np.zeros(sums.shape, np.float32)
    vectors[valid] = sums[valid] / norms[valid, None]
    return Vectors(vectors, valid)
