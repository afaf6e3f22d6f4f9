"""Assignment: the documents still in -> clusters/: cluster and similarity, and the vectors sorted by cluster.

The sorted vectors are what scorers read: one file per unit, in runs of bounded size, with the offsets of every
cluster in every run, so that a bin of clusters is one contiguous range of each run and no vector crosses a shuffle.
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.vectors import coarse
from sluice.models.clustering import assign
from sluice.transforms.clusters.find_central import SaveCentral
from sluice.transforms.clusters.member_counts import CountMembers, SaveStatistics
from sluice.transforms.clusters.members import Members, load_array
from sluice.transforms.clusters.sorted_records import OFFSETS, RECORDS, SortedRunWriter, most_in_bin
from sluice.transforms.records.records import Unit
from sluice.transforms.stages import memory, progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes, numbers
from sluice.transforms.stages.order import Order, order_keys
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.writing import WriteUnit
from sluice.transforms.storage import sealed

CLUSTERS = pa.schema([("cluster", pa.int32()), ("similarity", pa.int32())])
# Of records that are sorted at once, at least; see run_bytes.
RUN_BYTES = 64 << 20
WINDOW_ROWS = 16384
CHECKED = 500


def run_bytes(bin_bytes: int) -> int:
    """How many bytes of records are sorted into one run.

    A bin reads one range of every run, so larger bins go with larger runs: both make fewer and longer reads.
    """
    return max(bin_bytes // 4, RUN_BYTES)


def load_assigner(centroids: Artifact, folder: str) -> assign.SplitAssigner:
    """The assigner of finished centroids; `folder` is a local place for ScaNN's files."""
    totals = centroids.manifest["totals"]
    array = load_array(centroids, "centroids").astype(np.float32)
    if totals["method"] == "scann":
        with centroids.opened("index", ".tar") as archive:
            top: Any = assign.ScannAssigner(array, archive, folder)
    else:
        top = assign.ExactAssigner(array)
    splits = {}
    if totals.get("splits"):
        below = load_array(centroids, "splits").astype(np.float32)
        start = 0
        for cluster, count in totals["splits"]:
            splits[int(cluster)] = below[start : start + count]
            start += count
    return assign.SplitAssigner(top, len(array), splits)


