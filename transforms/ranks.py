"""Scores relative to the own cluster, so that a cut over the corpus takes the same share of every cluster."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.models.hashing import seeded
from sluice.transforms import progress
from sluice.transforms.artifacts import Artifact
from sluice.transforms.records import Unit
from sluice.transforms.scores import Guard, write_scores
from sluice.transforms.stages import Commit, GatherByUnit, ReadUnits, WriteGathered
from sluice.transforms.survivors import fixed_bytes, survivors

MEMBER = np.dtype([("cluster", "<i4"), ("score", "<i8"), ("tie", "<u8"), ("unit", "<u4"), ("row", "<u4")])
RANK = np.dtype([("row", "<u4"), ("score", "<f8")])
KEYS = 256


@dataclass(frozen=True)
class ClusterRanks:
    """Where similarities to the own centroid are, and which way they prune: sign 1 removes the nearest first."""

    documents: Artifact
    clusters: Artifact
    keep: Artifact | None
    sign: int
    seed: int


class SendMembers(beam.DoFn):
    """Unit -> (cluster modulo KEYS, MEMBER bytes) for the documents still in."""

    def __init__(self, ranks: ClusterRanks):
        self.ranks = ranks

    def process(self, unit: Unit) -> Iterator[tuple[int, bytes]]:
        documents = self.ranks.documents.read(unit.id, ["row", "id_hash"])
        found = self.ranks.clusters.read(unit.id)
        alive = survivors(self.ranks.keep, unit.id, len(documents))
        members = np.zeros(int(alive.sum()), MEMBER)
        for name, column, sign in (("cluster", "cluster", 1), ("score", "similarity", self.ranks.sign)):
            members[name] = sign * found[column].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)[alive]
        members["tie"] = seeded(fixed_bytes(documents["id_hash"], "V16"), self.ranks.seed, "tie")[alive]
        members["unit"], members["row"] = unit.id, documents["row"].to_numpy()[alive]
        key = members["cluster"] % KEYS
        for number in np.unique(key):
            yield int(number), members[key == number].tobytes()


def rank_members(group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
    """(key, MEMBER blocks) -> (unit, RANK bytes): (position + 1/2) / size, positions by (score, tie, place)."""
    members = np.sort(np.frombuffer(b"".join(group[1]), MEMBER), order=list(MEMBER.names or ()))
    starts = np.flatnonzero(np.r_[True, members["cluster"][1:] != members["cluster"][:-1]])
    sizes = np.diff(np.r_[starts, len(members)])
    position = np.arange(len(members)) - np.repeat(starts, sizes)
    ranks = np.zeros(len(members), RANK)
    ranks["row"], ranks["score"] = members["row"], (position + 0.5) / np.repeat(sizes, sizes)
    for unit in np.unique(members["unit"]):
        yield int(unit), ranks[members["unit"] == unit].tobytes()


class WriteRanks(WriteGathered):
    """Unit and its RANK rows -> its part of scores/."""

    dtype = RANK

    def __init__(self, target: Artifact, ranks: ClusterRanks, guard: Guard):
        super().__init__(target)
        self.ranks, self.guard = ranks, guard

    def write(self, unit: Unit) -> None:
        documents = self.ranks.documents.read(unit.id, ["row", "tokens", *self.guard.columns()])
        alive = survivors(self.ranks.keep, unit.id, len(documents))
        score = np.zeros(len(documents))
        score[np.searchsorted(documents["row"].to_numpy(), self.rows["row"])] = self.rows["score"]
        if len(self.rows) != alive.sum():
            raise ValueError(f"unit {unit.id}: {len(self.rows)} ranks for {alive.sum()} documents")
        write_scores(self.target, unit.id, documents=documents, alive=alive, score=score, guard=self.guard)
        progress.add(self.stage, len(documents))


@dataclass
class RankWithinClusters(beam.PTransform):
    """pipeline -> scores/ of all units: each document's place in its cluster, 0..1, higher = pruned sooner."""

    inventory: Artifact
    ranks: ClusterRanks
    scores: Artifact
    guard: Guard
    units: int
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        units = pipeline | ReadUnits(self.inventory)
        ranks = (
            units
            | "SendMembers" >> beam.ParDo(SendMembers(self.ranks)).with_output_types(tuple[int, bytes])
            | "GroupByCluster" >> beam.GroupByKey()
            | "RankMembers" >> beam.FlatMap(rank_members).with_output_types(tuple[int, bytes])
        )
        write = WriteRanks(self.scores, self.ranks, self.guard)
        parts = (units, ranks) | GatherByUnit() | "WriteRanks" >> beam.ParDo(write)
        return parts | Commit(artifacts=(self.scores,), expected=self.units, config=self.config)
