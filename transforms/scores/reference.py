"""Similarity of new documents to those that earlier runs hold, cluster by cluster.

Both sides were assigned to the same centroids and lie sorted by cluster in files. A worker takes a bin of clusters and
reads both sides in pieces of bounded size: of all products it keeps the largest, so pieces change nothing and no
cluster is too large.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.products import best_match
from sluice.models.arrays.vectors import COARSE, coarse
from sluice.models.methods.semdedup import NO_NEIGHBOUR
from sluice.transforms.clusters.centroids import Members, load_array
from sluice.transforms.clusters.sorted_records import clusters_of, read_offsets, read_run, record_dtype
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NEVER, Guard, write_scores
from sluice.transforms.scores.copies import NONE
from sluice.transforms.scores.semdedup import Bin, plan_bins
from sluice.transforms.stages import counters, memory, progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.stage import (
    Commit,
    GatherByUnit,
    ReadUnits,
    StageTransform,
    Start,
    WriteGathered,
    stage_of,
)
from sluice.transforms.storage import sealed

RESULT = np.dtype(
    [("unit", "<u4"), ("row", "<u4"), ("score", "<i4"), ("run", "<u4"), ("run_unit", "<u4"), ("run_row", "<u4")]
)
# Columns of scores/ beside the usual ones: the number of the earlier run, and the document there.
COLUMNS = {"reference_run": "run", "reference_unit": "run_unit", "reference_row": "run_row"}


@dataclass(frozen=True)
class Piece:
    """Some records of a bin's clusters, by cluster: vectors int16 [n, d], and for each its cluster, unit and row."""

    vectors: np.ndarray
    clusters: np.ndarray
    units: np.ndarray
    rows: np.ndarray

    def bounds(self, bin: Bin) -> np.ndarray:
        """Where each of the bin's clusters begins, and the end of the last."""
        return np.searchsorted(self.clusters, np.arange(bin.first, bin.last + 1))


def read_pieces(
    clusters: Artifact, bin: Bin, *, dimension: int, records: int, kept: Callable[[int], np.ndarray] | None = None
) -> Iterator[Piece]:
    """A bin's records in the order of units and rows, in pieces of about `records`, each sorted by cluster.

    kept: a unit -> its rows that count, as `kept_rows` has them; None: all do.
    """
    dtype = record_dtype(dimension)
    held: list[tuple[np.ndarray, np.ndarray, int]] = []
    size = 0
    for unit in [part["unit"] for part in clusters.manifest["parts"]]:
        for run in read_offsets(clusters, unit, bin.first, bin.last):
            # A range that is longer than a piece is cut.
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


def _join(held: list[tuple[np.ndarray, np.ndarray, int]]) -> Piece:
    clusters = np.concatenate([cluster for _, cluster, _ in held])
    order = np.argsort(clusters, kind="stable")
    vectors = np.concatenate([found["vector"] for found, _, _ in held])
    rows = np.concatenate([found["row"] for found, _, _ in held])
    units = np.concatenate([np.full(len(found), unit, np.uint32) for found, _, unit in held])
    return Piece(vectors[order], clusters[order], units[order], rows[order])


@dataclass(frozen=True)
class Earlier:
    """The sorted vectors of an earlier run, and, where they are not only of the documents it kept, which those are."""

    clusters: Artifact
    kept: Members | None = None

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """What decides which vectors count."""
        keep = None if self.kept is None else self.kept.keep
        return (self.clusters,) if keep is None else (self.clusters, keep)


def kept_rows(members: Members, unit: int) -> np.ndarray:
    """uint8 with a bit for every row up to the unit's last, lowest bit first: 1 where the document is still in."""
    rows = members.documents.read(unit, ["row"])["row"].to_numpy()
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

    def points(self, piece: Piece) -> np.ndarray:
        return coarse(piece.vectors) if self.scale == COARSE else piece.vectors.astype(np.float64)


