"""Sampled vectors on their way between workers: blocks of bounded size, and the first of a sample from any order."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow.parquet as pq

from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes

BLOCK_BYTES = 1 << 20
WINDOW_ROWS = 16384


def sample_dtype(dimension: int) -> np.dtype:
    """A sampled vector on its way: the sample is in the order of tickets, equal ones in that of their places."""
    return np.dtype([("ticket", "<u8"), ("place", "<u8"), ("vector", "<i2", (dimension,))])


def read_blocks(artifact: Artifact, unit: int) -> Iterator[np.ndarray]:
    """The sample of one unit, as records in windows; the artifact need not be finished."""
    with artifact.unfinished(unit) as path, pq.ParquetFile(path) as file:
        start = 0
        for batch in file.iter_batches(batch_size=WINDOW_ROWS, columns=["ticket", "vector"]):
            vectors = fixed_bytes(batch.column(1), "<i2")
            records = np.empty(len(batch), sample_dtype(vectors.shape[1]))
            records["ticket"], records["vector"] = batch.column(0).to_numpy(), vectors
            records["place"] = (unit << 32) + start + np.arange(len(batch))
            yield records
            start += len(batch)


def windows(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), WINDOW_ROWS):
        yield rows[start : start + WINDOW_ROWS]


def cut(records: np.ndarray) -> Iterator[bytes]:
    rows = max(BLOCK_BYTES // records.dtype.itemsize, 1)
    for start in range(0, len(records), rows):
        yield records[start : start + rows].tobytes()


class First:
    """The first `most` records of a sample in its order, of blocks that come in any order; holds 1.25 times as many."""

    def __init__(self, most: int):
        self.most, self.seen, self.rows = most, 0, 0
        self.held: list[np.ndarray] = []

    def add(self, records: np.ndarray) -> None:
        self.held.append(records)
        self.seen += len(records)
        self.rows += len(records)
        if self.rows > self.most + max(self.most // 4, 1):
            self._trim()

    def _trim(self) -> None:
        joined = np.concatenate(self.held)
        self.held = []
        self.held = [joined[np.lexsort((joined["place"], joined["ticket"]))[: self.most]]]
        self.rows = len(self.held[0])

    def vectors(self) -> np.ndarray:
        """int16 [at most `most`, d], in the sample's order."""
        self._trim()
        return self.held[0]["vector"]


def gather(blocks: Iterable[bytes], most: int, dimension: int) -> First:
    found = First(most)
    for block in blocks:
        found.add(np.frombuffer(block, sample_dtype(dimension)))
    return found
