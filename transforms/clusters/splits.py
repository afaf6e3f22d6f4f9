"""Splitting clusters that no bin can hold: seeded sub-clustering, planned from counts, recorded with the centroids.

A split cluster keeps its number and becomes empty; its parts take numbers after all others. What is lost are the pairs
across the parts of one cluster, as pairs across clusters always are; the report says which clusters were split.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.models.arrays.vectors import coarse
from sluice.models.clustering import kmeans
from sluice.transforms.clusters.members import OF_PARTS, Members, load_array, save_array
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes, numbers, read_numbers, to_fixed
from sluice.transforms.stages.stage import Learn, StageTransform
from sluice.transforms.stages.writing import WriteUnit
from sluice.transforms.storage import sealed

SAMPLE_PER_PART = 256


@dataclass(frozen=True)
class Splits:
    """For each cluster to split: how many parts, and how many representatives it has."""

    parts: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    seed: int


def plan_splits(clusters: Artifact, centroids: Artifact, *, most: int, seed: int) -> Splits | None:
    """What must be split so that every cluster has at most `most` representatives; None when all have.

    `clusters` are assigned to `centroids`, which may be split already: a part that is still too large has its whole
    cluster split into more parts.
    """
    counts = load_array(clusters, "statistics")[1]
    k, earlier = centroids.manifest["totals"]["k"], centroids.manifest["totals"].get("splits", [])
    parent, wanted = list(range(k)), dict[int, int]()
    sizes: dict[int, int] = {}
    for cluster, parts in earlier:
        parent += [cluster] * parts
        wanted[cluster] = parts
    for number, count in enumerate(counts.tolist()):
        sizes[parent[number]] = sizes.get(parent[number], 0) + count
    oversized = {parent[number] for number in np.flatnonzero(counts > most)}
    if not oversized:
        return None
    for cluster in oversized:
        # Parts are never of one size: half full on average leaves room for the larger ones.
        wanted[cluster] = max(2 * wanted.get(cluster, 0), math.ceil(2 * sizes[cluster] / most))
    ordered = tuple(sorted(wanted.items()))
    return Splits(ordered, tuple(sizes[cluster] for cluster, _ in ordered), seed)


class WriteSplitSample(WriteUnit):
    """Unit -> the vectors that the splitting of its large clusters is trained on."""

    def __init__(self, target: Artifact, members: Members, clusters: Artifact, before: Artifact, splits: Splits):
        super().__init__(target)
        self.members, self.clusters, self.before, self.splits = members, clusters, before, splits

    def write(self, unit: Unit) -> None:
        cluster = read_numbers(self.clusters, unit.id, "cluster", missing=-1)
        totals = self.before.manifest["totals"]
        parent = np.r_[np.arange(totals["k"]), *([cluster] * parts for cluster, parts in totals.get("splits", []))]
        cluster = np.where(cluster >= 0, parent.astype(np.int64)[cluster], -1)
        ids = fixed_bytes(self.members.documents.read(unit.id, ["id_hash"])["id_hash"], "V16")
        ticket = seeded(ids, self.splits.seed, "split")
        chosen = self.members.representatives(unit.id)
        share = np.zeros(totals["k"])
        for (number, parts), size in zip(self.splits.parts, self.splits.sizes):
            share[number] = min(SAMPLE_PER_PART * parts / size, 1)
        chosen &= (cluster >= 0) & (ticket.astype(np.float64) / 2**64 < share[cluster])
        vectors = self.members.embeddings.read(unit.id, ["vector"])["vector"]
        found = fixed_bytes(vectors, "<i2")[chosen]
        columns = [to_fixed(found), pa.array(ticket[chosen]), pa.array(cluster[chosen], pa.int32())]
        table = pa.table(columns, names=["vector", "ticket", "cluster"])
        self.target.write(unit.id, [table], table.schema, {"sampled": len(table)})


class TrainSplits(beam.DoFn):
    """All samples -> splits.npy beside a copy of the centroids (and of their index), and the totals."""

    def __init__(self, target: Artifact, before: Artifact, splits: Splits):
        self.target, self.before, self.splits = target, before, splits

    def process(self, group: tuple[int, Iterable[Part]]) -> Iterator[dict[str, Any]]:
        tables = []
        for part in sorted(group[1], key=lambda part: part.unit):
            tables.append(self.target.read_unfinished(part.unit))
        sample = pa.concat_tables([table for table in tables if len(table)]).sort_by("ticket")
        clusters = numbers(sample, "cluster")
        made: list[np.ndarray] = []
        for cluster, parts in self.splits.parts:
            points = coarse(fixed_bytes(sample.filter(pa.array(clusters == cluster))["vector"], "<i2"))
            made.append(kmeans.train(points, parts).centroids)
        save_array(self.target, "centroids", load_array(self.before, "centroids"))
        save_array(self.target, "splits", np.concatenate(made).astype(np.int16))
        totals = dict(self.before.manifest["totals"])
        if totals["method"] == "scann":
            with self.before.opened("index", ".tar") as path:
                sealed.copy(path, self.target.file("index", ".tar"))
        for name in OF_PARTS:
            totals.pop(name, None)
        totals["splits"] = [[cluster, len(parts)] for (cluster, _), parts in zip(self.splits.parts, made)]
        yield {"folder": self.target.url, "totals": totals}


@dataclass
class SplitClusters(StageTransform):
    """pipeline -> centroids like `before`, with the clusters of `splits` divided."""

    version = 3

    members: Members
    clusters: Artifact
    before: Artifact
    splits: Splits

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        write = WriteSplitSample(self.target, self.members, self.clusters, self.before, self.splits)
        return units | "Sample" >> beam.ParDo(write) | Learn(TrainSplits(self.target, self.before, self.splits))