class ScoreBin(beam.DoFn):
    """Bin -> (unit, RESULT bytes) for every unit with documents in it; the bin's results are kept for a later try."""

    def __init__(self, sides: Sides, scores: Artifact, records: int):
        self.sides, self.scores, self.records = sides, scores, records

    def setup(self) -> None:
        # 12 kB for a unit of 100,000 documents: a worker reads each unit's once, not once for each bin.
        self._kept_rows = functools.lru_cache(maxsize=4096)(self._read_kept_rows)

    def _read_kept_rows(self, number: int, unit: int) -> np.ndarray:
        members = self.sides.earlier[number].kept
        assert members is not None, f"all documents of earlier run {number} count"
        return kept_rows(members, unit)

    def process(self, bin: Bin) -> Iterator[tuple[int, bytes]]:
        saved = self.scores.file(f"bins/bin-{bin.id:05d}", ".npy")
        results = sealed.existing_array(saved)
        if results is not None:
            counters.add("bins_found")
        else:
            started = time.monotonic()
            found = [self._score(bin, piece) for piece in self._pieces(self.sides.own, bin)]
            results = np.concatenate([np.empty(0, RESULT), *found])
            results = results[np.lexsort((results["row"], results["unit"]))]
            sealed.save_array(saved, results)
            counters.add("bins_scored")
            counters.observe("bin_milliseconds", time.monotonic() - started)
        progress.add(stage_of(self.scores.url), len(results))
        units, starts = np.unique(results["unit"], return_index=True)
        for unit, start, stop in zip(units, starts, [*starts[1:], len(results)]):
            yield int(unit), results[start:stop].tobytes()

    def _pieces(self, clusters: Artifact, bin: Bin, kept: Callable[[int], np.ndarray] | None = None) -> Iterator[Piece]:
        return read_pieces(clusters, bin, dimension=self.sides.dimension, records=self.records, kept=kept)

    def _score(self, bin: Bin, own: Piece) -> np.ndarray:
        results = np.zeros(len(own.rows), RESULT)
        results["unit"], results["row"], results["score"] = own.units, own.rows, NO_NEIGHBOUR
        results["run"] = results["run_unit"] = results["run_row"] = NONE
        points, bounds = self.sides.points(own), own.bounds(bin)
        for number, earlier in enumerate(self.sides.earlier):
            kept = None if earlier.kept is None else functools.partial(self._kept_rows, number)
            for piece in self._pieces(earlier.clusters, bin, kept):
                self._compare(results, points, bounds, number=number, other=piece, others=piece.bounds(bin))
        return results

    def _compare(
        self,
        results: np.ndarray,
        points: np.ndarray,
        bounds: np.ndarray,
        *,
        number: int,
        other: Piece,
        others: np.ndarray,
    ) -> None:
        """Enter the earlier run's better matches; pieces come in order, so of equal ones the first stays."""
        theirs = self.sides.points(other)
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
        at = np.searchsorted(documents["row"].to_numpy(), self.rows["row"])
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
class ScoreReference(StageTransform):
    """pipeline -> scores/ of all units: similarity to the nearest document of the earlier runs in the own cluster."""

    version = 3

    inventory: Artifact
    members: Members
    sides: Sides
    scores: Artifact
    guard: Guard
    units: int
    bin_bytes: int = 128 << 20
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def records(self) -> int:
        """Of each side, how many a worker holds at a time."""
        return max(self.bin_bytes // record_dtype(self.sides.dimension).itemsize, 1)

    @property
    def worker_memory(self) -> int:
        """Bytes that a worker needs, as transforms.stages.memory counts them: a piece of either side."""
        return memory.scoring(
            bin_bytes=2 * self.bin_bytes,
            record_bytes=record_dtype(self.sides.dimension).itemsize,
            point_bytes=4 if self.sides.scale == COARSE else 8,
            dimension=self.sides.dimension,
        )

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        score = ScoreBin(self.sides, self.scores, self.records)
        results = (
            pipeline
            | "Sides" >> Start(self.sides)
            | "PlanBins" >> beam.FlatMap(self._bins).with_output_types(Bin)
            | "SpreadBins" >> beam.Reshuffle()
            | "ScoreBins" >> beam.ParDo(score).with_output_types(tuple[int, bytes])
        )
        units = pipeline | ReadUnits(self.inventory)
        write = WriteReferenceScores(self.scores, self.members, self.guard)
        parts = (units, results) | GatherByUnit() | "WriteScores" >> beam.ParDo(write)
        return parts | Commit(artifacts=(self.scores,), expected=self.units, config=self.config)

    def _bins(self, sides: Sides) -> list[Bin]:
        """Bins of about as many records of both sides as a worker holds of one; those without new documents not."""
        own = load_array(sides.own, "statistics")[1]
        counts = sum((load_array(earlier.clusters, "statistics")[1] for earlier in sides.earlier), own)
        bins = plan_bins(counts, records_per_bin=self.records)
        return [one for one in bins if own[one.first : one.last].any()]
