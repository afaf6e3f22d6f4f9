"""The vectors of the sample: given ones read, or the run's embedder timed on its texts."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.models.checkpoints import tensors
from sluice.models.embedders import describe, layer_subset
from sluice.models.embedders.describe import load_tokenizer
from sluice.models.embedders.load import load
from sluice.pipelines.plan.measure import work_through
from sluice.pipelines.plan.sample import Sample
from sluice.pipelines.run.run import Run
from sluice.transforms.embeddings.embed import WriteEmbeddings
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes
from sluice.transforms.stages.commit import commit

MOST_EMBEDDED, FIRST_EMBEDDED, EMBED_SECONDS = 256, 16, 8.0


@dataclass(frozen=True)
class Embedded:
    """How fast a model is here: documents and tokens (those it sees) a second of all cores, core-seconds a document,
    operations a token (0 for a token table), and the vectors of the texts.
    """

    documents: int
    documents_per_second: float
    tokens_per_second: float
    tokens: float
    core_seconds: float
    tokenize_seconds: float
    flops_per_token: float
    dimension: int
    vectors: np.ndarray


@dataclass(frozen=True)
class Given:
    """Given vectors: core-seconds a document of the embeddings stage, and the vectors int16 [n, d]."""

    core_seconds: float
    dimension: int
    vectors: np.ndarray


def read_vectors(run: Run, sample: Sample, folder: str, documents: Artifact, *, most: int) -> Given:
    """The embeddings stage on the sample, where vectors are given."""
    target = Artifact(f"{folder}/embeddings", "1" * 32)
    write = WriteEmbeddings(
        target, documents, keep=None, fields=run.fields, embedder=None, on_unreadable="reject", tokens_known=False
    )
    seconds = work_through(write, sample)
    parts = [target.describe(piece.unit.id) for piece in sample.pieces]
    commit(target, parts=parts, config={})
    filled = [(piece, part) for piece, part in zip(sample.pieces, parts) if part.rows]
    places = sum(piece.places for piece, _ in filled)
    found = []
    for piece, part in filled:
        column = target.read(part.unit, ["vector"])["vector"]
        vectors = fixed_bytes(column, "<i2")[column.is_valid().to_numpy()]
        count = min(math.ceil(most * piece.places / places), len(vectors))
        found.append(vectors[np.unique(np.linspace(0, len(vectors) - 1, count).astype(int))])
    rows = sum(part.rows for part in parts)
    return Given(seconds / max(rows, 1), found[0].shape[1], np.concatenate(found))


def embed_texts(run: Run, texts: Sequence[str], *, most: int = MOST_EMBEDDED) -> Embedded:
    """The run's embedder on some texts, for about EMBED_SECONDS, after everything is compiled."""
    assert run.embedder is not None
    embedder = load(run.embedder)
    places = np.unique(np.linspace(0, len(texts) - 1, min(most, len(texts))).astype(int))
    some = [texts[i] for i in np.random.default_rng(0).permutation(places)]
    first = some[:FIRST_EMBEDDED]
    embedder.try_embed(first)
    rate = len(first) / _timed(embedder, first)[0]
    some = some[: max(int(rate * EMBED_SECONDS), len(first))]
    found, valid = embedder.try_embed(some)
    before = embedder.counters.tokens
    seconds, core_seconds = _timed(embedder, some)
    tokens = (embedder.counters.tokens - before) / len(some)
    tokenizer = load_tokenizer(run.model)
    tokenizer.count(first)
    started = time.process_time()
    tokenizer.count(some)
    tokenize = (time.process_time() - started) / len(some)
    return Embedded(
        documents=len(some),
        documents_per_second=len(some) / seconds,
        tokens_per_second=len(some) * tokens / seconds,
        tokens=tokens,
        core_seconds=core_seconds / len(some),
        tokenize_seconds=tokenize,
        flops_per_token=_flops_per_token(run, embedder),
        dimension=embedder.dimension,
        vectors=found[valid],
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
    layers = run.recipe.embedding.layers
    share = 1.0
    if layers is not None and embedder.layers:
        share = len(layer_subset.kept_layers(layers, embedder.layers)) / embedder.layers
    return 2.0 * used * share
