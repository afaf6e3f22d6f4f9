"""Connected components over links: links/ -> components/, where each document carries its component's smallest address.

Few links are gathered by one worker. Many are turned, round after round, into stars around each component's smallest
document by the large-star and small-star operations of Kiveris et al., Connected Components in MapReduce and Beyond
(SoCC 2014); a round is a job, and when nothing changes any more every link names its component.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import mix
from sluice.models.methods.components import stars
from sluice.transforms.minhash.edges import ROW, by_unit, read_edges, unique_edges, vertices, write_edges
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import read_numbers, to_fixed
from sluice.transforms.stages.stage import GatherByUnit, StageTransform
from sluice.transforms.stages.writing import WriteGathered

LABEL = np.dtype([("row", "<u8"), ("component", "<u8")])
EDGE = np.dtype(("<u8", 2))
COMPONENTS = pa.schema([("component", pa.binary(16))])
# Links that one worker gathers, 16 bytes each and ten times that to work on.
FEW = 4_000_000
EDGES_PER_KEY = 4_000_000


class NotConverged(RuntimeError):
    """Links that should have been stars around each component's smallest document are not."""


# Rounds ---------------------------------------------------------------------------------------------------------


def spread(edges: np.ndarray, column: int, keys: int) -> Iterator[tuple[int, bytes]]:
    """uint64 [m, 2] -> (key, edges' bytes) by a hash of one end."""
    key = mix(edges[:, column]) % np.uint64(keys)
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(keys + 1, dtype=np.uint64))
    for number in np.flatnonzero(np.diff(bounds)):
        yield int(number), edges[order[bounds[number] : bounds[number + 1]]].tobytes()


