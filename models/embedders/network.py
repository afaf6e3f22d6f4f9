"""Texts to unit vectors with a model directory: EmbedderConfig travels to the workers, load() makes the Embedder.

    embedder = load(EmbedderConfig(model=default_model_dir()))
    vectors = embedder.embed(["a text", "another"])  # float32 [2, 384]

The family is the file of models/families that knows config.json's model_type; nothing registers it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sluice.models import checkpoints
from sluice.models.arrays import device
from sluice.models.checkpoints import tensors
from sluice.models.checkpoints.files import local_directory
from sluice.models.embedders import batches, layer_subset, pooled_steps, windows
from sluice.models.embedders.chain import Dense, read_chain
from sluice.models.embedders.config import CONVENTIONS, DTYPES, LONG_DOCUMENTS, POOLINGS, Counters, EmbedderConfig
from sluice.models.embedders.rows import Rows, TextRows
from sluice.models.families import family
from sluice.models.tokenizers import chosen

if TYPE_CHECKING:
    from sluice.models.embedders.table import StaticEmbedder

__all__ = [
    "CONVENTIONS",
    "DTYPES",
    "LONG_DOCUMENTS",
    "POOLINGS",
    "Counters",
    "Embedded",
    "Embedder",
    "EmbedderConfig",
    "Prepared",
    "load",
]


class Embedded(NamedTuple):
    """float32 vectors [n, d] of unit length, zero where `valid` [n] says that the model computed none."""

    vectors: np.ndarray
    valid: np.ndarray


class Prepared(NamedTuple):
    """Token ids of texts, and what was counted while they were made."""

    rows: Rows
    counters: Counters


class Embedder:
    """Made by `load`, in the worker that uses it: its configuration is small and picklable, itself is not.

    `dimension` of the vectors; `vocabulary`: ids that it has rows for; `layers` of the model, before any are left out.
    """

    def __init__(self, config: EmbedderConfig, *, weights: bool = True) -> None:
        if weights:
            config = replace(config, dtype=device.chosen_dtype(config.dtype))
        chain = read_chain(local_directory(config.model))
        description = checkpoints.read_config(chain.network)
        self._family = family(description.get("model_type"), chain.network)
        self._config, self._chain, self._description = config, chain, description
        self._convention = pooled_steps.chosen_convention(config, self._family, chain)
        module, self._weights, self._unused = self._subset(self._make_module(), self._family.weights(description))
        self._steps = pooled_steps.chosen_steps(config, self._family, chain)
        self.vocabulary: int = module.vocabulary
        self.dimension: int = pooled_steps.dimension_of(self._steps, module.size, config.dimensions)
        self._prompt = chain.prompt(config.prompt, config.prompt_name)
        self._max_tokens = min(config.max_tokens, self._family.max_tokens(description))
        self._tokenizer_module = chosen.kind(chain.network)
        self._tokenizer = self._tokenizer_module.load(chain.network)
        if self._tokenizer.size > module.vocabulary:
            raise ValueError(
                f"{config.model}: the tokenizer has {self._tokenizer.size} ids, the model {module.vocabulary}"
            )
        self._rows = TextRows(
            self._tokenizer,
            description,
            vocabulary=module.vocabulary,
            max_tokens=self._max_tokens,
            prompt=self._prompt,
            bare=self._convention == "d4",
            lower_case=chain.lower_case,
            chunks=config.long_documents == "chunk-mean",
        )
        self._buckets = batches.bucket_lengths(self._max_tokens)
        checkpoint = checkpoints.Checkpoint(
            chain.network,
            self._weights,
            prefix=self._family.PREFIX,
            harmless=(*self._family.HARMLESS, *self._unused),
            aliases=getattr(self._family, "ALIASES", None),
        )
        self._program: Any = self._make_program(module, checkpoint) if weights else _NoWeights()
        self.counters = Counters()

    @property
    def dtype(self) -> str:
        """float32 or bfloat16: what `auto` has become on this machine; `auto` where there are no weights."""
        return self._config.dtype

    @property
    def window(self) -> int:
        """Texts that are best given at once."""
        return self._program.window

    def recipe(self) -> dict[str, Any]:
        """JSON-able: equal recipes give equal vectors (within rounding, and `auto` on the same kind of machine)."""
        network = self._chain.network
        files = (checkpoints.CONFIG, *tensors.weight_files(network), *self._tokenizer_module.FILES)
        long: Any = self._config.long_documents
        if long == "chunk-mean":
            long = {"chunk-mean": f"1/{windows.OVERLAP} overlap"}
        return {
            "family": self._family.__name__.rpartition(".")[2],
            "model_digest": checkpoints.digest(network, files),
            "dimension": self.dimension,
            "pooling": [pooled_steps.described(step) for step in self._steps],
            "max_tokens": self._max_tokens,
            "normalisation": "l2",
            "dtype": self._config.dtype,
            "tokenizer": self._tokenizer.recipe(),
            "convention": self._convention,
            "prompt": self._prompt,
            "lower_case": self._chain.lower_case,
            "layers": self._kept,
            "long_documents": long,
        }

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each WHOLE text: no special tokens, no truncation."""
        return self._tokenizer.count(texts)

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text as the model sees them: with prompt and special tokens, cut at max_tokens."""
        return self._rows.tokenize(texts)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, dimension], rows of unit length in the order of the texts.

        A row depends on its text alone, up to 1e-5 of rounding. Raises ValueError, naming the first, for texts that the
        model computes no finite vector for.
        """
        vectors, valid = self.try_embed(texts)
        if not valid.all():
            bad = np.flatnonzero(~valid)
            text = texts[int(bad[0])]
            raise ValueError(
                f"{self._config.model} gives {len(bad)} of {len(texts)} texts a vector that is not finite, "
                f"the first: {text[:80]!r}"
            )
        return vectors

    def try_embed(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Embedded:
        """As embed; texts whose vector is zero or not finite are told apart instead of raising.

        tokens: of each whole text as count_tokens has them, where they are known; otherwise those of truncated texts
        are counted.
        """
        return self.compute(self.prepare(texts, tokens=tokens))

    def prepare(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Prepared:
        """The texts as token ids, for `compute`: another thread may prepare texts while this one computes others."""
        counters = Counters()
        return Prepared(self._rows.rows(texts, counters, tokens=tokens), counters)

    def compute(
        self, prepared: Prepared, *, done: Callable[[int], None] | None = None, counters: Counters | None = None
    ) -> Embedded:
        """As try_embed, of texts that were prepared.

        `done` hears of as many texts as have just been finished, all texts in all. They are counted in `counters`, or
        else in the embedder's own, which several threads must not do at once.
        """
        ids, owner, weights = prepared.rows
        counters = self.counters if counters is None else counters
        counters.add(prepared.counters)
        texts = prepared.counters.documents
        lengths = np.array([len(row) for row in ids], np.int32)
        # Each text is one row unless there are windows: then their vectors, of unit length each, are added up.
        sums = np.zeros((texts, self.dimension), np.float64 if len(ids) > texts else np.float32)
        for batch, found in self._program.run(self._plan(lengths), lambda batch: _padded(batch, ids, lengths)):
            found = found[: len(batch.rows)]
            if len(ids) > texts:
                np.add.at(sums, owner[batch.rows], found.astype(np.float64) * weights[batch.rows, None])
            else:
                sums[batch.rows] = found
            counters.padded_tokens += batch.size * batch.length
            if done:
                # Further windows of a text come after the first rows, one for each.
                done(int(np.count_nonzero(batch.rows < texts)))
        counters.tokens += int(lengths.sum())
        counters.padded_tokens -= int(lengths.sum())
        vectors, valid = windows.normalise(sums)
        counters.without_vector += int((~valid).sum())
        return Embedded(vectors, valid)

    def hidden_states(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """float32 [B, L, D] before pooling; what stands at padded positions means nothing."""
        return self._program.hidden_states(ids, lengths)

    def layer_angles(self, texts: Sequence[str]) -> np.ndarray:
        """float64 [n + 1, n + 1]: mean angle (over pi) between the inputs of the n layers and the last one's output.

        See models.embedders.program.angles_between. Raises ValueError for no texts, and a model without layers.
        """
        if not texts:
            raise ValueError("angles between layers need texts")
        ids = self._rows.tokenize(texts)
        lengths = np.array([len(row) for row in ids], np.int32)
        total: Any = 0.0
        for batch in self._plan(lengths):
            found = self._program.angles(*_padded(batch, ids, lengths))
            total = total + found[: len(batch.rows)].astype(np.float64).sum(axis=0)
        return total / len(texts)

    def _plan(self, lengths: np.ndarray) -> Iterator[batches.Batch]:
        program = self._program
        return batches.plan_batches(
            lengths,
            self._buckets,
            tokens=program.batch_tokens,
            devices=program.devices,
            halvings=program.halvings,
        )

    def _make_module(self) -> Any:
        import jax.numpy as jnp

        dtype = jnp.dtype("float32" if self._config.dtype == "auto" else self._config.dtype)
        if hasattr(self._family, "CONVENTIONS"):
            return self._family.encoder(self._description, dtype, convention=self._convention)
        return self._family.encoder(self._description, dtype)

    def _subset(self, module: Any, weights: dict[str, Any]) -> tuple[Any, dict[str, Any], list[str]]:
        """The module and weights of the layers to keep, and patterns of tensors that are then not needed."""
        self._kept: str | None = None
        self.layers = layer_subset.find_layers(weights)
        if self._config.layers is None:
            return module, weights, []
        kept = layer_subset.kept_layers(self._config.layers, self.layers)
        if len(kept) == self.layers:
            return module, weights, []
        self._kept = layer_subset.shown_layers(kept)
        return layer_subset.subset_module(module, kept), *layer_subset.subset_weights(weights, kept)

    def _make_program(self, module: Any, checkpoint: checkpoints.Checkpoint) -> Any:
        from sluice.models.embedders import pooling
        from sluice.models.embedders.program import Program, keep_programs

        if self._config.cache is not None:
            keep_programs(self._config.cache)
        return Program(
            module,
            self._steps,
            parameters=checkpoint.read(self._held),
            heads=[pooling.read_dense(step) if isinstance(step, Dense) else {} for step in self._steps],
            prompt=self._rows.prompt_tokens,
            dimensions=self._config.dimensions,
        )

    def _held(self, path: str) -> Any:
        """The type a parameter is held in: that of the arithmetic where its layer would bring it to that every time."""
        layer, _, name = path.rpartition("/")
        narrow = name in ("kernel", "embedding") and layer not in getattr(self._family, "FLOAT32", ())
        return np.dtype(self._config.dtype if narrow else np.float32)


class _NoWeights:
    def __getattr__(self, name: str) -> Any:
        raise ValueError("this embedder was made to be described, without weights")


def _padded(batch: batches.Batch, ids: Sequence[np.ndarray], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 [size, length] and lengths [size]; rows that only fill up hold one token, and are dropped."""
    padded = np.zeros((batch.size, batch.length), np.int32)
    valid = np.ones(batch.size, np.int32)
    valid[: len(batch.rows)] = lengths[batch.rows]
    for row, i in enumerate(batch.rows):
        padded[row, : lengths[i]] = ids[i]
    return padded, valid


def load(config: EmbedderConfig, *, weights: bool = True) -> "Embedder | StaticEmbedder":
    """The embedder of a model, weights read unless only its recipe is wanted. Call it in a worker's setup.

    Raises FileNotFoundError for a file that is not there, ValueError for a model this project cannot run faithfully.
    """
    with checkpoints.reading(config.model):
        if chosen.is_table(directory := local_directory(config.model)):
            from sluice.models.embedders.table import StaticEmbedder

            return StaticEmbedder(config, directory, weights=weights)
        return Embedder(config, weights=weights)
