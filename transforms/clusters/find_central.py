"""The most central documents of every cluster: those most similar to its centroid, ties by their seeded hashes.

A unit sends at most CENTRAL documents of each cluster that it has some of, 24 bytes each: at most 7 MB at 100,000
clusters. They travel in blocks of clusters, which workers merge before and after the exchange.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.models.arrays.hashing import seeded
from sluice.transforms.clusters.central import CENTRAL
from sluice.transforms.clusters.members import Members, save_array
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes, numbers

BLOCK = 4096
FOUND = np.dtype([("cluster", "<u4"), ("similarity", "<i4"), ("tie", "<u8"), ("unit", "<u4"), ("row", "<u4")])


def most_central(found: np.ndarray) -> np.ndarray:
    """FOUND [n] in any order -> the first CENTRAL of each cluster, by cluster.

    Ids that are equal have equal hashes: only then the address decides.
    """
    found = found[_may_be_first(found)]
    order = np.lexsort((found["row"], found["unit"], found["tie"], -found["similarity"], found["cluster"]))
    ordered = found[order]
    _, start, counts = np.unique(ordered["cluster"], return_index=True, return_counts=True)
    rank = np.arange(len(ordered)) - np.repeat(start, counts)
    return ordered[rank < CENTRAL]


def _may_be_first(found: np.ndarray) -> np.ndarray:
    """bool [n]: not behind the last of the first CENTRAL. To sort one number takes a quarter of the time."""
    cluster = found["cluster"].astype(np.int64)
    key = (cluster << 32) - found["similarity"]
    clusters, counts = np.unique(cluster, return_counts=True)
    last = np.sort(key)[np.cumsum(counts) - np.maximum(counts - CENTRAL, 0) - 1]
    return key <= last[np.searchsorted(clusters, cluster)]


class FindCentral(beam.DoFn):
    """Part -> (block of clusters, FOUND as bytes): the unit's most central documents, of equal vectors the first."""

    def __init__(self, clusters: Artifact, members: Members, seed: int):
        self.clusters, self.members, self.seed = clusters, members, seed

    def process(self, part: Part) -> Iterator[tuple[int, bytes]]:
        table = self.clusters.read_unfinished(part.unit)
        documents = self.members.documents.read(part.unit, ["row", "id_hash"])
        chosen = self.members.representatives(part.unit)
        found = np.empty(int(chosen.sum()), FOUND)
        found["cluster"] = numbers(table, "cluster")[chosen]
        found["similarity"] = numbers(table, "similarity")[chosen]
        found["tie"] = seeded(fixed_bytes(documents["id_hash"], "V16")[chosen], self.seed, "tie")
        found["unit"], found["row"] = part.unit, numbers(documents, "row")[chosen]
        found = most_central(found)
        blocks, starts = np.unique(found["cluster"] // BLOCK, return_index=True)
        for block, piece in zip(blocks, np.split(found, starts[1:])):
            yield int(block), piece.tobytes()


class MergeCentral(beam.CombineFn):
    """FOUND of several units, as bytes -> the most central of all."""

    def create_accumulator(self) -> bytes:
        return b""

    def add_input(self, total: bytes, block: bytes) -> bytes:
        return self.merge_accumulators([total, block])

    def merge_accumulators(self, totals: Iterable[bytes]) -> bytes:
        return most_central(np.frombuffer(b"".join(totals), FOUND)).tobytes()

    def extract_output(self, total: bytes) -> bytes:
        return total


class SaveCentral(beam.PTransform):
    """Parts of clusters/ -> central.npy beside them, and the totals that say so.

    The array is int64 [n, 4], by cluster, the most central first: cluster, similarity (at scale COARSE**2), unit, row.
    """

    def __init__(self, clusters: Artifact, members: Members, seed: int):
        super().__init__()
        self.clusters, self.members, self.seed = clusters, members, seed

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        find = FindCentral(self.clusters, self.members, self.seed)
        return (
            parts
            | "Find" >> beam.ParDo(find).with_output_types(tuple[int, bytes])
            | "Merge" >> beam.CombinePerKey(MergeCentral()).with_output_types(tuple[int, bytes])
            | "Blocks" >> beam.Values()
            | "Gather" >> beam.CombineGlobally(_joined)
            | "Save" >> beam.Map(self._save)
        )

    def _save(self, blocks: bytes) -> dict[str, Any]:
        found = most_central(np.frombuffer(blocks, FOUND))
        columns = [found[name].astype(np.int64) for name in ("cluster", "similarity", "unit", "row")]
        save_array(self.clusters, "central", np.stack(columns, axis=1))
        return {"folder": self.clusters.url, "totals": {"central": len(found)}}


def _joined(blocks: Iterable[bytes]) -> bytes:
    return b"".join(blocks)
