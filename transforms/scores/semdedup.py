"""SemDeDup over a whole corpus: bins of whole clusters are read from the sorted files and scored by one worker each."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.vectors import COARSE, FULL, coarse
from sluice.models.methods import semdedup
from sluice.models.methods.semdedup import NO_NEIGHBOUR
from sluice.transforms.clusters.centroids import Members, load_array
from sluice.transforms.clusters.sorted_records import read_offsets, read_run, record_dtype
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NEVER, Guard, write_scores
from sluice.transforms.scores.copies import NONE
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
    [("unit", "<u4"), ("row", "<u4"), ("score", "<i4"), ("neighbour_unit", "<u4"), ("neighbour_row", "<u4")]
)


@dataclass(frozen=True)
class Rule:
    """How similar documents of one cluster are scored. threshold: a dot product at `scale`, for rules that need it."""

    rule: str = "official"
    threshold: int | None = None
    scale: int = COARSE


@dataclass(frozen=True)
class Bin:
    """Clusters first..last-1, scored together."""

    id: int
    first: int
    last: int
    records: int


def plan_bins(counts: np.ndarray, *, records_per_bin: int) -> list[Bin]:
    """Consecutive clusters in bins of at most `records_per_bin`; a larger cluster has a bin of its own."""
    bins: list[Bin] = []
    first, held = 0, 0
    for cluster, count in enumerate(counts.tolist()):
        if held and held + count > records_per_bin:
            bins.append(Bin(len(bins), first, cluster, held))
            first, held = cluster, 0
        held += count
    if held:
        bins.append(Bin(len(bins), first, len(counts), held))
    return bins


class ScoreBin(beam.DoFn):
    """Bin -> (unit, RESULT bytes) for every unit with documents in it; the bin's results are kept for a later try."""

    def __init__(self, clusters: Artifact, scores: Artifact, *, rule: Rule, dimension: int):
        self.clusters, self.scores = clusters, scores
        self.rule, self.dimension = rule, dimension

    def process(self, bin: Bin) -> Iterator[tuple[int, bytes]]:
        saved = self.scores.file(f"bins/bin-{bin.id:05d}", ".npy")
        results = sealed.existing_array(saved)
        if results is not None:
            progress.add(stage_of(self.scores.url), len(results))
            counters.add("bins_found")
        else:
            started = time.monotonic()
            results = self._score(bin)
            counters.add("bins_scored")
            counters.observe("bin_milliseconds", time.monotonic() - started)
            sealed.save_array(saved, results)
        for unit in np.unique(results["unit"]):
            start, stop = np.searchsorted(results["unit"], [unit, unit + np.uint64(1)])
            yield int(unit), results[start:stop].tobytes()

    def _score(self, bin: Bin) -> np.ndarray:
        records, units, clusters = self._load(bin)
        order = np.lexsort((records["row"], units, records["tie"], records["priority"], clusters))
        results = np.empty(len(order), RESULT)
        bounds = np.searchsorted(clusters[order], np.arange(bin.first, bin.last + 1))
        sizes = np.diff(bounds).astype(np.int64)
        counters.add("pairs", int((sizes * (sizes - 1) // 2).sum()))
        counters.add("bytes_read", records.nbytes)
        stage = stage_of(self.scores.url)

        def score(cluster: tuple[int, int]) -> None:
            start, stop = cluster
            members = order[start:stop]
            dots, where = semdedup.score(
                self._points(records["vector"][members]), rule=self.rule.rule, threshold=self.rule.threshold
            )
            block = results[start:stop]
            block["unit"], block["row"], block["score"] = units[members], records["row"][members], dots
            known = where >= 0
            block["neighbour_unit"] = np.where(known, units[members[where]], NONE)
            block["neighbour_row"] = np.where(known, records["row"][members[where]], NONE)
            progress.add(stage, stop - start)

        for _ in parallel(
            score, ((start, stop) for start, stop in itertools.pairwise(bounds.tolist()) if stop > start)
        ):
            pass
        return results[np.lexsort((results["row"], results["unit"]))]

    def _points(self, vectors: np.ndarray) -> np.ndarray:
        return coarse(vectors) if self.rule.scale == COARSE else vectors.astype(np.float64)

    def _load(self, bin: Bin) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The bin's records, and for each its unit and its cluster."""
        dtype = record_dtype(self.dimension)
        records = np.empty(bin.records, dtype)
        units = np.empty(bin.records, np.uint32)
        clusters = np.empty(bin.records, np.int64)
        filled = 0
        for unit in [part["unit"] for part in self.clusters.manifest["parts"]]:
            for run in read_offsets(self.clusters, unit, bin.first, bin.last):
                for _, found in read_run(self.clusters, unit, run, dtype):
                    here = slice(filled, filled + len(found))
                    records[here], units[here] = found, unit
                    clusters[here] = np.repeat(np.arange(bin.first, bin.last), np.diff(run.starts))
                    filled = here.stop
        if filled != bin.records:
            raise ValueError(f"bin {bin.id} has {filled} records, the statistics say {bin.records}")
        return records, units, clusters


class WriteSemDeDupScores(WriteGathered):
    """Unit and its RESULT rows -> its part of scores/. A copy scores what equal vectors score: cosine 1."""

    dtype = RESULT

    def __init__(self, target: Artifact, members: Members, *, guard: Guard, scale: int):
        super().__init__(target)
        self.members, self.guard, self.scale = members, guard, scale

    def write(self, unit: Unit) -> None:
        documents = self.members.documents.read(unit.id, ["row", "tokens", *self.guard.columns()])
        alive = self.members.alive(unit.id)
        rows = documents["row"].to_numpy()
        score = np.full(len(rows), NEVER)
        neighbour_unit = np.full(len(rows), NONE)
        neighbour_row = np.full(len(rows), NONE)
        at = np.searchsorted(rows, self.rows["row"])
        dots = self.rows["score"].astype(np.int64)
        score[at] = np.where(dots == NO_NEIGHBOUR, NEVER, dots)
        neighbour_unit[at], neighbour_row[at] = (
            self.rows["neighbour_unit"],
            self.rows["neighbour_row"],
        )
        copies = 0
        if self.members.copies is not None:
            first = self.members.copies.read(unit.id)
            is_copy = ~first["first_row"].combine_chunks().is_null().to_numpy(False)
            score[is_copy] = self.scale**2
            neighbour_unit[is_copy] = first["first_unit"].to_numpy(zero_copy_only=False)[is_copy]
            neighbour_row[is_copy] = first["first_row"].to_numpy(zero_copy_only=False)[is_copy]
            copies = int(is_copy.sum())
        if len(at) + copies != alive.sum():
            raise ValueError(f"unit {unit.id}: {len(at)} scores and {copies} copies for {alive.sum()} documents")
        write_scores(
            self.target,
            unit.id,
            documents=documents,
            alive=alive,
            score=score,
            guard=self.guard,
            neighbours=(neighbour_unit, neighbour_row),
            stats={"copies": copies},
        )


@dataclass
class ScoreSemDeDup(StageTransform):
    """pipeline -> scores/ of all units: similarity to the nearest document before it in its cluster."""

    version = 3

    inventory: Artifact
    members: Members
    clusters: Artifact
    scores: Artifact
    rule: Rule
    guard: Guard
    dimension: int
    units: int
    bin_bytes: int = 128 << 20
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def worker_memory(self) -> int:
        """Bytes that a worker needs, as transforms.stages.memory counts them."""
        return memory.scoring(
            bin_bytes=self.bin_bytes,
            record_bytes=record_dtype(self.dimension).itemsize,
            point_bytes=4 if self.rule.scale == COARSE else 8,
            dimension=self.dimension,
        )

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        score = ScoreBin(self.clusters, self.scores, rule=self.rule, dimension=self.dimension)
        results = (
            pipeline
            | "Clusters" >> Start(self.clusters)
            | "PlanBins" >> beam.FlatMap(self._bins)
            | "SpreadBins" >> beam.Reshuffle()
            | "ScoreBins" >> beam.ParDo(score).with_output_types(tuple[int, bytes])
        )
        units = pipeline | ReadUnits(self.inventory)
        write = WriteSemDeDupScores(self.scores, self.members, guard=self.guard, scale=self.rule.scale)
        parts = (units, results) | GatherByUnit() | "WriteScores" >> beam.ParDo(write)
        return parts | Commit(artifacts=(self.scores,), expected=self.units, config=self.config)

    def _bins(self, clusters: Artifact) -> list[Bin]:
        counts = load_array(clusters, "statistics")[1]
        return plan_bins(counts, records_per_bin=records_per_bin(self.bin_bytes, self.dimension))


def records_per_bin(bin_bytes: int, dimension: int) -> int:
    return max(bin_bytes // record_dtype(dimension).itemsize, 1)


def scale_for(threshold: float | None) -> int:
    """Thresholds above 0.995 need the stored scale; below it the coarse grid's error (5e-4 at most) does not matter."""
    return FULL if threshold is not None and threshold > 0.995 else COARSE
