"""How many documents each cluster has, and how near they are to its centroid: statistics.npy beside an assignment."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.models.arrays.vectors import COARSE
from sluice.transforms.clusters.members import Members, save_array
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import numbers


class CountMembers(beam.DoFn):
    """Part -> int64 [4, k] as bytes, a column a cluster:

    [0]  documents
    [1]  of them, representatives: the first of documents with equal vectors
    [2]  the sum of their similarities to the centroid, as integers of the vectors' scale
    [3]  the sum of their squared cosines, in millionths
    """

    def __init__(self, clusters: Artifact, members: Members, centroids: Artifact):
        self.clusters, self.members, self.centroids = clusters, members, centroids

    def process(self, part: Part) -> Iterator[bytes]:
        totals = self.centroids.manifest["totals"]
        k = totals["k"] + sum(count for _, count in totals.get("splits", []))
        table = self.clusters.read_unfinished(part.unit)
        alive = self.members.alive(part.unit)
        cluster = numbers(table, "cluster")[alive].astype(np.int64)
        similarity = numbers(table, "similarity")[alive].astype(np.float64)
        sums = np.zeros((4, k), np.float64)
        sums[0] = np.bincount(cluster, minlength=k)
        sums[1] = np.bincount(cluster, weights=self.members.representatives(part.unit)[alive], minlength=k)
        sums[2] = np.bincount(cluster, weights=similarity, minlength=k)
        # Whole numbers, so that the order in which parts are added up does not matter.
        sums[3] = np.bincount(cluster, weights=np.rint(np.square(similarity / COARSE**2) * 1e6), minlength=k)
        yield sums.astype(np.int64).tobytes()


def _add_arrays(blocks: Iterable[bytes]) -> bytes:
    total: np.ndarray | None = None
    for block in blocks:
        array = np.frombuffer(block, np.int64)
        total = array.copy() if total is None else total + array
    return b"" if total is None else total.tobytes()


@dataclass
class SaveStatistics(beam.PTransform):
    """Parts -> statistics.npy, the sum of what `count` makes of each, and totals for the manifest.

    most: representatives of a cluster that a scorer takes at once; larger clusters are counted as too large (None: no
    scorer asks).
    """

    target: Artifact
    count: CountMembers
    most: int | None

    def expand(self, parts: beam.PCollection[Part]) -> beam.PCollection[dict[str, Any]]:
        return (
            parts
            | "Count" >> beam.ParDo(self.count).with_output_types(bytes)
            | "Add" >> beam.CombineGlobally(_add_arrays)
            | "Save" >> beam.Map(self._save)
        )

    def _save(self, block: bytes) -> dict[str, Any]:
        array = np.frombuffer(block, np.int64).reshape(4, -1)
        save_array(self.target, "statistics", array)
        documents = array[0].astype(float)
        filled = documents[documents > 0]
        totals = {
            "clusters": int(array.shape[1]),
            "empty": int((documents == 0).sum()),
            "largest": int(documents.max(initial=0)),
            "largest_representatives": int(array[1].max(initial=0)),
            "imbalance": float(array.shape[1] * np.square(documents).sum() / max(documents.sum(), 1) ** 2),
            "median_size": float(np.median(filled)) if len(filled) else 0.0,
        }
        if self.most is not None:
            totals["too_large"] = int((array[1] > self.most).sum())
        return {"folder": self.target.url, "totals": totals}
