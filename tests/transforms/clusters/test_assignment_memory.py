"""Sorting vectors by cluster holds what is said, however many there are."""

import numpy as np

from sluice.transforms.clusters.sorted_records import SortedRunWriter
from sluice.transforms.stages import memory
from tests.transforms.stages.test_memory import DIMENSION, peak, stored


def test_sorting_runs_allocates_what_the_formula_says(tmp_path):
    rows, windows = 2000, 30
    vectors = stored(rows)
    number = np.random.default_rng(0).integers(0, 50, rows)

    def sort() -> None:
        with open(tmp_path / "runs", "wb") as file:
            runs = SortedRunWriter(file, 50, 4 << 20)
            for _ in range(windows):
                column = np.arange(rows)
                runs.add(vectors, number, rows=column, priority=column, tie=column)
            runs.flush()
            assert runs.runs[-1].starts[-1] == rows * windows and len(runs.runs) > 3

    said = memory.assignment(k=50, dimension=DIMENSION, run_bytes=4 << 20) - memory.PROCESS
    seen = peak(sort)
    assert said / 2 < seen < said, (said, seen)
