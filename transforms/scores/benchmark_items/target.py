"""Benchmark-targeted ranking (BETR, arXiv 2507.12466): a sample is labelled by best rank, a classifier scores the rest.

The classifier is trained once, by one worker, and rounded to the grid of the vectors, so all scores are exact.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.vectors import coarse, normalise_centroids
from sluice.models.methods import best_ranks, logistic
from sluice.transforms.clusters.centroids import Training, WriteSample, read_sample
from sluice.transforms.clusters.members import Members, load_array, save_array
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.benchmark_items.read_items import item_vectors
from sluice.transforms.scores.simple import WriteScores
from sluice.transforms.stages import memory
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes
from sluice.transforms.stages.stage import Learn, StageTransform

WINDOW_ROWS = 16384


@dataclass(frozen=True)
class Teaching:
    """About `sample` of `population` documents are labelled: the share `positives` with the best ranks, or not."""

    sample: int
    population: int
    positives: float
    penalty: float
    seed: int

    def training(self) -> Training:
        """As samples of vectors are described."""
        return Training(1, self.sample, self.population, self.seed, "target")


class TrainClassifier(beam.DoFn):
    """All sample parts -> the classifier's weights (int16 at the coarse scale), and totals for the manifest."""

    def __init__(self, target: Artifact, items: Artifact, teaching: Teaching):
        self.target, self.items, self.teaching = target, items, teaching

    def process(self, group: tuple[int, Iterable[Part]]) -> Iterator[dict[str, Any]]:
        parts = list(group[1])
        sampled = sum(part.rows for part in parts)
        if sampled < 2:
            raise ValueError(f"the sample has {sampled} documents: too few to tell targets from others")
        points = read_sample(self.target, parts)
        targets = coarse(item_vectors(self.items))
        count = min(max(int(np.ceil(self.teaching.positives * len(points))), 1), len(points) - 1)
        best = best_ranks.best_ranks(points, targets, most=count)
        positive = best_ranks.label(best, count)
        found = logistic.fit(points, positive, penalty=self.teaching.penalty)
        weights = normalise_centroids(found.weights[None])[0]
        save_array(self.target, "weights", weights.astype(np.int16))
        totals = {
            "targets": len(targets),
            "sample": len(points),
            "positives": count,
            "worst_positive_rank": int(best[positive].max()),
            "steps": found.steps,
            "loss": found.loss,
            "area_under_curve": logistic.area_under_curve(points @ weights, positive),
        }
        yield {"folder": self.target.url, "totals": totals}


@dataclass
class MakeClassifier(StageTransform):
    """pipeline -> classifier/: the sample's parts, weights.npy and a manifest."""

    version = 3

    members: Members
    items: Artifact
    teaching: Teaching

    @property
    def worker_memory(self) -> int:
        """Bytes that the worker that trains needs, as transforms.stages.memory counts them."""
        dimension = self.members.embeddings.manifest["totals"]["max_dimension"]
        second = 8 * (dimension + 1) ** 2
        return memory.training(sample=self.teaching.sample, dimension=dimension, k=1) + 8 * second

    @property
    def config(self) -> dict[str, Any]:
        return asdict(self.teaching)

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        sample = units | "Sample" >> beam.ParDo(WriteSample(self.target, self.members, self.teaching.training()))
        return sample | Learn(TrainClassifier(self.target, self.items, self.teaching))


@dataclass
class TargetScores(WriteScores):
    """Minus the classifier's product with a document's vector: what is least like the targets goes first."""

    version = 3

    embeddings: Artifact
    classifier: Artifact

    def setup(self) -> None:
        self._weights = load_array(self.classifier, "weights").astype(np.float32)

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        found = [np.zeros(0, np.int64)]
        for batch in self.embeddings.windows(unit, ["vector"], WINDOW_ROWS):
            column = batch.column(0)
            there = np.flatnonzero(~column.is_null().to_numpy(False))
            score = np.zeros(len(batch), np.int64)
            score[there] = -(coarse(fixed_bytes(column, "<i2")[there]) @ self._weights).astype(np.int64)
            found.append(score)
        return np.concatenate(found), None
