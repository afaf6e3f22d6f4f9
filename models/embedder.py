"""Texts to unit vectors with a local model directory: EmbedderConfig travels to the workers, load() makes the Embedder.

    embedder = load(EmbedderConfig(model=default_model_dir()))
    vectors = embedder.embed(["a text", "another"])  # float32 [2, 384]

The family is the file of models/embedders named as config.json's model_type; nothing registers it.
"""

import contextlib
import hashlib
import importlib
import json
import os
import pkgutil
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sluice.models import batches, checkpoints

POOLINGS = ("mean", "cls", "last")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class EmbedderConfig:
    """What decides the vectors, and where compiled programs are kept.

    `model`: a Hugging Face directory. `max_tokens`: texts are cut there, special tokens counted; the model's positions
    are a lower bound to it. `pooling`: mean, cls, last, or auto (what sentence-transformers' 1_Pooling says, else
    mean). `dtype` of the arithmetic; vectors are float32 either way. `cache`: directory of compiled programs that
    later processes reuse, None for none.
    """

    model: str
    max_tokens: int = 256
    pooling: str = "auto"
    dtype: str = "float32"
    cache: str | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens must be at least 3, got {self.max_tokens}")
        if self.pooling not in ("auto", *POOLINGS):
            raise ValueError(f"pooling must be auto or one of {POOLINGS}, got {self.pooling!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {DTYPES}, got {self.dtype!r}")


@dataclass
class Counters:
    """Totals since load(). `padded_tokens` are positions computed in vain, `truncated` counts texts."""

    documents: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    truncated: int = 0


