"""Groups of equal digests, found without moving anything but digests: which document of each group comes first.

Each unit sends one row per distinct digest (a template with 60 % of all documents is one row a unit), keyed by the
digest's prefix; what comes back says for each unit which digests are first elsewhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NONE
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, not_null, numbers, read_numbers, survivors
from sluice.transforms.stages.order import Order, order_keys
from sluice.transforms.stages.stage import GatherByUnit, StageTransform
from sluice.transforms.stages.writing import WriteGathered

CANDIDATE = np.dtype([("digest", "V16"), ("priority", "<i8"), ("tie", "<u8"), ("unit", "<u4"), ("row", "<u4")])
LINK = np.dtype([("row", "<u4"), ("first_unit", "<u4"), ("first_row", "<u4")])
COPIES = pa.schema([("first_unit", pa.uint32()), ("first_row", pa.uint32())])
DOCUMENTS_PER_KEY = 1_000_000


@dataclass(frozen=True)
class Digests:
    """Where the digests are (a column of an artifact row-aligned with documents), who is in, and who comes first."""

    documents: Artifact
    source: Artifact
    column: str
    keep: Artifact | None
    order: Order
    seed: int

    def read(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """CANDIDATE rows for the documents that are in and have a digest, in row order, and their positions."""
        documents = self.documents.read(unit, self.order.columns())
        source = self.source.read(unit, [self.column])
        alive = survivors(self.keep, unit, len(documents)) & not_null(source, self.column)
        positions = np.flatnonzero(alive)
        found = np.zeros(len(positions), CANDIDATE)
        found["digest"] = fixed_bytes(source[self.column], "V16")[positions, 0]
        priority, tie = order_keys(documents, self.order, seed=self.seed)
        found["priority"], found["tie"] = priority[positions], tie[positions]
        found["unit"], found["row"] = unit, numbers(documents, "row")[positions]
        return found, positions


def in_order(candidates: np.ndarray) -> np.ndarray:
    """Positions that sort CANDIDATE rows by digest, then by which comes first."""
    halves = np.ascontiguousarray(candidates["digest"]).view("<u8").reshape(-1, 2)
    order = np.argsort(halves[:, 0])
    # Most digests differ in their first half: only the rows of those that do not need all the keys.
    repeats = np.diff(halves[order, 0]) == 0
    shared = np.zeros(len(order), bool)
    shared[1:] = repeats
    shared[:-1] |= repeats
    some = order[shared]
    names = ("row", "unit", "tie", "priority")
    keys = [*(candidates[name][some] for name in names), halves[some, 1], halves[some, 0]]
    order[shared] = some[np.lexsort(keys)]
    return order


def first_of_each(candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CANDIDATE rows -> (their sorting order, for each sorted row the sorted position of its digest's first row)."""
    order = in_order(candidates)
    digests = np.ascontiguousarray(candidates["digest"][order]).view("<u8").reshape(-1, 2)
    starts = np.ones(len(order), bool)
    starts[1:] = (digests[1:] != digests[:-1]).any(axis=1)
    positions = np.flatnonzero(starts)
    return order, np.repeat(positions, np.diff(np.r_[positions, len(order)]))


class SendCandidates(beam.DoFn):
    """Unit -> (key, CANDIDATE bytes) for the first document of each digest in the unit."""

    def __init__(self, digests: Digests, target: Artifact, keys: int):
        self.digests, self.target, self.keys = digests, target, keys

    def process(self, unit: Unit) -> Iterator[tuple[int, bytes]]:
        found, _ = self.digests.read(unit.id)
        order, first = first_of_each(found)
        firsts = found[order[np.unique(first)]]
        key = np.ascontiguousarray(firsts["digest"]).view("<u8").reshape(-1, 2)[:, 0] % np.uint64(self.keys)
        sort = np.argsort(key, kind="stable")
        bounds = np.searchsorted(key[sort], np.arange(self.keys + 1, dtype=np.uint64))
        for number in range(self.keys):
            block = firsts[sort[bounds[number] : bounds[number + 1]]]
            if len(block):
                yield number, block.tobytes()


def link_firsts(group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
    """(key, CANDIDATE blocks) -> (unit, LINK bytes) for the candidates that are not the first of their digest."""
    candidates = np.frombuffer(b"".join(group[1]), CANDIDATE)
    order, first = first_of_each(candidates)
    ordered = candidates[order]
    later = np.flatnonzero(first != np.arange(len(order)))
    links = np.zeros(len(later), LINK)
    links["row"] = ordered["row"][later]
    links["first_unit"], links["first_row"] = ordered["unit"][first[later]], ordered["row"][first[later]]
    units = ordered["unit"][later]
    for unit in np.unique(units):
        yield int(unit), links[units == unit].tobytes()


class WriteCopies(WriteGathered):
    """Unit and its LINK rows -> the unit's part: for each copy the address of its group's first document."""

    dtype = LINK

    def __init__(self, target: Artifact, digests: Digests):
        super().__init__(target)
        self.digests = digests

    def write(self, unit: Unit) -> None:
        found, positions = self.digests.read(unit.id)
        rows = read_numbers(self.digests.documents, unit.id, "row")
        order, first = first_of_each(found)
        local = found[order[first]]
        first_unit, first_row = local["unit"].copy(), local["row"].copy()
        links = np.sort(self.rows, order="row")
        if len(links):
            index = np.searchsorted(links["row"], first_row)
            index = np.minimum(index, len(links) - 1)
            elsewhere = links["row"][index] == first_row
            first_unit[elsewhere] = links["first_unit"][index][elsewhere]
            first_row[elsewhere] = links["first_row"][index][elsewhere]
        copies = (first_unit != unit.id) | (first_row != found["row"][order])
        at = positions[order[copies]]
        columns = {"first_unit": np.full(len(rows), NONE), "first_row": np.full(len(rows), NONE)}
        columns["first_unit"][at], columns["first_row"][at] = first_unit[copies], first_row[copies]
        is_copy = np.zeros(len(rows), bool)
        is_copy[at] = True
        table = pa.table([pa.array(columns[name], pa.uint32(), mask=~is_copy) for name in COPIES.names], schema=COPIES)
        self.target.write(unit.id, [table], COPIES, {"copies": int(copies.sum()), "distinct": int((~copies).sum())})


@dataclass
class FindCopies(StageTransform):
    """pipeline -> an artifact that names, for each document whose digest an earlier one has, that one."""

    version = 3

    digests: Digests
    documents: int

    @property
    def config(self) -> dict[str, Any]:
        digests = self.digests
        return {"column": digests.column, "order": digests.order.describe(), "seed": digests.seed}

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        keys = self.documents // DOCUMENTS_PER_KEY + 1
        send = SendCandidates(self.digests, self.target, keys)
        links = (
            units
            | "SendCandidates" >> beam.ParDo(send).with_output_types(tuple[int, bytes])
            | "GroupByDigest" >> beam.GroupByKey()
            | "LinkFirsts" >> beam.FlatMap(link_firsts).with_output_types(tuple[int, bytes])
        )
        return (units, links) | GatherByUnit() | "WriteCopies" >> beam.ParDo(WriteCopies(self.target, self.digests))
