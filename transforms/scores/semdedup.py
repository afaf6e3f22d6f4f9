"""SemDeDup over a whole corpus: bins of whole clusters are read from the sorted files and scored by one worker each."""

import itertools
from dataclasses import dataclass

import numpy as np

from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.vectors import COARSE
from sluice.models.methods import semdedup
from sluice.models.methods.semdedup import NO_NEIGHBOUR
from sluice.transforms.clusters.bins import Bin, plan_bins
from sluice.transforms.clusters.members import Members, load_array
from sluice.transforms.clusters.sorted_records import most_in_bin, read_offsets, read_run, record_dtype
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NEVER, NONE, Guard, write_scores
from sluice.transforms.scores.score_bins import ScoreBin, ScoreBins, at_scale
from sluice.transforms.stages import counters, memory, progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import not_null, numbers
from sluice.transforms.stages.writing import WriteGathered

RESULT = np.dtype(
    [("unit", "<u4"), ("row", "<u4"), ("score", "<i4"), ("neighbour_unit", "<u4"), ("neighbour_row", "<u4")]
)


@dataclass(frozen=True)
class Rule:
    """How similar documents of one cluster are scored. threshold: a dot product at `scale`, for rules that need it."""

    rule: str = "official"
    threshold: int | None = None
    scale: int = COARSE


class ScoreSimilarities(ScoreBin):
    """Bin -> RESULT rows: how similar each of its documents is to one before it in its cluster."""

    def __init__(self, clusters: Artifact, scores: Artifact, *, rule: Rule, dimension: int):
        super().__init__(scores)
        self.clusters, self.rule, self.dimension = clusters, rule, dimension

    def score(self, bin: Bin) -> np.ndarray:
        records, units, clusters = self.load(bin)
        order = np.lexsort((records["row"], units, records["tie"], records["priority"], clusters))
        results = np.empty(len(order), RESULT)
        bounds = np.searchsorted(clusters[order], np.arange(bin.first, bin.last + 1))
        sizes = np.diff(bounds).astype(np.int64)
        counters.add("pairs", int((sizes * (sizes - 1) // 2).sum()))
        counters.add("bytes_read", records.nbytes)

        def score(cluster: tuple[int, int]) -> None:
            start, stop = cluster
            members = order[start:stop]
            dots, where = semdedup.score(
                at_scale(records["vector"][members], self.rule.scale),
                rule=self.rule.rule,
                threshold=self.rule.threshold,
            )
            block = results[start:stop]
            block["unit"], block["row"], block["score"] = units[members], records["row"][members], dots
            known = where >= 0
            block["neighbour_unit"] = np.where(known, units[members[where]], NONE)
            block["neighbour_row"] = np.where(known, records["row"][members[where]], NONE)
            progress.add(self.stage, stop - start)

        filled = [(start, stop) for start, stop in itertools.pairwise(bounds.tolist()) if stop > start]
        for _ in parallel(score, filled):
            pass
        return results[np.lexsort((results["row"], results["unit"]))]

    def load(self, bin: Bin) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
        rows = numbers(documents, "row")
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
            is_copy = not_null(first, "first_row")
            score[is_copy] = self.scale**2
            neighbour_unit[is_copy] = numbers(first, "first_unit")[is_copy]
            neighbour_row[is_copy] = numbers(first, "first_row")[is_copy]
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
class ScoreSemDeDup(ScoreBins):
    """pipeline -> scores/ of all units: similarity to the nearest document before it in its cluster."""

    version = 3

    members: Members
    clusters: Artifact
    rule: Rule
    guard: Guard
    dimension: int
    bin_bytes: int = 128 << 20

    @property
    def worker_memory(self) -> int:
        """Bytes that a worker needs, as transforms.stages.memory counts them."""
        return memory.scoring(
            bin_bytes=self.bin_bytes,
            record_bytes=record_dtype(self.dimension).itemsize,
            point_bytes=4 if self.rule.scale == COARSE else 8,
            dimension=self.dimension,
        )

    def bins(self) -> list[Bin]:
        counts = load_array(self.clusters, "statistics")[1]
        return plan_bins(counts, records_per_bin=most_in_bin(self.bin_bytes, self.dimension))

    def score_bin(self) -> ScoreSimilarities:
        return ScoreSimilarities(self.clusters, self.target, rule=self.rule, dimension=self.dimension)

    def write_scores(self) -> WriteSemDeDupScores:
        return WriteSemDeDupScores(self.target, self.members, guard=self.guard, scale=self.rule.scale)
