"""The run's embedder timed on texts of the sample."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.models.checkpoints import tensors
from sluice.models.checkpoints.files import weight_bytes
from sluice.models.embedders import describe, layer_subset
from sluice.models.embedders.load import load
from sluice.pipelines.run.run import Run

MOST_EMBEDDED, FIRST_EMBEDDED, EMBED_SECONDS = 256, 16, 8.0


@dataclass(frozen=True)
class Embedded:
    """How fast a model is here: documents and tokens (those it sees) a second of all cores, core-seconds a document
    (and those of tokenizing it), operations a token (0 for a token table); weights: bytes.
    """

    documents: int
    documents_per_second: float
    tokens: float
    core_seconds: float
    tokenize_seconds: float
    flops_per_token: float
    dimension: int
    weights: int

    @property
    def tokens_per_second(self) -> float:
        return self.documents_per_second * self.tokens


def embed_texts(run: Run, texts: Sequence[str]) -> Embedded:
    """The run's embedder on some texts, for about EMBED_SECONDS, after everything is compiled."""
    assert run.embedder is not None
    embedder = load(run.embedder)
    some = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:MOST_EMBEDDED]]
    first = some[:FIRST_EMBEDDED]
    embedder.try_embed(first)
    rate = len(first) / _timed(embedder, first)[0]
    some = some[: max(int(rate * EMBED_SECONDS), len(first))]
    embedder.try_embed(some)
    before = embedder.counters.tokens
    seconds, core_seconds = _timed(embedder, some)
    tokenizer = describe.load_tokenizer(run.model)
    tokenizer.count(first)
    started = time.process_time()
    tokenizer.count(some)
    return Embedded(
        documents=len(some),
        documents_per_second=len(some) / seconds,
        tokens=(embedder.counters.tokens - before) / len(some),
        core_seconds=core_seconds / len(some),
        tokenize_seconds=(time.process_time() - started) / len(some),
        flops_per_token=_flops_per_token(run, embedder),
        dimension=embedder.dimension,
        weights=weight_bytes(run.model),
    )


def _timed(embedder: Any, texts: Sequence[str]) -> tuple[float, float]:
    started, used = time.perf_counter(), time.process_time()
    embedder.try_embed(texts)
    return time.perf_counter() - started, time.process_time() - used


def _flops_per_token(run: Run, embedder: Any) -> float:
    """Two operations for each weight that is no row of a token: attention over short texts adds little."""
    if not hasattr(embedder, "vocabulary"):
        return 0.0
    shapes = [tensor.shape for tensor in tensors.open_tensors(describe.network(run.model)).values()]
    used = sum(float(np.prod(shape)) for shape in shapes if not shape or shape[0] < embedder.vocabulary)
    layers, share = run.recipe.embedding.layers, 1.0
    if layers is not None and embedder.layers:
        share = len(layer_subset.kept_layers(layers, embedder.layers)) / embedder.layers
    return 2.0 * used * share
