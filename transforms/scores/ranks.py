"""Each document's place in its group (a source, a cluster, both), for groups of any size.

All documents are sorted by (group, order) in ranges of bounded size, whose bounds come from a seeded sample; each range
adds up its groups, and tells the next what the group that goes on weighed so far. So the largest source needs no more
memory than the smallest, and neither units nor ranges change a place.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import id_hash, seeded
from sluice.models.cut import ranks
from sluice.models.cut.ranks import KEY, SortedRange, length_bins
from sluice.transforms.clusters.members import load_array
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import Guard, token_weights, write_scores
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import names_of, numbers, read_numbers, survivors
from sluice.transforms.stages.order import Order, order_keys
from sluice.transforms.stages.stage import GatherByUnit, StageTransform
from sluice.transforms.stages.writing import WriteGathered

PLACE = np.dtype([("row", "<u4"), ("range", "<i4"), ("score", "<i8")])
# Documents in a range (56 bytes each and as much again to sort), and those of a sample for each.
RANGE_DOCUMENTS = 1 << 20
SAMPLED = 64


@dataclass(frozen=True)
class Groups:
    """What groups are made of, and the order in them.

    by: any of source, cluster, length (bins of the column `length`: tokens or characters); finer: scores of finer
    groups inside these, which then come first in the order; measure: places count documents or tokens.
    """

    documents: Artifact
    keep: Artifact | None
    by: tuple[str, ...]
    order: Order
    seed: int
    measure: str = "documents"
    clusters: Artifact | None = None
    finer: Artifact | None = None
    length: str = "tokens"

    def columns(self) -> list[str]:
        wanted = [*self.order.columns(), "tokens"]
        wanted += ["source"] if "source" in self.by else []
        wanted += [self.length] if "length" in self.by else []
        return list(dict.fromkeys(wanted))

    def keys(self, unit: int) -> np.ndarray:
        """Sorted KEY rows of a unit's documents that are still in."""
        documents = self.documents.read(unit, self.columns())
        alive = np.flatnonzero(survivors(self.keep, unit, len(documents)))
        found = np.zeros(len(alive), KEY)
        similarity = None
        if self.clusters is not None:
            table = self.clusters.read(unit)
            columns = (numbers(table, name, missing=0) for name in table.column_names)
            cluster, similarity = columns
            found["group"][:, 2] = cluster[alive].astype(np.uint64) + np.uint64(1)
        if "source" in self.by:
            found["group"][:, :2] = source_keys(documents)[alive]
        if "length" in self.by:
            found["group"][:, 2] = length_bins(lengths(documents, self.length))[alive]
        priority, tie = order_keys(documents, self.order, seed=self.seed, similarity=similarity)
        if self.finer is not None:
            priority = read_numbers(self.finer, unit, "score", missing=0)
        if "cluster" not in self.by and "length" not in self.by:
            found["group"][:, 2] = 0
        found["priority"], found["tie"], found["unit"] = priority[alive], tie[alive], unit
        found["row"] = numbers(documents, "row")[alive]
        found["weight"] = 1 if self.measure == "documents" else token_weights(documents)[alive]
        return ranks.sort_keys(found)


def source_keys(documents: pa.Table) -> np.ndarray:
    """uint64 [n, 2], equal where sources are; documents without a source are a group of their own."""
    places, names = names_of(documents, "source")
    hashes = np.frombuffer(b"".join(map(id_hash, names)) + bytes(16), "<u8").reshape(-1, 2)
    return hashes[places]


def lengths(documents: pa.Table, column: str) -> np.ndarray:
    """int64 [n]: tokens or characters, 0 where they are not known."""
    return numbers(documents, column, missing=0).astype(np.int64)


class SendSample(beam.DoFn):
    """Unit -> (0, KEY bytes) of about `share` of its documents, by a seeded hash of their ids."""

    def __init__(self, groups: Groups, share: float):
        self.groups, self.share = groups, share

    def process(self, unit: Unit) -> Iterator[tuple[int, bytes]]:
        if self.share == 0:
            return
        keys = self.groups.keys(unit.id)
        names = np.stack([keys["tie"], keys["row"].astype(np.uint64)], axis=1)
        ticket = seeded(names, self.groups.seed, "ranges")
        yield 0, keys[ticket < np.uint64(min(int(self.share * 2**64), 2**64 - 1))].tobytes()


class SendKeys(beam.DoFn):
    """Unit -> (range, KEY bytes) for every range that it has documents of."""

    def __init__(self, groups: Groups):
        self.groups = groups

    def process(self, unit: Unit, splits: list[tuple[int, ...]]) -> Iterator[tuple[int, bytes]]:
        keys = self.groups.keys(unit.id)
        places = ranks.cut_sorted(keys, splits)
        for number, (start, stop) in enumerate(itertools.pairwise(places)):
            if start < stop:
                yield number, keys[start:stop].tobytes()