def least_neighbours(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of (vertex, neighbour) -> (vertices uint64, sorted; the least of each one's neighbours and itself)."""
    vertex, least = np.empty(0, np.uint64), np.empty(0, np.uint64)
    for block in blocks:
        joined = np.r_[vertex, block[:, 0]]
        values = np.r_[least, block.min(axis=1)]
        order = np.argsort(joined, kind="stable")
        vertex, starts = np.unique(joined[order], return_index=True)
        least = np.minimum.reduceat(values[order], starts)
    return vertex, least


def large_star(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Links, from both of their ends -> every neighbour larger than a vertex is linked to its least neighbour."""
    vertex, least = least_neighbours(blocks)
    for block in blocks:
        larger = block[block[:, 1] > block[:, 0]]
        found = np.stack([larger[:, 1], least[np.searchsorted(vertex, larger[:, 0])]], axis=1)
        yield unique_edges(found)


def small_star(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Links from their larger ends -> a vertex and its smaller neighbours are linked to the least of them."""
    vertex, least = least_neighbours(blocks)
    yield np.stack([vertex, least], axis=1)
    for block in blocks:
        found = np.stack([block[:, 1], least[np.searchsorted(vertex, block[:, 0])]], axis=1)
        yield unique_edges(found[found[:, 0] != found[:, 1]])


class Star(beam.DoFn):
    """(key, blocks of links) -> the links of a star operation, by `send`; blocks are read twice, never joined."""

    def __init__(self, operation: Callable, send: Callable[[np.ndarray], Iterable[tuple[int, bytes]]]):
        self.operation, self.send = operation, send

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        for found in self.operation(Blocks(group[1])):
            yield from self.send(found)


@dataclass
class Blocks:
    """Blocks of bytes as arrays of links, as often as they are asked for."""

    values: Iterable[bytes]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (np.frombuffer(value, "<u8").reshape(-1, 2) for value in self.values)


def send_to_units(edges: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Links go to the unit of their larger end."""
    for unit, chosen in by_unit(edges[:, 0]):
        yield unit, edges[chosen].tobytes()


class WriteEdges(WriteGathered):
    """Unit and links -> its part of a round's links, and a checksum that tells whether they changed."""

    dtype = EDGE

    def write(self, unit: Unit) -> None:
        edges = unique_edges(self.rows.reshape(-1, 2))
        with np.errstate(over="ignore"):
            checksum = int(mix(mix(edges[:, 0]) ^ edges[:, 1]).sum(dtype=np.uint64))
        write_edges(self.target, unit.id, edges, {"checksum": checksum})


@dataclass
class ShortenLinks(StageTransform):
    """pipeline -> one round: the same components, every document nearer to the smallest of its own."""

    version = 3

    links: Artifact
    edges: int

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        keys = self.edges // EDGES_PER_KEY + 1
        edges = (
            units
            | "FromBothEnds" >> beam.ParDo(SendBothEnds(self.links, keys)).with_output_types(tuple[int, bytes])
            | "GroupNeighbours" >> beam.GroupByKey()
            | "LargeStar" >> beam.ParDo(Star(large_star, SendLarger(keys))).with_output_types(tuple[int, bytes])
            | "GroupSmaller" >> beam.GroupByKey()
            | "SmallStar" >> beam.ParDo(Star(small_star, send_to_units)).with_output_types(tuple[int, bytes])
        )
        return (units, edges) | GatherByUnit() | "WriteEdges" >> beam.ParDo(WriteEdges(self.target))


class SendBothEnds(beam.DoFn):
    """Unit -> its links, from both ends."""

    def __init__(self, links: Artifact, keys: int):
        self.links, self.keys = links, keys

    def process(self, unit: Unit) -> Iterator[tuple[int, bytes]]:
        edges = read_edges(self.links, unit.id)
        yield from spread(np.concatenate([edges, edges[:, ::-1]]), 0, self.keys)


@dataclass
class SendLarger:
    """Links by their larger ends, which come first."""

    keys: int

    def __call__(self, edges: np.ndarray) -> Iterator[tuple[int, bytes]]:
        return spread(edges, 0, self.keys)


def unchanged(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a round left the links as they were, from the totals of both."""
    return all(before.get(name) == after[name] for name in ("edges", "checksum"))


# Components -----------------------------------------------------------------------------------------------------


class ReadLinks(beam.DoFn):
    """Unit -> (0, its links' bytes)."""

    def __init__(self, links: Artifact):
        self.links = links

    def process(self, unit: Unit) -> Iterator[tuple[int, bytes]]:
        yield 0, read_edges(self.links, unit.id).tobytes()


class SendLabels(beam.DoFn):
    """(key, blocks of links) -> (unit, LABEL bytes) for both ends of each star; with `join` it makes the stars."""

    def __init__(self, *, join: bool):
        self.join = join

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        blocks: Iterable[np.ndarray] = Blocks(group[1])
        if self.join:
            blocks = [stars(np.concatenate(list(blocks)))]
        for edges in blocks:
            centres = np.unique(edges[:, 1])
            ends = np.concatenate([edges, np.stack([centres, centres], axis=1)])
            for unit, chosen in by_unit(ends[:, 0]):
                labels = np.empty(len(chosen), LABEL)
                labels["row"], labels["component"] = ends[chosen, 0] & ROW, ends[chosen, 1]
                yield unit, labels.tobytes()


class WriteComponents(WriteGathered):
    """Unit and its LABEL rows -> its part of components/: 16 bytes for documents that are linked to any other."""

    dtype = LABEL

    def __init__(self, target: Artifact, documents: Artifact):
        super().__init__(target)
        self.documents = documents

    def write(self, unit: Unit) -> None:
        labels = np.unique(self.rows)
        if (labels["row"][1:] == labels["row"][:-1]).any():
            raise NotConverged(f"unit {unit.id}: documents belong to two components each; the links are no stars yet")
        rows = read_numbers(self.documents, unit.id, "row")
        at = np.searchsorted(rows, labels["row"])
        component = np.zeros((len(rows), 2), "<u8")
        component[at, 0] = labels["component"]
        linked = np.zeros(len(rows), bool)
        linked[at] = True
        smallest = int((labels["component"] == vertices(unit.id, labels["row"])).sum())
        table = pa.table([to_fixed(component, linked)], schema=COMPONENTS)
        self.target.write(unit.id, [table], COMPONENTS, {"linked": int(linked.sum()), "components": smallest})


@dataclass
class NameComponents(StageTransform):
    """pipeline -> components/ of all units, from links of any shape when `join`, else from stars.

    Fails with NotConverged when links that should be stars are not.
    """

    version = 3

    documents: Artifact
    links: Artifact
    join: bool

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        links: Any = units | "ReadLinks" >> beam.ParDo(ReadLinks(self.links)).with_output_types(tuple[int, bytes])
        if self.join:
            links = links | "GatherLinks" >> beam.GroupByKey()
        else:
            links = links | "EachByItself" >> beam.MapTuple(lambda key, block: (key, [block]))
        labels = links | "SendLabels" >> beam.ParDo(SendLabels(join=self.join)).with_output_types(tuple[int, bytes])
        write = WriteComponents(self.target, self.documents)
        return (units, labels) | GatherByUnit() | "WriteComponents" >> beam.ParDo(write)
