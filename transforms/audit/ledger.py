"""What became of every record, as flat arrays in temporary files: fates, and neighbour links that can be followed.

Nine bytes a record on disk (thirteen while groups are counted) and no more than a few blocks in memory.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from sluice.models.reporting.audit import find_roots

BLOCK = 1 << 20
REJECTED = 255


class Group(NamedTuple):
    """Documents whose neighbour links end at the same one: addresses (unit, row), the end first; size counts all."""

    size: int
    members: list[tuple[int, int]]


class Ledger:
    """Two columns, one entry for each record of the run.

    fate uint8: the number of the step that removed a document, the number of steps when it is kept, or REJECTED.
    link int64: the record that a removed document resembles; its own number where there is none.
    """

    def __init__(self, records: dict[int, int]):
        self.units = sorted(records)
        self._first = np.r_[0, np.cumsum([records[unit] for unit in self.units])].astype(np.int64)
        self._base = np.zeros(max(self.units, default=0) + 1, np.int64)
        self._base[self.units] = self._first[:-1]
        self.records = int(self._first[-1])
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-ledger-")
        self.fate = self._array("fate", np.uint8, lambda start, stop: np.full(stop - start, REJECTED, np.uint8))
        self.link = self._array("link", np.int64, np.arange)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        del self.fate, self.link
        self._folder.cleanup()

    def _array(self, name: str, dtype: type, block: Callable[[int, int], np.ndarray]) -> np.ndarray:
        path, shape = Path(self._folder.name) / name, max(self.records, 1)
        # Written first: a full disk is an error there, and the end of the process at a map of a file with holes.
        with open(path, "wb") as file:
            for start in range(0, shape, BLOCK):
                file.write(block(start, min(start + BLOCK, shape)).astype(dtype).tobytes())
        return np.memmap(path, dtype, mode="r+", shape=shape)

    def index(self, units: np.ndarray | int, rows: np.ndarray) -> np.ndarray:
        """Record numbers int64 [n] of addresses."""
        return self._base[units] + rows

    def address(self, record: int) -> tuple[int, int]:
        """The (unit, row) of a record number."""
        position = int(np.searchsorted(self._first, record, side="right")) - 1
        return self.units[position], int(record - self._first[position])

    def add(
        self,
        unit: int,
        rows: np.ndarray,
        *,
        fate: np.ndarray,
        neighbours: tuple[np.ndarray, np.ndarray],
        linked: np.ndarray,
    ) -> None:
        """Enter a unit's documents; neighbours (unit, row) count only where linked, bool [n]."""
        own = self.index(unit, rows)
        self.fate[own] = fate
        self.link[own[linked]] = self.index(neighbours[0][linked], neighbours[1][linked])

    def removed_neighbours(self, steps: int) -> np.ndarray:
        """int64 [steps]: removed documents whose neighbour the same step or an earlier one removed too."""
        counts = np.zeros(steps + 1, np.int64)
        for start in range(0, self.records, BLOCK):
            link = np.array(self.link[start : start + BLOCK])
            fate = np.array(self.fate[start : start + BLOCK])
            linked = (link != np.arange(start, start + len(link))) & (fate < steps)
            gone = linked & (self.fate[link] <= fate)
            counts += np.bincount(fate[gone], minlength=steps + 1)
        return counts[:steps]

    def largest_groups(self, most: int, members: int) -> list[Group]:
        """The largest groups, each with up to `members` addresses. Follows the links to their ends, in place."""
        find_roots(self.link[: self.records])
        sizes = self._array("sizes", np.uint32, lambda start, stop: np.zeros(stop - start))
        for start in range(0, self.records, BLOCK):
            link = np.array(self.link[start : start + BLOCK])
            found, counts = np.unique(link[link != np.arange(start, start + len(link))], return_counts=True)
            sizes[found] += counts.astype(np.uint32)
        best: list[tuple[int, int]] = []
        for start in range(0, self.records, BLOCK):
            here = np.array(sizes[start : start + BLOCK]).astype(np.int64)
            top = np.argsort(-here, kind="stable")[:most]
            best += [(-int(here[at]), start + int(at)) for at in top if here[at] > 0]
            best = sorted(best)[:most]
        wanted = {root: [self.address(root)] for _, root in best}
        self._collect(wanted, members)
        return [Group(1 - size, wanted[root]) for size, root in best]

    def _collect(self, wanted: dict[int, list[tuple[int, int]]], members: int) -> None:
        for start in range(0, self.records, BLOCK):
            link = np.array(self.link[start : start + BLOCK])
            for root, found in wanted.items():
                if len(found) < members:
                    here = np.flatnonzero(link == root)[: members + 1] + start
                    found += [self.address(int(at)) for at in here if at != root]
                    del found[members:]
