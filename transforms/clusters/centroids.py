"""Training: a sample of the documents still in -> centroids/, made by one worker."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.vectors import coarse
from sluice.models.clustering import assign, kmeans
from sluice.models.clustering.two_level import Levels
from sluice.transforms.clusters.members import Members, save_array
from sluice.transforms.records.records import Unit
from sluice.transforms.stages import memory, progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes, numbers, to_fixed
from sluice.transforms.stages.stage import Learn, StageTransform
from sluice.transforms.stages.writing import WriteUnit
from sluice.transforms.storage import sealed

SAMPLE_ROWS = 1024


@dataclass(frozen=True)
class Training:
    """k clusters from about `sample` of `population` documents; `method` as models.clustering.assign.METHODS.

    levels: how to train them in two levels (transforms.clusters.two_level); MakeCentroids trains in one.
    """

    k: int
    sample: int
    population: int
    seed: int
    purpose: str
    iterations: int = 20
    method: str = "auto"
    levels: Levels | None = None

    def share(self, sample: int) -> float:
        """The share of all tickets below which there are about `sample` documents."""
        return sample / max(self.population, 1)


class WriteSample(WriteUnit):
    """Unit -> the vectors that the sample takes from it: those whose seeded hash falls below sample / population."""

    def __init__(self, target: Artifact, members: Members, training: Training):
        super().__init__(target)
        self.members, self.training = members, training

    def write(self, unit: Unit) -> None:
        chosen = self.members.representatives(unit.id)
        ids = fixed_bytes(self.members.documents.read(unit.id, ["id_hash"])["id_hash"], "V16")
        ticket = seeded(ids, self.training.seed, f"sample:{self.training.purpose}")
        share = self.training.share(self.training.sample)
        if share < 1:
            chosen &= ticket < np.uint64(int(share * 2**64))
        stats = {"sampled": int(chosen.sum())}
        self.target.write(unit.id, self._tables(unit, chosen, ticket), self._schema(unit), stats)

    def _schema(self, unit: Unit) -> pa.Schema:
        vector = self.members.embeddings.read(unit.id, ["vector"]).schema.field("vector").type
        return pa.schema([("vector", vector), ("ticket", pa.uint64())])

    def _tables(self, unit: Unit, chosen: np.ndarray, ticket: np.ndarray) -> Iterator[pa.Table]:
        start = 0
        for batch in self.members.embeddings.windows(unit.id, ["vector"], 16384):
            stop = start + len(batch)
            here = np.flatnonzero(chosen[start:stop])
            found = fixed_bytes(batch.column(0), "<i2")[here]
            yield pa.table([to_fixed(found), pa.array(ticket[start:stop][here])], names=["vector", "ticket"])
            progress.add(self.stage, len(batch))
            start = stop


def read_sample(artifact: Artifact, parts: Iterable[Part]) -> np.ndarray:
    """The sampled vectors of all parts as float32 whole numbers [m, d], in the order of their tickets."""
    tables = []
    for part in sorted(parts, key=lambda part: part.unit):
        tables.append(artifact.read_unfinished(part.unit))
    tables = [table for table in tables if len(table)]
    order = np.argsort(np.concatenate([numbers(table, "ticket") for table in tables]), kind="stable")
    stored = np.concatenate([fixed_bytes(table["vector"], "<i2") for table in tables])
    del tables
    points = np.empty(stored.shape, np.float32)

    def fill(start: int) -> None:
        rows = order[start : start + SAMPLE_ROWS]
        points[start : start + SAMPLE_ROWS] = coarse(stored[rows])

    for _ in parallel(fill, range(0, len(order), SAMPLE_ROWS)):
        pass
    return points


class TrainCentroids(beam.DoFn):
    """All sample parts -> the centroids' files, and the totals that go into the manifest."""

    def __init__(self, target: Artifact, members: Members, training: Training):
        self.target, self.members, self.training = target, members, training

    def process(self, group: tuple[int, Iterable[Part]]) -> Iterator[dict[str, Any]]:
        points = read_sample(self.target, group[1])
        found = kmeans.train(points, self.training.k, iterations=self.training.iterations)
        totals = save_clustering(self.target, found, sample=len(points), method=self.training.method)
        yield {"folder": self.target.url, "totals": totals | {"embedding": self.members.embedding}}


def save_clustering(target: Artifact, found: kmeans.Clustering, *, sample: int, method: str) -> dict[str, Any]:
    """Write the files of centroids that were trained on `sample` points; returns the totals of their manifest."""
    save_array(target, "centroids", found.centroids.astype(np.int16))
    return {
        "k": len(found.centroids),
        "dimension": int(found.centroids.shape[1]),
        "method": save_index(target, found.centroids, method),
        "sample": sample,
        "iterations": found.iterations,
        "objective": found.objective,
        "imbalance_of_sample": found.imbalance,
        "empty_clusters_refilled": found.splits,
    }


def save_index(target: Artifact, centroids: np.ndarray, method: str) -> str:
    """Build the searcher of float32 centroids [k, d] where the method needs one; returns `exact` or `scann`."""
    chosen = assign.choose_method(method, len(centroids))
    if chosen == "scann":
        with sealed.create(target.file("index", ".tar")) as path:
            assign.build_index(centroids, path)
    return chosen


@dataclass
class MakeCentroids(StageTransform):
    """pipeline -> centroids/: the sample's parts, centroids.npy (int16 whole numbers at scale 4064) and a manifest."""

    version = 3

    members: Members
    training: Training

    @property
    def worker_memory(self) -> int:
        """Bytes that the worker that trains needs, as stages.memory counts them; the embeddings are finished."""
        return memory.training(
            sample=self.training.sample,
            dimension=self.members.embeddings.manifest["totals"]["max_dimension"],
            k=self.training.k,
        )

    @property
    def config(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self.training)))

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        sample = units | "Sample" >> beam.ParDo(WriteSample(self.target, self.members, self.training))
        return sample | Learn(TrainCentroids(self.target, self.members, self.training))
