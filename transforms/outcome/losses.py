"""Sources that lose nearly everything and clusters that lose all, counted before any corpus is written.

SemDeDup leaves the first document of every cluster; it is prototypes that can empty one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq

from sluice.models.clustering import skew
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import names_of, read_numbers, survivors

# How many are named, and how much of a name.
NAMED = 20
NAME = 200


@dataclass(frozen=True)
class ClusteredStep:
    """A finished step that clustered: what was in before it (None: everything), and after it."""

    name: str
    clusters: Artifact
    before: Artifact | None
    after: Artifact

    @property
    def rate(self) -> float:
        totals = self.after.manifest["totals"]
        return totals["kept"] / max(totals["kept"] + totals["removed"], 1)


class CountSources(beam.DoFn):
    """Part of documents/ -> (source, (documents, kept)) of a unit; nothing where sources are not told apart."""

    def __init__(self, documents: Artifact, keep: Artifact):
        self.documents, self.keep = documents, keep

    def process(self, part: Part) -> Iterator[tuple[str, tuple[int, int]]]:
        with self.documents.checked(part.unit) as path:
            if "source" not in pq.read_schema(path).names:
                return
            table = pq.read_table(path, columns=["source"], partitioning=None)
        places, names = names_of(table, "source")
        kept = survivors(self.keep, part.unit, len(places))
        sizes, left = (np.bincount(places[chosen], minlength=len(names) + 1) for chosen in (slice(None), kept))
        for name, size, rest in zip(names, sizes.tolist(), left.tolist()):
            yield name, (size, rest)


class CountClusters(beam.DoFn):
    """Part -> (step, int64 [2, k] as bytes): documents and kept ones by cluster."""

    def __init__(self, steps: tuple[ClusteredStep, ...]):
        self.steps = steps

    def process(self, part: Part) -> Iterator[tuple[str, bytes]]:
        for step in self.steps:
            cluster = read_numbers(step.clusters, part.unit, "cluster", missing=-1)
            alive, kept = (survivors(keep, part.unit, len(cluster)) for keep in (step.before, step.after))
            k = step.clusters.manifest["totals"]["clusters"]
            counts = [np.bincount(cluster[chosen], minlength=k) for chosen in (alive, kept)]
            yield step.name, np.stack(counts).astype(np.int64).tobytes()


def add_pairs(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Sums of documents and of kept ones."""
    documents = kept = 0
    for size, left in pairs:
        documents, kept = documents + size, kept + left
    return documents, kept


def add_counts(blocks: Iterable[bytes]) -> bytes:
    """Sums of arrays of one length; of none, nothing."""
    total: np.ndarray | None = None
    for block in blocks:
        if block:
            array = np.frombuffer(block, np.int64)
            total = array.copy() if total is None else total + array
    return b"" if total is None else total.tobytes()


@dataclass
class FindLosses(beam.PTransform):
    """Parts of all units -> dicts of totals: `lost_sources` and `lost_clusters`, absent where there are none.

    share: as skew.lost, of sources; a cluster is lost when nothing of it is kept. Each is {groups, documents,
    kept, largest: [[name or number, documents, kept], ...]}, and those of clusters are by step.
    """

    folder: str
    documents: Artifact
    keep: Artifact
    steps: tuple[ClusteredStep, ...]
    share: float

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        sources = (
            parts
            | "CountSources"
            >> beam.ParDo(CountSources(self.documents, self.keep)).with_output_types(tuple[str, tuple[int, int]])
            | "AddSources" >> beam.CombinePerKey(add_pairs)
            | "LostSources" >> beam.FlatMap(self._lost_source).with_output_types(tuple[int, tuple[str, int, int]])
            | "GatherSources" >> beam.GroupByKey()
            | "NameSources" >> beam.Map(self._name_sources)
        )
        clusters = (
            parts
            | "CountClusters" >> beam.ParDo(CountClusters(self.steps)).with_output_types(tuple[str, bytes])
            | "AddClusters" >> beam.CombinePerKey(add_counts)
            | "LostClusters" >> beam.FlatMap(self._lost_clusters)
        )
        return (sources, clusters) | "Losses" >> beam.Flatten()

    def _rate(self) -> float:
        return self.keep.manifest["totals"]["kept"] / max(self.documents.manifest["rows"], 1)

    def _lost_source(self, found: tuple[str, tuple[int, int]]) -> Iterator[tuple[int, tuple[str, int, int]]]:
        name, (documents, kept) = found
        if skew.lost(np.array([documents]), np.array([kept]), rate=self._rate(), share=self.share)[0]:
            yield 0, (name[:NAME], documents, kept)

    def _name_sources(self, group: tuple[int, Iterable[tuple[str, int, int]]]) -> dict[str, Any]:
        return {"folder": self.folder, "totals": {"lost_sources": described(group[1])}}

    def _lost_clusters(self, found: tuple[str, bytes]) -> Iterator[dict[str, Any]]:
        name, block = found
        documents, kept = np.frombuffer(block, np.int64).reshape(2, -1)
        rate = next(step.rate for step in self.steps if step.name == name)
        which = np.flatnonzero(skew.lost(documents, kept, rate=rate, share=0))
        if len(which):
            rows = zip(which.tolist(), documents[which].tolist(), kept[which].tolist())
            yield {"folder": self.folder, "totals": {"lost_clusters": {name: described(rows)}}}


def described(rows: Iterable[tuple[Any, int, int]]) -> dict[str, Any]:
    """(name, documents, kept) of groups -> how many there are and the largest of them."""
    ordered = sorted(rows, key=lambda row: (-row[1], row[0]))
    return {
        "groups": len(ordered),
        "documents": sum(row[1] for row in ordered),
        "kept": sum(row[2] for row in ordered),
        "largest": [list(row) for row in ordered[:NAMED]],
    }
