"""Similarity of new documents to those that earlier runs hold, cluster by cluster.

Both sides were assigned to the same centroids and lie sorted by cluster in files. A worker takes a bin of clusters and
reads both sides in chunks of bounded size: of all products it keeps the largest, so chunks change nothing and no
cluster is too large.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.products import best_match
from sluice.models.arrays.vectors import COARSE
from sluice.models.methods.semdedup import NO_NEIGHBOUR
from sluice.transforms.clusters.bins import Bin, plan_bins
from sluice.transforms.clusters.members import Members, load_array
from sluice.transforms.clusters.sorted_records import clusters_of, most_in_bin, read_offsets, read_run, record_dtype
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NEVER, NONE, Guard, write_scores
from sluice.transforms.scores.earlier import COLUMNS, Earlier
from sluice.transforms.scores.score_bins import ScoreBin, ScoreBins, at_scale
from sluice.transforms.stages import counters, memory, progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import numbers, read_numbers
from sluice.transforms.stages.writing import WriteGathered

RESULT = np.dtype(
    [("unit", "<u4"), ("row", "<u4"), ("score", "<i4"), ("run", "<u4"), ("run_unit", "<u4"), ("run_row", "<u4")]
)


@dataclass(frozen=True)
class Chunk:
    """Some records of a bin's clusters, by cluster: vectors int16 [n, d], and for each its cluster, unit and row."""

    vectors: np.ndarray
    clusters: np.ndarray
    units: np.ndarray
    rows: np.ndarray

    def bounds(self, bin: Bin) -> np.ndarray:
        """Where each of the bin's clusters begins, and the end of the last."""
        return np.searchsorted(self.clusters, np.arange(bin.first, bin.last + 1))


def read_chunks(
    clusters: Artifact, bin: Bin, *, dimension: int, records: int, kept: Callable[[int], np.ndarray] | None = None
) -> Iterator[Chunk]:
    """A bin's records in the order of units and rows, in chunks of about `records`, each sorted by cluster.

    kept: a unit -> its rows that count, as `kept_rows` has them; None: all do.
    """
    dtype = record_dtype(dimension)
    held: list[tuple[np.ndarray, np.ndarray, int]] = []
    size = 0
    for unit in [part["unit"] for part in clusters.manifest["parts"]]:
        for run in read_offsets(clusters, unit, bin.first, bin.last):
            # A range that is longer than a chunk is cut.
            for start, found in read_run(clusters, unit, run, dtype, most=records):
                counters.add("bytes_read", found.nbytes)
                cluster = clusters_of(run, bin.first, start, len(found))
                if kept is not None:
                    row = found["row"]
                    counts = (kept(unit)[row >> 3] >> (row & 7)) & 1 == 1
                    found, cluster = found[counts], cluster[counts]
                held.append((found, cluster, unit))
                size += len(found)
                if size >= records:
                    yield _join(held)
                    held, size = [], 0
    if held:
        yield _join(held)


def _join(held: list[tuple[np.ndarray, np.ndarray, int]]) -> Chunk:
    clusters = np.concatenate([cluster for _, cluster, _ in held])
    order = np.argsort(clusters, kind="stable")
    vectors = np.concatenate([found["vector"] for found, _, _ in held])
    rows = np.concatenate([found["row"] for found, _, _ in held])
    units = np.concatenate([np.full(len(found), unit, np.uint32) for found, _, unit in held])
    return Chunk(vectors[order], clusters[order], units[order], rows[order])


def kept_rows(members: Members, unit: int) -> np.ndarray:
    """uint8 with a bit for every row up to the unit's last, lowest bit first: 1 where the document is still in."""
    rows = read_numbers(members.documents, unit, "row")
    bits = np.zeros(int(rows[-1]) + 1 if len(rows) else 0, bool)
    bits[rows] = members.alive(unit)
    return np.packbits(bits, bitorder="little")


@dataclass(frozen=True)
class Sides:
    """The sorted vectors of this run, and of each earlier one; dot products are of vectors at `scale`."""

    own: Artifact
    earlier: tuple[Earlier, ...]
    dimension: int
    scale: int = COARSE