class WriteClusters(WriteUnit):
    """Unit -> its part of clusters/, its sorted records and their offsets (the last two only with an `order`)."""

    def __init__(
        self,
        target: Artifact,
        members: Members,
        centroids: Artifact,
        *,
        order: Order | None,
        seed: int,
        run_bytes: int = RUN_BYTES,
    ):
        super().__init__(target)
        self.members, self.centroids, self.order, self.seed = members, centroids, order, seed
        self.run_bytes = run_bytes

    def setup(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-scann-")
        self._assigner = load_assigner(self.centroids, self._folder.name)

    def teardown(self) -> None:
        self._folder.cleanup()

    def write(self, unit: Unit) -> None:
        stats: dict[str, Any] = {"assigned": 0}
        if self.centroids.manifest["totals"]["method"] == "scann":
            stats |= {"checked": 0, "agreed": 0}
        if self.order is None:
            self.target.write(unit.id, self._tables(unit, stats, None), CLUSTERS, stats)
            return
        # The sorted file first: a unit whose clusters part exists has it.
        with self._beside(unit, RECORDS) as path, open(path, "wb") as file:
            runs = SortedRunWriter(file, self._assigner.clusters, self.run_bytes)
            tables = list(self._tables(unit, stats, runs))
            runs.flush()
        with self._beside(unit, OFFSETS) as path, open(path, "wb") as file:
            file.write(runs.offsets().tobytes())
        stats["runs"] = len(runs.runs)
        self.target.write(unit.id, tables, CLUSTERS, stats)

    def _beside(self, unit: Unit, suffix: str) -> AbstractContextManager[str]:
        return sealed.create(self.target.path(unit.id, suffix))

    def existing(self, unit: Unit) -> Part | None:
        found = super().existing(unit)
        if found is not None and self.order is not None:
            whole = [sealed.discard_damaged(self.target.path(unit.id, one)) for one in (RECORDS, OFFSETS)]
            return found if all(whole) else None
        return found

    def _tables(self, unit: Unit, stats: dict[str, Any], runs: SortedRunWriter | None) -> Iterator[pa.Table]:
        alive = self.members.alive(unit.id)
        representative = self.members.representatives(unit.id) if runs else alive
        documents = self.members.documents.read(unit.id, self.order.columns()) if self.order else None
        start = 0
        for batch in self.members.embeddings.windows(unit.id, ["vector"], WINDOW_ROWS):
            stop = start + len(batch)
            here = np.flatnonzero(alive[start:stop])
            found = fixed_bytes(batch.column(0), "<i2")[here]
            points = coarse(found)
            index, dots = self._assigner(points)
            self._check(points, dots, stats)
            if runs is not None and documents is not None and self.order is not None:
                chosen = representative[start:stop][here]
                priority, tie = order_keys(
                    documents.slice(start, len(batch)).take(here), self.order, seed=self.seed, similarity=dots
                )
                rows = numbers(documents, "row")[start:stop][here]
                runs.add(
                    found[chosen],
                    index[chosen],
                    rows=rows[chosen],
                    priority=priority[chosen],
                    tie=tie[chosen],
                )
            stats["assigned"] += len(here)
            cluster = np.zeros(len(batch), np.int32)
            similarity = np.zeros(len(batch), np.int32)
            cluster[here], similarity[here] = index, dots
            gone = ~alive[start:stop]
            yield pa.table([pa.array(cluster, mask=gone), pa.array(similarity, mask=gone)], schema=CLUSTERS)
            progress.add(self.stage, len(batch))
            start = stop

    def _check(self, points: np.ndarray, dots: np.ndarray, stats: dict[str, Any]) -> None:
        """Count how often an approximate assigner agrees with the exact one, on the window's first rows."""
        if "checked" in stats:
            _, exact = assign.SplitAssigner(
                assign.ExactAssigner(self._assigner.top.centroids),
                len(self._assigner.top.centroids),
                self._assigner.splits,
            )(points[:CHECKED])
            stats["checked"] += len(exact)
            stats["agreed"] += int((exact == dots[:CHECKED]).sum())


@dataclass
class AssignClusters(StageTransform):
    """pipeline -> clusters/ of all units, statistics.npy (int64 [4, k], see CountMembers), central.npy (see
    SaveCentral) and the manifest.

    bin_bytes: of the scorer that will read the sorted records, which are there where an `order` is given.
    """

    version = 3

    members: Members
    centroids: Artifact
    order: Order | None
    seed: int
    bin_bytes: int = 0

    @property
    def run_bytes(self) -> int:
        return run_bytes(self.bin_bytes) if self.order else 0

    @property
    def worker_memory(self) -> int:
        """Bytes that a worker needs, as transforms.stages.memory counts them; the centroids are finished."""
        totals = self.centroids.manifest["totals"]
        return self.memory_with(totals["k"] + sum(count for _, count in totals.get("splits", [])))

    def memory_with(self, clusters: int) -> int:
        """worker_memory, were there so many clusters."""
        dimension = self.centroids.manifest["totals"]["dimension"]
        return memory.assignment(k=clusters, dimension=dimension, run_bytes=self.run_bytes)

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        write = WriteClusters(
            self.target, self.members, self.centroids, order=self.order, seed=self.seed, run_bytes=self.run_bytes
        )
        parts = units | "Assign" >> beam.ParDo(write)
        # For schedulers, which see no more of a run than its manifests.
        most = most_in_bin(self.bin_bytes, self.centroids.manifest["totals"]["dimension"]) if self.bin_bytes else None
        count = CountMembers(self.target, self.members, self.centroids)
        statistics = parts | "Statistics" >> SaveStatistics(self.target, count, most)
        central = parts | "Central" >> SaveCentral(self.target, self.members, self.seed)
        return (parts, statistics, central) | "PartsAndTotals" >> beam.Flatten()