class Embedder:
    """Made by `load`, in the worker that uses it: its configuration is small and picklable, itself is not."""

    def __init__(self, config: EmbedderConfig, *, weights: bool = True) -> None:
        description = checkpoints.read_config(config.model)
        self._family = family(description.get("model_type"))
        self._pooling = pooling(config.model) if config.pooling == "auto" else config.pooling
        _check_modules(config.model)
        self._max_tokens = min(config.max_tokens, self._family.max_tokens(description))
        self._tokenizer_module = importlib.import_module(f"sluice.models.tokenizers.{self._family.TOKENIZER}")
        self._config = config
        self._tokenizer = self._tokenizer_module.load(config.model)
        if self._tokenizer.size > description["vocab_size"]:
            raise ValueError(
                f"{config.model}: the tokenizer has {self._tokenizer.size} ids, the model {description['vocab_size']}"
            )
        self._program: Callable[..., Any] = self._make_program(description) if weights else _no_weights
        self._buckets = batches.bucket_lengths(self._max_tokens)
        self.dimension: int = description["hidden_size"]
        self.counters = Counters()

    def recipe(self) -> dict[str, Any]:
        """JSON-able: equal recipes give equal vectors (within rounding)."""
        files = (checkpoints.CONFIG, checkpoints.WEIGHTS, *self._tokenizer_module.FILES)
        return {
            "family": self._family.__name__.rpartition(".")[2],
            "model_digest": checkpoints.digest(self._config.model, files),
            "dimension": self.dimension,
            "pooling": self._pooling,
            "max_tokens": self._max_tokens,
            "normalisation": "l2",
            "dtype": self._config.dtype,
            "tokenizer": self._tokenizer.recipe(),
        }

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each WHOLE text: no special tokens, no truncation."""
        return self._tokenizer.count(texts)

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text as the model sees them: with special tokens, cut at max_tokens."""
        return self._tokenizer.tokenize(texts, max_tokens=self._max_tokens)[0]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, dimension], rows of unit length in the order of the texts.

        A row depends on its text alone, up to 1e-5 of rounding. Raises ValueError if the model computes no finite
        vector.
        """
        ids, truncated = self._tokenizer.tokenize(texts, max_tokens=self._max_tokens)
        lengths = np.array([len(row) for row in ids], np.int32)
        vectors = np.empty((len(texts), self.dimension), np.float32)

        def run(batch: batches.Batch) -> int:
            padded = np.zeros((batch.size, batch.length), np.int32)
            valid = np.ones(batch.size, np.int32)  # rows that only fill up hold one token, and are dropped
            valid[: len(batch.rows)] = lengths[batch.rows]
            for row, i in enumerate(batch.rows):
                padded[row, : lengths[i]] = ids[i]
            vectors[batch.rows] = np.asarray(self._program(padded, valid))[: len(batch.rows)]
            return padded.size

        planned = batches.plan_batches(lengths, self._buckets, tokens=self._batch_tokens)
        with ThreadPoolExecutor(self._in_flight) as pool:
            computed = sum(pool.map(run, planned))
        if not np.isfinite(vectors).all():
            raise ValueError(f"{self._config.model} gives vectors that are not finite")
        self.counters.documents += len(texts)
        self.counters.tokens += int(lengths.sum())
        self.counters.padded_tokens += computed - int(lengths.sum())
        self.counters.truncated += int(truncated.sum())
        return vectors

    def embed_ids(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """float32 [B, dimension] of token ids int32 [B, L], right padded, of which the first lengths [B] are valid."""
        return np.asarray(self._program(ids, lengths))

    def hidden_states(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """float32 [B, L, dimension] before pooling; what stands at padded positions means nothing."""
        return np.asarray(self._hidden(self._parameters, ids, lengths))

    def _make_program(self, description: dict[str, Any]) -> Any:
        import jax
        import jax.numpy as jnp

        if self._config.cache is not None:
            from jax.experimental.compilation_cache import compilation_cache

            folder = str(Path(self._config.cache).expanduser() / _processor())
            if jax.config.values["jax_compilation_cache_dir"] != folder:
                jax.config.update("jax_compilation_cache_dir", folder)
                compilation_cache.reset_cache()  # JAX settles at its first compilation whether there is a cache
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        # On a CPU a batch's activations should stay in cache, and a second batch uses the cores that the first leaves
        # idle between its products. An accelerator wants few large batches.
        on_cpu = jax.default_backend() == "cpu"
        self._batch_tokens, self._in_flight = (512, min(8, _cores())) if on_cpu else (65536, 2)
        module = self._family.encoder(description, jnp.dtype(self._config.dtype))
        self._parameters = jax.device_put(
            checkpoints.read_parameters(
                self._config.model,
                self._family.weights(description),
                prefix=self._family.PREFIX,
                harmless=self._family.HARMLESS,
            )
        )

        def hidden(parameters: Any, ids: jax.Array, lengths: jax.Array) -> jax.Array:
            # TensorFloat-32, an accelerator's default for float32, would cost three digits
            with jax.default_matmul_precision("highest"):
                return module.apply({"params": parameters}, ids, lengths).astype(jnp.float32)

        def vectors(parameters: Any, ids: jax.Array, lengths: jax.Array) -> jax.Array:
            return _pool(hidden(parameters, ids, lengths), lengths, self._pooling)

        self._hidden, program = jax.jit(hidden), jax.jit(vectors)
        return lambda ids, lengths: program(self._parameters, ids, lengths)


def _no_weights(*_: Any) -> Any:
    raise ValueError("this embedder was made to be described, without weights")


def load(config: EmbedderConfig) -> Embedder:
    """The embedder of a model directory, weights read. Call it in a worker's setup.

    Raises FileNotFoundError for a file that is not there, ValueError for a model this project cannot run faithfully.
    """
    try:
        return Embedder(config)
    except KeyError as error:
        raise ValueError(f"{config.model}: the configuration has no {error}") from error


def families() -> list[str]:
    """The model types there are: the files of models/embedders."""
    import sluice.models.embedders

    return sorted(module.name for module in pkgutil.iter_modules(sluice.models.embedders.__path__))


def pooling(directory: str) -> str:
    """What sentence-transformers' 1_Pooling/config.json says, mean without one. Raises ValueError for another kind."""
    path = Path(directory) / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    config = json.loads(path.read_text(encoding="utf-8"))
    kinds = {
        "mean": config.get("pooling_mode_mean_tokens"),
        "cls": config.get("pooling_mode_cls_token"),
        "last": config.get("pooling_mode_lasttoken"),
    }
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if len(chosen) != 1 or not any(kinds.values()):
        raise ValueError(f"{path} asks for {chosen}: exactly one of mean, cls and last token is supported")
    return next(kind for kind, value in kinds.items() if value)


def _processor() -> str:
    """A name for this kind of processor: programs compiled for another kind may use instructions it lacks."""
    name = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def _cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def family(model_type: Any) -> ModuleType:
    """The module of a family. Raises ValueError, naming those there are, for any other."""
    if model_type not in families():
        raise ValueError(f"model_type {model_type!r} is not supported: there are {', '.join(families())}")
    return importlib.import_module(f"sluice.models.embedders.{model_type}")


def _check_modules(directory: str) -> None:
    """Refuses a sentence-transformers model with more after pooling than normalisation, a Dense layer for instance."""
    path = Path(directory) / "modules.json"
    if not path.is_file():
        return
    kinds = [str(module.get("type")).rpartition(".")[2] for module in json.loads(path.read_text(encoding="utf-8"))]
    if unknown := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        raise ValueError(f"{path} has modules that are not supported: {', '.join(unknown)}")


def _pool(hidden: Any, lengths: Any, kind: str) -> Any:
    """[B, L, D] and lengths [B] -> unit vectors [B, D]."""
    import jax.numpy as jnp

    if kind == "cls":
        pooled = hidden[:, 0]
    elif kind == "last":
        pooled = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)[:, 0]
    else:
        valid = (jnp.arange(hidden.shape[1])[None, :] < lengths[:, None])[:, :, None]
        pooled = jnp.where(valid, hidden, 0.0).sum(axis=1) / lengths[:, None]
    return pooled / jnp.maximum(jnp.linalg.norm(pooled, axis=-1, keepdims=True), 1e-12)
