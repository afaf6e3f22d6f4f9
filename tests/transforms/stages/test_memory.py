"""What stages say they need is what they are seen to allocate, and not much more."""

import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sluice.models.arrays import vectors
from sluice.models.clustering import kmeans
from sluice.transforms.clusters import centroids
from sluice.transforms.clusters.bins import Bin
from sluice.transforms.clusters.sorted_records import record_dtype
from sluice.transforms.scores import semdedup
from sluice.transforms.stages import memory
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import to_fixed

DIMENSION = 128


def peak(function: Callable[[], Any]) -> int:
    """Bytes that a call has allocated at its worst, by Python, NumPy and Arrow together."""
    function()  # what is made once, as threads and caches, is made now
    pool, before, arrow = pa.default_memory_pool(), pa.default_memory_pool().bytes_allocated(), 0
    done = threading.Event()

    def watch() -> None:
        nonlocal arrow
        while not done.wait(0.001):
            arrow = max(arrow, pool.bytes_allocated() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    tracemalloc.start()
    function()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    done.set()
    watcher.join()
    return most + arrow


def stored(rows: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(rows, DIMENSION)).astype(np.float32)
    return vectors.quantise(points)


@pytest.mark.parametrize(("scale", "point_bytes"), [(vectors.COARSE, 4), (vectors.FULL, 8)])
def test_scoring_a_bin_allocates_what_the_formula_says(scale, point_bytes):
    # Two clusters of unequal size, the larger with most of the bin.
    rows = 12_000
    records = np.empty(rows, record_dtype(DIMENSION))
    found = stored(rows)
    clusters = np.repeat([0, 1], [rows - 2000, 2000])

    class ScoreGiven(semdedup.ScoreSimilarities):
        def load(self, bin: Bin) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            fresh = np.empty(rows, record_dtype(DIMENSION))
            fresh["vector"], fresh["row"], fresh["priority"], fresh["tie"] = found, np.arange(rows), 0, np.arange(rows)
            return fresh, np.zeros(rows, np.uint32), clusters.copy()

    nothing = Artifact("/nowhere", "0" * 32)
    score = ScoreGiven(nothing, nothing, rule=semdedup.Rule(scale=scale), dimension=DIMENSION)
    said = memory.scoring(
        bin_bytes=records.nbytes, record_bytes=records.itemsize, point_bytes=point_bytes, dimension=DIMENSION
    )
    seen = peak(lambda: score.score(Bin(0, 0, 2, rows)))
    assert (said - memory.PROCESS) / 2 < seen < said - memory.PROCESS + (8 << 20), (said - memory.PROCESS, seen)


def test_training_allocates_what_the_formula_says(tmp_path):
    rows, k = 40_000, 100
    target = Artifact(str(tmp_path), "0" * 32)
    table = pa.table([to_fixed(stored(rows)), pa.array(np.arange(rows, dtype=np.uint64))], names=["vector", "ticket"])
    target.write(0, [table], table.schema, {})
    part = target.describe(0)
    said = memory.training(sample=rows, dimension=DIMENSION, k=k) - memory.PROCESS

    def train() -> None:
        kmeans.train(centroids.read_sample(target, [part]), k, iterations=4)

    seen = peak(train)
    assert said / 2 < seen < said + (8 << 20), (said, seen)