class CompareBin(ScoreBin):
    """Bin -> RESULT rows: the nearest document of the earlier runs to each of this run's, inside their cluster."""

    def __init__(self, sides: Sides, scores: Artifact, records: int):
        super().__init__(scores)
        self.sides, self.records = sides, records

    def setup(self) -> None:
        # 12 kB for a unit of 100,000 documents: a worker reads each unit's once, not once for each bin.
        self._kept_rows = functools.lru_cache(maxsize=4096)(self._read_kept_rows)

    def _read_kept_rows(self, number: int, unit: int) -> np.ndarray:
        members = self.sides.earlier[number].kept
        assert members is not None, f"all documents of earlier run {number} count"
        return kept_rows(members, unit)

    def score(self, bin: Bin) -> np.ndarray:
        blocks = [self._score(bin, chunk) for chunk in self._chunks(self.sides.own, bin)]
        results = np.concatenate([np.empty(0, RESULT), *blocks])
        progress.add(self.stage, len(results))
        return results[np.lexsort((results["row"], results["unit"]))]

    def _chunks(self, clusters: Artifact, bin: Bin, kept: Callable[[int], np.ndarray] | None = None) -> Iterator[Chunk]:
        return read_chunks(clusters, bin, dimension=self.sides.dimension, records=self.records, kept=kept)

    def _score(self, bin: Bin, own: Chunk) -> np.ndarray:
        results = np.zeros(len(own.rows), RESULT)
        results["unit"], results["row"], results["score"] = own.units, own.rows, NO_NEIGHBOUR
        results["run"] = results["run_unit"] = results["run_row"] = NONE
        points, bounds = at_scale(own.vectors, self.sides.scale), own.bounds(bin)
        for number, earlier in enumerate(self.sides.earlier):
            kept = None if earlier.kept is None else functools.partial(self._kept_rows, number)
            for chunk in self._chunks(earlier.clusters, bin, kept):
                self._compare(results, points, bounds, number=number, other=chunk, others=chunk.bounds(bin))
        return results

    def _compare(
        self,
        results: np.ndarray,
        points: np.ndarray,
        bounds: np.ndarray,
        *,
        number: int,
        other: Chunk,
        others: np.ndarray,
    ) -> None:
        """Enter the earlier run's better matches; chunks come in order, so of equal ones the first stays."""
        theirs = at_scale(other.vectors, self.sides.scale)
        counters.add("pairs", int((np.diff(bounds).astype(np.int64) * np.diff(others)).sum()))

        def score(cluster: tuple[tuple[int, int], tuple[int, int]]) -> None:
            (start, stop), (first, last) = cluster
            dots, where = best_match(points[start:stop], theirs[first:last])
            block = results[start:stop]
            better = dots > block["score"]
            at = where[better] + first
            block["score"][better], block["run"][better] = dots[better], number
            block["run_unit"][better], block["run_row"][better] = other.units[at], other.rows[at]

        both = zip(itertools.pairwise(bounds.tolist()), itertools.pairwise(others.tolist()))
        for _ in parallel(score, ((a, b) for a, b in both if a[0] < a[1] and b[0] < b[1])):
            pass


class WriteReferenceScores(WriteGathered):
    """Unit and its RESULT rows -> its part of scores/, which names the earlier run's document in columns of its own."""

    dtype = RESULT

    def __init__(self, target: Artifact, members: Members, guard: Guard):
        super().__init__(target)
        self.members, self.guard = members, guard

    def write(self, unit: Unit) -> None:
        documents = self.members.documents.read(unit.id, ["row", "tokens", *self.guard.columns()])
        alive = self.members.alive(unit.id)
        at = np.searchsorted(numbers(documents, "row"), self.rows["row"])
        score = np.full(len(documents), NEVER)
        dots = self.rows["score"].astype(np.int64)
        score[at] = np.where(dots == NO_NEIGHBOUR, NEVER, dots)
        stats = {"compared_with_none": int((dots == NO_NEIGHBOUR).sum())}
        extra = {}
        for name, column in COLUMNS.items():
            values = np.full(len(documents), NONE)
            values[at] = self.rows[column]
            extra[name] = pa.array(values, pa.uint32(), mask=values == NONE)
        write_scores(
            self.target,
            unit.id,
            documents=documents,
            alive=alive,
            score=score,
            guard=self.guard,
            stats=stats,
            extra=extra,
        )


@dataclass
class ScoreReference(ScoreBins):
    """pipeline -> scores/ of all units: similarity to the nearest document of the earlier runs in the own cluster."""

    version = 3

    members: Members
    sides: Sides
    guard: Guard
    bin_bytes: int = 128 << 20

    @property
    def records(self) -> int:
        """Of each side, how many a worker holds at a time."""
        return most_in_bin(self.bin_bytes, self.sides.dimension)

    @property
    def worker_memory(self) -> int:
        """Bytes that a worker needs, as transforms.stages.memory counts them: a chunk of either side."""
        return memory.scoring(
            bin_bytes=2 * self.bin_bytes,
            record_bytes=record_dtype(self.sides.dimension).itemsize,
            point_bytes=4 if self.sides.scale == COARSE else 8,
            dimension=self.sides.dimension,
        )

    def bins(self) -> list[Bin]:
        """Bins of about as many records of both sides as a worker holds of one; those without new documents not."""
        own = load_array(self.sides.own, "statistics")[1]
        counts = sum((load_array(earlier.clusters, "statistics")[1] for earlier in self.sides.earlier), own)
        bins = plan_bins(counts, records_per_bin=self.records)
        return [bin for bin in bins if own[bin.first : bin.last].any()]

    def score_bin(self) -> CompareBin:
        return CompareBin(self.sides, self.target, self.records)

    def write_scores(self) -> WriteReferenceScores:
        return WriteReferenceScores(self.target, self.members, self.guard)
