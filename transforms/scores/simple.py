"""Scores that need no exchange: exact copies, prototypes over the corpus, random, lengths."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NEVER, NONE, Guard, write_scores
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, not_null, numbers, read_not_null, read_numbers, survivors
from sluice.transforms.stages.writing import WriteUnit


@dataclass
class WriteScores(WriteUnit):
    """Unit -> its part of scores/; a subclass says what the score is."""

    target: Artifact
    documents: Artifact
    keep: Artifact | None
    guard: Guard

    def __post_init__(self) -> None:
        super().__init__(self.target)

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
        """(score [n], neighbours or None) for the rows of documents/."""
        raise TypeError(f"{type(self).__name__} must define score")

    def columns(self) -> list[str]:
        """Further columns of documents/ that score looks at."""
        return []

    def stats(self, unit: int, documents: pa.Table) -> dict[str, Any]:
        """Further numbers for the part's statistics."""
        return {}

    def extra(self, unit: int, documents: pa.Table) -> dict[str, pa.Array]:
        """Further columns of the part."""
        return {}

    def write(self, unit: Unit) -> None:
        documents = self.documents.read(unit.id, ["row", "id_hash", "tokens", *self.guard.columns(), *self.columns()])
        score, neighbours = self.score(unit.id, documents)
        write_scores(
            self.target,
            unit.id,
            documents=documents,
            alive=survivors(self.keep, unit.id, len(documents)),
            score=score,
            guard=self.guard,
            neighbours=neighbours,
            stats=self.stats(unit.id, documents),
            extra=self.extra(unit.id, documents),
        )
        progress.add(self.stage, len(documents))


@dataclass
class ExactScores(WriteScores):
    """1 for a copy of an earlier document; nothing against the others."""

    version = 3

    copies: Artifact

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
        first = self.copies.read(unit)
        is_copy = not_null(first, "first_row")
        unit_of, row_of = (numbers(first, name, missing=NONE) for name in first.column_names)
        return np.where(is_copy, np.int64(1), NEVER), (unit_of, row_of)


@dataclass
class PrototypeScores(WriteScores):
    """Similarity to the own centroid (arXiv 2206.14486): with `far` kept, the most prototypical go first."""

    version = 3

    clusters: Artifact
    direction: str = "far"

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        similarity = read_numbers(self.clusters, unit, "similarity", missing=0)
        sign = 1 if self.direction == "far" else -1
        return sign * similarity.astype(np.int64), None


@dataclass
class RandomScores(WriteScores):
    """A hash of (seed, id): kept sets are nested in the ratio, and the same on every machine."""

    version = 3

    seed: int = 0

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        ticket = seeded(fixed_bytes(documents["id_hash"], "V16"), self.seed, "random")
        return (ticket >> np.uint64(1)).astype(np.int64), None


@dataclass
class LengthScores(WriteScores):
    """The longest first; nothing against a document whose length is not known. by: `tokens` or `characters`."""

    version = 3

    by: str = "tokens"

    def columns(self) -> list[str]:
        return [] if self.by == "tokens" else [self.by]

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        length = numbers(documents, self.by, missing=0).astype(np.int64)
        return np.where(not_null(documents, self.by), length, NEVER), None


@dataclass
class EmbeddedScores(WriteScores):
    """1 for a document that is still in and has no vector; nothing against the others."""

    version = 3

    embeddings: Artifact

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        there = read_not_null(self.embeddings, unit, "digest")
        return np.where(there, NEVER, np.int64(1)), None
