"""Scores that depend on an exact cut inside each cluster, found without moving documents to one place.

Units are counted by cluster and a few bits at a time (models.cut.groups); only those tables travel, and at the end the
handful of documents that the counts do not tell apart.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.cut import groups as grouped_cut
from sluice.models.cut.groups import CANDIDATE, CELL, Keys, Narrowing, Settled, keys_of, priority_of
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NEVER, Guard, write_scores
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import numbers, survivors
from sluice.transforms.stages.order import Order, order_keys
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.writing import WriteUnit


class Plan(Protocol):
    """Removable documents by cluster (int64 [k]) -> the groups and their quotas; and numbers for the manifest."""

    def __call__(self, removable: np.ndarray) -> Narrowing: ...

    def totals(self, planned: Narrowing) -> dict[str, Any]: ...


Look = Callable[[Keys, Narrowing], np.ndarray]


@dataclass(frozen=True)
class ClusterMembers:
    """The documents still in, their clusters, whom the step may remove, and who comes first in a cluster.

    order: `hard` (far from the centroid first), `easy` or `random`.
    """

    documents: Artifact
    clusters: Artifact
    keep: Artifact | None
    guard: Guard
    order: Order
    seed: int

    def read(self, unit: int) -> tuple[np.ndarray, Keys, pa.Table, np.ndarray]:
        """(positions of the removable documents, their keys, all documents, bool of those still in) of a unit."""
        columns = dict.fromkeys(["tokens", *self.order.columns(), *self.guard.columns()])
        documents = self.documents.read(unit, list(columns))
        alive = survivors(self.keep, unit, len(documents))
        positions = np.flatnonzero(alive & self.guard.removable(documents))
        found = self.clusters.read(unit)
        cluster, similarity = (numbers(found, name, missing=0)[positions] for name in ("cluster", "similarity"))
        priority, tie = order_keys(documents.take(positions), self.order, seed=self.seed, similarity=similarity)
        keys = Keys(
            cluster,
            keys_of(priority, tie),
            tie,
            np.full(len(positions), unit, np.uint32),
            numbers(documents, "row")[positions],
        )
        return positions, keys, documents, alive


class CountRemovable(beam.DoFn):
    """Unit -> (0, int64 [k] as bytes): documents of each cluster that the step may remove."""

    def __init__(self, members: ClusterMembers, clusters: int):
        self.members, self.clusters = members, clusters

    def process(self, unit: Unit) -> Iterator[tuple[int, bytes]]:
        _, keys, _, _ = self.members.read(unit.id)
        yield 0, np.bincount(keys.cluster, minlength=self.clusters).astype(np.int64).tobytes()


def add_tables(blocks: Iterable[bytes]) -> bytes:
    """int64 arrays of one length as bytes -> their sum; of nothing (a combiner's start) nothing."""
    total = np.zeros(0, np.int64)
    for block in blocks:
        array = np.frombuffer(block, np.int64)
        total = total + array if len(total) else array
    return total.tobytes()


class LookAtMembers(beam.DoFn):
    """Unit, Narrowing -> (0, what `look` sees of its documents as bytes)."""

    def __init__(self, members: ClusterMembers, look: Look):
        self.members, self.look = members, look

    def process(self, unit: Unit, found: Narrowing) -> Iterator[tuple[int, bytes]]:
        yield 0, self.look(self.members.read(unit.id)[1], found).tobytes()


@dataclass(frozen=True)
class AddCounts:
    """CELL rows as bytes -> their sums, in memory for one table of `groups`."""

    groups: int

    def __call__(self, blocks: Iterable[bytes]) -> bytes:
        return grouped_cut.add_counts([np.frombuffer(block, CELL) for block in blocks], self.groups).tobytes()


def narrow(counted: tuple[int, bytes], found: Narrowing) -> Narrowing:
    return grouped_cut.narrow(found, np.frombuffer(counted[1], CELL))


def settle(sent: tuple[int, Iterable[bytes]], found: Narrowing) -> Settled:
    return grouped_cut.settle(found, np.frombuffer(b"".join(sent[1]), CANDIDATE))


class WriteCutScores(WriteUnit):
    """Unit, Settled -> its part of scores/; a subclass says what the score is."""

    def __init__(self, target: Artifact, members: ClusterMembers):
        super().__init__(target)
        self.members = members

    def score(self, keys: Keys, settled: Settled) -> np.ndarray:
        """int64 [n] for removable documents: those that the cut removes must score more than all it keeps."""
        raise TypeError(f"{type(self).__name__} must define score")

    def process(self, unit: Unit, settled: Settled) -> Iterator[Part]:  # type: ignore[override]
        self._settled = settled
        yield from super().process(unit)

    def write(self, unit: Unit) -> None:
        positions, keys, documents, alive = self.members.read(unit.id)
        score = np.full(len(documents), NEVER)
        score[positions] = self.score(keys, self._settled)
        write_scores(self.target, unit.id, documents=documents, alive=alive, score=score, guard=self.members.guard)
        progress.add(self.stage, len(documents))


class WriteDensityScores(WriteCutScores):
    """How much nearer to the centroid (farther, for `easy`) a document is than the first of its cluster that goes:
    twice the difference of the products, and 1 more for documents that go. Nothing against clusters that stay whole.
    """

    version = 3

    def score(self, keys: Keys, settled: Settled) -> np.ndarray:
        limit = settled.boundaries[settled.group[keys.cluster]]
        beyond = priority_of(keys.key) - priority_of(limit["key"])
        return np.where(limit["cuts"], 2 * beyond + settled.goes(keys), NEVER)


class WriteScipScores(WriteCutScores):
    """How far from the centroid a document is (near, for order `hard`): minus the product; FIRST more for documents
    that go because their cluster is small."""

    version = 3

    # More than any two products differ by.
    FIRST = 1 << 26

    def score(self, keys: Keys, settled: Settled) -> np.ndarray:
        return priority_of(keys.key) + self.FIRST * settled.goes(keys)


@dataclass
class ScoreByGroups(StageTransform):
    """pipeline -> scores/ of all units: `plan` makes the groups and their quotas of the removable documents by cluster.

    clusters: how many there are, and the most groups that the plan makes; population: documents still in, which decides
    how the cuts are looked for and never where they are.
    """

    members: ClusterMembers
    plan: Plan
    groups: int
    write: WriteCutScores
    clusters: int
    population: int

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        found: Any = (
            units
            | "CountRemovable"
            >> beam.ParDo(CountRemovable(self.members, self.clusters)).with_output_types(tuple[int, bytes])
            | "AddRemovable" >> beam.CombinePerKey(add_tables)
            | "Plan" >> beam.Map(lambda counted, plan: plan(np.frombuffer(counted[1], np.int64)), self.plan)
        )
        totals = found | "Totals" >> beam.Map(self._totals)
        for number in range(grouped_cut.passes(self.groups, self.population)):
            side = beam.pvalue.AsSingleton(found)
            look = LookAtMembers(self.members, grouped_cut.count)
            found = (
                units
                | f"Count{number}" >> beam.ParDo(look, side).with_output_types(tuple[int, bytes])
                | f"Add{number}" >> beam.CombinePerKey(AddCounts(self.groups))
                | f"Narrow{number}" >> beam.Map(narrow, side).with_output_types(Narrowing)
            )
        side = beam.pvalue.AsSingleton(found)
        look = LookAtMembers(self.members, grouped_cut.candidates)
        settled = (
            units
            | "SendCandidates" >> beam.ParDo(look, side).with_output_types(tuple[int, bytes])
            | "GroupCandidates" >> beam.GroupByKey()
            | "Settle" >> beam.Map(settle, side).with_output_types(Settled)
        )
        parts = units | "Score" >> beam.ParDo(self.write, beam.pvalue.AsSingleton(settled))
        return (parts, totals) | "PartsAndTotals" >> beam.Flatten()

    def _totals(self, planned: Narrowing) -> dict[str, Any]:
        return {"folder": self.target.url, "totals": self.plan.totals(planned)}
