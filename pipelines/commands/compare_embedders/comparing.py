"""The whole model and its variants over the same texts: how fast each is, and how much they agree."""

import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from sluice.models.embedders.config import EmbedderConfig
from sluice.models.embedders.load import load
from sluice.models.reporting import comparison
from sluice.pipelines.commands.compare_embedders.text_sample import LEAST
from sluice.pipelines.commands.compare_embedders.variants import variant_of
from sluice.pipelines.recipe.presets import DEDUP_SHARE
from sluice.pipelines.terminal.progress import doing

TURNS, TIMED, NEIGHBOURS = 3, 256, 10


class Comparing:
    """The whole model's vectors, and what semdedup and D4 keep with them; each variant is set beside these.

    Raises ValueError where the model has vectors for fewer than LEAST of the texts.
    """

    def __init__(self, texts: Sequence[str], whole: EmbedderConfig, keep: Decimal):
        self.texts, self.whole, self.keep = texts, whole, keep
        self.embedder = load(whole)
        with doing(f"{len(texts):,} documents by {whole.model}"):
            self.vectors, self.valid = self.embedder.try_embed(texts)
            self.rate = _rate(self.embedder, texts)
        self.documents = int(self.valid.sum())
        if self.documents < LEAST:
            raise ValueError(f"the model has vectors for {self.documents} of {len(texts)} texts; {LEAST} are needed")
        # By configuration without cut dimensions: vectors, which texts have one, times as fast as the whole.
        self._measured = {whole: (self.vectors, self.valid, 1.0)}
        self._order = np.random.default_rng(0).permutation(self.documents)
        self._neighbours = comparison.neighbours(self.vectors[self.valid], NEIGHBOURS)
        self._selection = self._select(self.vectors[self.valid], self._order)

    def _select(self, vectors: np.ndarray, order: np.ndarray) -> comparison.Selection:
        return comparison.select(vectors, keep=self.keep, dedup=DEDUP_SHARE, order=order)

    def about_whole(self) -> dict[str, Any]:
        """What is said of the whole model; `other_start`: k-means began elsewhere."""
        again = self._select(self.vectors[self.valid], self._order[::-1])
        return {
            "model": self.whole.model,
            "documents": self.documents,
            "neighbours": NEIGHBOURS,
            "keep": float(self.keep),
            "semdedup_keep": float(max(self.keep, DEDUP_SHARE)),
            "whole": {
                "max_tokens": self.whole.max_tokens,
                "dimension": self.vectors.shape[1],
                "documents_per_second": self.rate,
            },
            "other_start": _agreements(self._selection, again),
            "timed": min(TIMED, len(self.texts)),
        }

    def row(self, options: dict[str, Any]) -> dict[str, Any]:
        """A variant's speed, and how much its vectors and selections agree with the whole model's."""
        config = variant_of(self.whole, options)
        # Dimensions are cut from vectors at hand, but the mean of a long document's windows is of vectors cut before.
        base = replace(config, dimensions=None) if config.long_documents == "truncate" else config
        vectors, valid, times = self._measure(base)
        both = self.valid & valid
        if not both.all():
            raise ValueError(f"no vector for {int((~both).sum())} of {len(self.texts)} texts")
        if config.dimensions is not None and base.dimensions is None:
            vectors = _cut(vectors, config.dimensions)
        return {
            "dimension": vectors.shape[1],
            "documents_per_second": self.rate * times,
            "speed": times,
            "overlap": comparison.overlap(self._neighbours, comparison.neighbours(vectors, NEIGHBOURS)),
            **_agreements(self._selection, self._select(vectors, self._order)),
        }

    def _measure(self, config: EmbedderConfig) -> tuple[np.ndarray, np.ndarray, float]:
        if config not in self._measured:
            variant = load(config)
            vectors, valid = variant.try_embed(self.texts)
            self._measured[config] = vectors, valid, _speed(variant, self.embedder, self.texts)
        return self._measured[config]


def _agreements(one: comparison.Selection, other: comparison.Selection) -> dict[str, float]:
    return {
        "semdedup": comparison.agreement(one.semdedup, other.semdedup),
        "kept": comparison.agreement(one.kept, other.kept),
    }


def _speed(embedder: Any, other: Any, texts: Sequence[str]) -> float:
    """How many times as fast as `other`: the median of turns, as machines are rarely still.

    Both must have embedded these texts before: programs are compiled the first time.
    """
    some = _some(texts)
    return float(np.median([_seconds(other, some) / _seconds(embedder, some) for _ in range(TURNS)]))


def _rate(embedder: Any, texts: Sequence[str]) -> float:
    """Documents a second, the median of turns."""
    some = _some(texts)
    return len(some) / float(np.median([_seconds(embedder, some) for _ in range(TURNS)]))


def _some(texts: Sequence[str]) -> list[str]:
    return [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, min(TIMED, len(texts))).astype(int))]


def _seconds(embedder: Any, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    embedder.try_embed(texts)
    return time.perf_counter() - started


def _cut(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    if not 1 <= dimensions <= vectors.shape[1]:
        raise ValueError(f"dimensions {dimensions}: the model's vectors have {vectors.shape[1]}")
    short = vectors[:, :dimensions]
    return short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
