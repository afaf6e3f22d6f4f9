"""Refinement: one iteration of k-means over all members, not a sample: centroids -> better centroids.

Every unit is assigned, as for clusters/, and its members are added up by cluster in whole numbers; sums of whole
numbers do not depend on the order of adding, so the result is models.clustering.kmeans.lloyd of all members at once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.models.arrays.vectors import COARSE, coarse
from sluice.models.clustering.kmeans import sum_by_label, update
from sluice.transforms.clusters.assign import WINDOW_ROWS, WriteClusters
from sluice.transforms.clusters.centroids import save_index
from sluice.transforms.clusters.members import OF_PARTS, Members, all_centroids, save_array
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes, numbers
from sluice.transforms.stages.stage import StageTransform

# Sums travel in blocks of so many centroids: 0.8 MB each at 384 dimensions.
BLOCK = 256


class SumMembers(beam.DoFn):
    """Part -> (block, int64 [BLOCK, 2 + d] as bytes): members, sum of similarities and sum of vectors, per centroid."""

    def __init__(self, target: Artifact, members: Members):
        self.target, self.members = target, members

    def process(self, part: Part) -> Iterator[tuple[int, bytes]]:
        table = self.target.read_unfinished(part.unit)
        chosen = self.members.representatives(part.unit)
        cluster = numbers(table, "cluster")[chosen].astype(np.int64)
        similarity = numbers(table, "similarity")[chosen].astype(np.int64)
        if not len(cluster):
            return
        # Only the clusters that the unit has members of.
        found, place = np.unique(cluster, return_inverse=True)
        sums: np.ndarray | None = None
        start = done = 0
        for batch in self.members.embeddings.windows(part.unit, ["vector"], WINDOW_ROWS):
            here = chosen[start : start + len(batch)]
            start += len(batch)
            points = coarse(fixed_bytes(batch.column(0), "<i2")[here])
            if sums is None:
                sums = np.zeros((len(found), 2 + points.shape[1]), np.int64)
            rows = slice(done, done + len(points))
            added, counts = sum_by_label(points, place[rows], len(found))
            sums[:, 0] += counts
            sums[:, 2:] += added
            np.add.at(sums[:, 1], place[rows], similarity[rows])
            done += len(points)
        assert sums is not None, part
        for block in np.unique(found // BLOCK):
            rows_of = found // BLOCK == block
            dense = np.zeros((BLOCK, sums.shape[1]), np.int64)
            dense[found[rows_of] % BLOCK] = sums[rows_of]
            yield int(block), dense.tobytes()


class AddSums(beam.CombineFn):
    """int64 arrays of one size, as bytes."""

    def create_accumulator(self) -> bytes:
        return b""

    def add_input(self, total: bytes, block: bytes) -> bytes:
        return (np.frombuffer(total, np.int64) + np.frombuffer(block, np.int64)).tobytes() if total else block

    def merge_accumulators(self, totals: Iterable[bytes]) -> bytes:
        merged = b""
        for total in totals:
            merged = self.add_input(merged, total) if total else merged
        return merged

    def extract_output(self, total: bytes) -> bytes:
        return total


class UpdateBlock(beam.DoFn):
    """(block, its sums) -> (0, (block, its centroids int16 as bytes, members, sum of similarities))."""

    def __init__(self, before: Artifact):
        self.before = before

    def setup(self) -> None:
        self._centroids = all_centroids(self.before)

    def process(self, item: tuple[int, bytes]) -> Iterator[tuple[int, tuple[int, bytes, int, int]]]:
        block, data = item
        old = self._centroids[block * BLOCK : (block + 1) * BLOCK]
        sums = np.frombuffer(data, np.int64).reshape(BLOCK, -1)[: len(old)]
        new = update(sums[:, 2:], old).astype("<i2")
        yield 0, (block, new.tobytes(), int(sums[:, 0].sum()), int(sums[:, 1].sum()))


class SaveRefined(beam.DoFn):
    """All updated blocks -> the refined centroids' files, and the totals that go into the manifest."""

    def __init__(self, before: Artifact, after: Artifact):
        self.before, self.after = before, after

    def process(self, group: tuple[int, Iterable[tuple[int, bytes, int, int]]]) -> Iterator[dict[str, Any]]:
        # A block without members is not among them: it stays as it was.
        centroids = all_centroids(self.before).astype(np.int16)
        members = similarity = 0
        for block, data, count, total in group[1]:
            rows = centroids[block * BLOCK : (block + 1) * BLOCK]
            rows[:] = np.frombuffer(data, "<i2").reshape(len(rows), -1)
            members, similarity = members + count, similarity + total
        totals = {name: value for name, value in self.before.manifest["totals"].items() if name not in OF_PARTS}
        k = totals["k"]
        save_array(self.after, "centroids", centroids[:k])
        if totals.get("splits"):
            save_array(self.after, "splits", centroids[k:])
        save_index(self.after, centroids[:k].astype(np.float32), totals["method"])
        # The cosine to the centroids as they were: that of the last ones is what clusters/ has.
        totals["refined"] = [*totals.get("refined", []), similarity / members / COARSE**2]
        yield {"folder": self.after.url, "totals": totals}


@dataclass
class RefineCentroids(StageTransform):
    """pipeline -> better centroids: those `before` after one iteration over all members.

    Its parts are those of clusters/, of the assignment to the centroids before.
    """

    version = 3

    members: Members
    before: Artifact

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        write = WriteClusters(self.target, self.members, self.before, order=None, seed=0)
        parts = units | "Assign" >> beam.ParDo(write)
        totals = (
            parts
            | "Sum" >> beam.ParDo(SumMembers(self.target, self.members)).with_output_types(tuple[int, bytes])
            | "AddSums" >> beam.CombinePerKey(AddSums()).with_output_types(tuple[int, bytes])
            | "Update" >> beam.ParDo(UpdateBlock(self.before)).with_output_types(tuple[int, Any])
            | "GatherBlocks" >> beam.GroupByKey()
            | "Save" >> beam.ParDo(SaveRefined(self.before, self.target))
        )
        return (parts, totals) | "PartsAndTotals" >> beam.Flatten()
