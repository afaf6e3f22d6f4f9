"""Scores of documents compared inside their clusters: bins of whole clusters, read from sorted files, a worker each."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.models.arrays.vectors import COARSE, coarse
from sluice.transforms.clusters.bins import Bin
from sluice.transforms.stages import counters, progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.stage import GatherByUnit, ReadUnits, StageTransform, Start
from sluice.transforms.stages.writing import WriteGathered, stage_of
from sluice.transforms.storage import sealed


def at_scale(vectors: np.ndarray, scale: int) -> np.ndarray:
    """Stored vectors int16 [n, d] -> points whose dot products are whole numbers at scale**2: float32 on the coarse
    grid, float64 at the stored scale."""
    return coarse(vectors) if scale == COARSE else vectors.astype(np.float64)


class ScoreBin(beam.DoFn):
    """Bin -> (unit, its rows as bytes) for every unit with documents in it; a subclass says how they are scored.

    The bin's rows are saved beside the scores, so that a later try of the job does not compare again.
    """

    def __init__(self, scores: Artifact):
        self.scores = scores

    @property
    def stage(self) -> str:
        return stage_of(self.scores.url)

    def score(self, bin: Bin) -> np.ndarray:
        """Rows of a bin with at least `unit`, `row` and `score`, in the order of units and rows."""
        raise TypeError(f"{type(self).__name__} must define score")

    def process(self, bin: Bin) -> Iterator[tuple[int, bytes]]:
        saved = self.scores.file(f"bins/bin-{bin.id:05d}", ".npy")
        results = sealed.existing_array(saved)
        if results is not None:
            counters.add("bins_found")
            progress.add(self.stage, len(results))
        else:
            started = time.monotonic()
            results = self.score(bin)
            counters.add("bins_scored")
            counters.observe("bin_milliseconds", time.monotonic() - started)
            sealed.save_array(saved, results)
        units, starts = np.unique(results["unit"], return_index=True)
        for unit, start, stop in zip(units, starts, [*starts[1:], len(results)]):
            yield int(unit), results[start:stop].tobytes()


@dataclass
class ScoreBins(StageTransform):
    """pipeline -> scores/ of all units: bins are planned when the clusters are finished, and scored one by one."""

    def bins(self) -> list[Bin]:
        """The bins to score, from the statistics of finished clusters."""
        raise TypeError(f"{type(self).__name__} must define bins")

    def score_bin(self) -> ScoreBin:
        raise TypeError(f"{type(self).__name__} must define score_bin")

    def write_scores(self) -> WriteGathered:
        """What writes a unit's part from the rows that its bins gave."""
        raise TypeError(f"{type(self).__name__} must define write_scores")

    def expand(self, before: Any) -> beam.PCollection:
        rows = (
            before
            | "Once" >> Start(None)
            | "PlanBins" >> beam.FlatMap(lambda _: self.bins()).with_output_types(Bin)
            | "SpreadBins" >> beam.Reshuffle()
            | "ScoreBins" >> beam.ParDo(self.score_bin()).with_output_types(tuple[int, bytes])
        )
        units = before | ReadUnits(self.inventory)
        return self.finished((units, rows) | GatherByUnit() | "WriteScores" >> beam.ParDo(self.write_scores()))