class RankRange(beam.DoFn):
    """(range, KEY blocks) -> (unit, PLACE bytes), and its SortedRange.

    PLACE.range is -1 but in the range's first group.
    """

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        number, blocks = group
        keys = ranks.sort_keys(np.frombuffer(b"".join(blocks), KEY))
        totals, first = ranks.running_totals(keys)
        yield beam.pvalue.TaggedOutput("ranges", (0, ranks.describe_range(number, keys, totals)))
        places = np.zeros(len(keys), PLACE)
        places["row"], places["score"] = keys["row"], totals
        places["range"] = np.where(first, number, -1)
        order = np.argsort(keys["unit"], kind="stable")
        units, starts = np.unique(keys["unit"][order], return_index=True)
        for unit, start, stop in zip(units, starts, [*starts[1:], len(order)]):
            yield int(unit), places[order[start:stop]].tobytes()


class WriteGroupRanks(WriteGathered):
    """Unit, its PLACE rows and the carries of all ranges -> its part of scores/."""

    dtype = PLACE

    def __init__(
        self, target: Artifact, groups: Groups, guard: Guard, *, quotas: dict[int, int] | None, relative: bool
    ):
        super().__init__(target)
        self.groups, self.guard, self.quotas, self.relative = groups, guard, quotas, relative

    def process(self, group: Any, carries: dict[int, int]) -> Iterator[Part]:  # type: ignore[override]
        self._carries = carries
        yield from super().process(group)

    def write(self, unit: Unit) -> None:
        wanted = ["row", "tokens", *self.guard.columns(), *([self.groups.length] if self.quotas is not None else [])]
        wanted = list(dict.fromkeys(wanted))
        documents = self.groups.documents.read(unit.id, wanted)
        alive = survivors(self.groups.keep, unit.id, len(documents))
        if len(self.rows) != alive.sum():
            raise ValueError(f"unit {unit.id}: {len(self.rows)} places for {alive.sum()} documents")
        found = self.rows["score"].copy()
        for number in np.unique(self.rows["range"]):
            if number >= 0:
                found[self.rows["range"] == number] += self._carries[int(number)]
        score = np.zeros(len(documents), np.int64)
        score[np.searchsorted(numbers(documents, "row"), self.rows["row"])] = found
        if self.quotas is not None:
            bins, where = np.unique(length_bins(lengths(documents, self.groups.length)), return_inverse=True)
            score -= np.array([self.quotas.get(int(one), 0) for one in bins], np.int64)[where]
        stats = None
        if self.quotas is not None:
            wanted_here = sum(self.quotas.values())
            stats = {"within_quota": int((score[alive] <= 0).sum()), "max_wanted": wanted_here}
        shown = self._relative(unit.id, score) if self.relative else score
        write_scores(self.target, unit.id, documents=documents, alive=alive, score=shown, guard=self.guard, stats=stats)
        progress.add(self.stage, len(documents))

    def _relative(self, unit: int, score: np.ndarray) -> np.ndarray:
        """float64 [n]: places as shares of their cluster, between 0 and 1."""
        if self.groups.clusters is None or self.groups.by != ("cluster",):
            raise ValueError("places are relative to clusters alone")
        sizes = load_array(self.groups.clusters, "statistics")[0]
        cluster = read_numbers(self.groups.clusters, unit, "cluster", missing=0)
        return (score - 0.5) / np.maximum(sizes[cluster], 1)


@dataclass
class RankWithinGroups(StageTransform):
    """pipeline -> scores/ of all units: what a document's group weighs up to and including it.

    documents: how many are still in; it decides into how many ranges they are sorted, never their places. quotas: for
    each bin of length, what is taken off its places (0 where it has none). relative: the groups are clusters, and a
    place is a share of its cluster, (place - 1/2) / size: a cut over the corpus then takes the same of every cluster.
    """

    version = 3

    groups: Groups
    guard: Guard
    documents: int
    quotas: dict[int, int] | None = None
    relative: bool = False
    range_documents: int = RANGE_DOCUMENTS

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        ranges = -(-max(self.documents, 1) // self.range_documents)
        share = 0.0 if ranges == 1 else min(SAMPLED * ranges / self.documents, 1.0)
        splits = (
            units
            | "Sample" >> beam.ParDo(SendSample(self.groups, share)).with_output_types(tuple[int, bytes])
            | "GatherSample" >> beam.GroupByKey()
            | "Split" >> beam.Map(_split, ranges)
        )
        ranked = (
            units
            | "SendKeys"
            >> beam.ParDo(SendKeys(self.groups), beam.pvalue.AsSingleton(splits, default_value=[])).with_output_types(
                tuple[int, bytes]
            )
            | "GroupByRange" >> beam.GroupByKey()
            | "RankRange" >> beam.ParDo(RankRange()).with_outputs("ranges", main="places")
        )
        places = ranked.places | "Places" >> beam.Map(lambda place: place).with_output_types(tuple[int, bytes])
        carries = (
            ranked.ranges
            | "Ranges" >> beam.Map(lambda one: one).with_output_types(tuple[int, SortedRange])
            | "GatherRanges" >> beam.GroupByKey()
            | "Carry" >> beam.Map(lambda group: ranks.carries(list(group[1])))
        )
        write = WriteGroupRanks(self.target, self.groups, self.guard, quotas=self.quotas, relative=self.relative)
        carried = beam.pvalue.AsSingleton(carries, default_value={})
        return (units, places) | GatherByUnit() | "WriteRanks" >> beam.ParDo(write, carried)


def _split(sample: tuple[int, Iterable[bytes]], ranges: int) -> list[tuple[int, ...]]:
    return ranks.splitters(np.frombuffer(b"".join(sample[1]), KEY), ranges)
