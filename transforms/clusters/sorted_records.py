"""Vectors sorted by cluster, as scorers read them. A unit has two files, of d dimensions and r sorted runs:

    part-*.records   the records of run 0, sorted by cluster; those of run 1; ...
        2 d bytes  vector, int16     4 bytes  row      8 bytes  priority      8 bytes  tie
    part-*.offsets   a row for each cluster, and one for the end of the last
        8 r bytes  where the cluster's records begin in each run, counted in records of the file
        4 r bytes  the crc32c of the cluster's records in each run
        4 bytes    the crc32c of the row so far

A sorted run is as many records as a worker sorts in memory at once. A bin of clusters is one range of the offsets and
one of every run. Neither is a whole file, so both carry checksums of their parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import numpy as np

from sluice.transforms import storage
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.storage.damage import damaged

RECORDS, OFFSETS = ".records", ".offsets"
# Records that are copied at a time: less than a megabyte.
PIECE_ROWS = 1024


def record_dtype(dimension: int) -> np.dtype:
    """One representative in a sorted file: its vector, where it is, and its place in its cluster's order."""
    return np.dtype([("vector", "<i2", (dimension,)), ("row", "<u4"), ("priority", "<i8"), ("tie", "<u8")])


def most_in_bin(bin_bytes: int, dimension: int) -> int:
    """How many representatives a bin holds, at least 1."""
    return max(bin_bytes // record_dtype(dimension).itemsize, 1)


def offsets_dtype(runs: int) -> np.dtype:
    """A cluster: where it starts in each run, in records of the file; the crc32c of its records there; the row's."""
    return np.dtype([("start", "<i8", (runs,)), ("crc32c", "<u4", (runs,)), ("check", "<u4")])


@dataclass(frozen=True)
class SortedRun:
    """Consecutive clusters of a sorted run, as the offsets have them: starts int64 [c + 1], crc32c uint32 [c + 1]."""

    starts: np.ndarray
    crc32c: np.ndarray


@dataclass
class SortedRunWriter:
    """Appends records to a file in runs of about `most` bytes, sorted by cluster."""

    file: Any
    clusters: int
    most: int
    runs: list[SortedRun] = field(default_factory=list)
    held: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    bytes: int = 0
    written: int = 0

    def add(self, vectors: np.ndarray, clusters: np.ndarray, **columns: np.ndarray) -> None:
        records = np.empty(len(vectors), record_dtype(vectors.shape[1]))
        records["vector"], records["row"] = vectors, columns["rows"]
        records["priority"], records["tie"] = columns["priority"], columns["tie"]
        self.held.append((records, clusters))
        self.bytes += records.nbytes
        if self.bytes >= self.most:
            self.flush()

    def flush(self) -> None:
        if not self.held:
            return
        clusters = np.concatenate([clusters for _, clusters in self.held])
        records = np.concatenate([records for records, _ in self.held])
        self.held, self.bytes = [], 0
        order = np.argsort(clusters, kind="stable")
        bounds = np.r_[0, np.cumsum(np.bincount(clusters, minlength=self.clusters))].astype(np.int64)
        checksums = Checksums(bounds, records.dtype.itemsize)
        for start in range(0, len(order), PIECE_ROWS):
            # Not numpy's tofile, which says nothing of what a full disk did not take.
            data = records[order[start : start + PIECE_ROWS]].tobytes()
            checksums.add(data)
            self.file.write(data)
        self.runs.append(SortedRun(self.written + bounds, checksums.found))
        self.written += len(order)

    def offsets(self) -> np.ndarray:
        """The rows of the file of offsets: one a cluster, and one for the end of the last."""
        rows = np.empty(self.clusters + 1, offsets_dtype(len(self.runs)))
        for number, run in enumerate(self.runs):
            rows["start"][:, number], rows["crc32c"][:, number] = run.starts, run.crc32c
        for number, row in enumerate(_contents(rows)):
            rows["check"][number] = google_crc32c.value(row)
        return rows


class Checksums:
    """crc32c of the records of every cluster of a run, of bytes that come in order, cut anywhere.

    bounds: int64 [clusters + 1], in records; found: uint32 [clusters + 1], the last one is of nothing.
    """

    def __init__(self, bounds: np.ndarray, itemsize: int):
        self.found = np.zeros(len(bounds), np.uint32)
        self._filled = np.flatnonzero(np.diff(bounds))
        self._stops = ((bounds[1:] - bounds[0]) * itemsize)[self._filled].tolist()
        self._at = self._cluster = 0

    def add(self, data: bytes) -> int:
        """How many of the clusters, empty ones too, are whole now."""
        used = 0
        while used < len(data):
            cluster, stop = self._filled[self._cluster], self._stops[self._cluster]
            piece = data[used : used + stop - self._at]
            self.found[cluster] = google_crc32c.extend(int(self.found[cluster]), piece)
            used, self._at = used + len(piece), self._at + len(piece)
            self._cluster += self._at == stop
        return int(self._filled[self._cluster]) if self._cluster < len(self._filled) else len(self.found) - 1


def _contents(rows: np.ndarray) -> Iterator[bytes]:
    """What the checksum of each row of the offsets is of."""
    data, size = rows.tobytes(), rows.dtype.itemsize
    return (data[start : start + size - 4] for start in range(0, len(data), size))


def read_offsets(clusters: Artifact, unit: int, first: int = 0, last: int | None = None) -> list[SortedRun]:
    """The runs of a unit, of clusters first..last-1 (None: all), read without all the others'. Raises Damaged.

    Every bin asks every unit, so at K clusters whole files would be read K times for each.
    """
    runs = clusters.part(unit)["stats"]["runs"]
    if not runs:
        return []
    last = clusters.manifest["totals"]["clusters"] if last is None else last
    path, dtype = clusters.path(unit, OFFSETS), offsets_dtype(runs)
    data = _range(clusters, path, first * dtype.itemsize, (last + 1) * dtype.itemsize)
    rows = np.frombuffer(data, dtype)
    for number, (row, said) in enumerate(zip(_contents(rows), rows["check"].tolist())):
        if google_crc32c.value(row) != said:
            raise damaged(path, f"the offsets of cluster {first + number} are not as written", folder=clusters.url)
    return [SortedRun(start, found) for start, found in zip(rows["start"].T, rows["crc32c"].T)]


def read_run(
    clusters: Artifact, unit: int, run: SortedRun, dtype: np.dtype, most: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """The records of a run's clusters in pieces of at most `most` (None: one), each after the number of its first.

    Raises Damaged; a cluster that lies in several pieces is known to be whole after the last of them.
    """
    path, (start, stop) = clusters.path(unit, RECORDS), (int(run.starts[0]), int(run.starts[-1]))
    checksums, known = Checksums(run.starts, dtype.itemsize), 0
    for begin in range(start, stop, most or max(stop - start, 1)):
        end = min(begin + most, stop) if most else stop
        data = _range(clusters, path, begin * dtype.itemsize, end * dtype.itemsize)
        whole = checksums.add(data)
        if not np.array_equal(checksums.found[known:whole], run.crc32c[known:whole]):
            between = f"between bytes {begin * dtype.itemsize} and {end * dtype.itemsize}"
            raise damaged(path, f"records {between} are not as written", folder=clusters.url)
        known = whole
        yield begin, np.frombuffer(data, dtype)


def clusters_of(run: SortedRun, first: int, start: int, records: int) -> np.ndarray:
    """int64 [records]: the cluster of each record from number `start` on, of a run that begins with cluster `first`."""
    return first + np.searchsorted(run.starts, np.arange(start, start + records), side="right") - 1


def one_cluster(run: SortedRun, cluster: int) -> SortedRun:
    """A single cluster of a run that begins with cluster 0."""
    return SortedRun(run.starts[cluster : cluster + 2], run.crc32c[cluster : cluster + 2])


def _range(clusters: Artifact, path: str, start: int, stop: int) -> bytes:
    try:
        return storage.read_range(path, start, stop)
    except FileNotFoundError:
        raise damaged(path, "it is missing", folder=clusters.url) from None
    except storage.TooShort as error:
        raise damaged(path, error.problem, folder=clusters.url) from None
