"""The exact cut inside each of many groups at once: which documents of every group are the first so many of an order.

The counterpart of cut.select for clusters. The order is by (priority, tie, unit, row), and a 64-bit key holds the
priority and the head of the tie. Each pass counts, for every group, the documents that share the bits found so far by
their next few bits; what is counted is bounded by CELLS whatever the number of documents. After the priority and
SETTLED bits of the tie, what is left of a group is a handful, and is sorted. Few documents are sorted at once.
"""

from dataclasses import dataclass

import numpy as np

from sluice.models.cut import select

# Priorities are products of two vectors at scale COARSE, or their negatives: at most 2**24 away from 0.
LOWEST = -(1 << 24)
PRIORITY_BITS = 26
TIE_BITS = 64 - PRIORITY_BITS
SETTLED = 16
# Counters of a pass: 32 MB, unless there are more than 256 K groups.
CELLS = 1 << 22
NARROWEST, WIDEST = 4, 16
CELL = np.dtype([("cell", "<i8"), ("count", "<i8")])
CANDIDATE = np.dtype([("group", "<i4"), ("key", "<u8"), ("tie", "<u8"), ("unit", "<u4"), ("row", "<u4")])
BOUNDARY = np.dtype([("cuts", "?"), ("key", "<u8"), ("tie", "<u8"), ("unit", "<u4"), ("row", "<u4")])


@dataclass(frozen=True)
class Narrowing:
    """How far the cut of every group is known.

    group: int32 [clusters], the group of each cluster, -1: its documents all stay. left: int64 [groups], how many of
    the documents that share the prefix stay; prefix: uint64 [groups], the leading `bits` of the first document that
    goes; cuts: bool [groups], False where all documents of the group stay.
    """

    group: np.ndarray
    left: np.ndarray
    prefix: np.ndarray
    cuts: np.ndarray
    bits: int = 0

    @classmethod
    def start(cls, group: np.ndarray, quota: np.ndarray) -> "Narrowing":
        """quota: int64 [groups], how many documents of each group stay."""
        return cls(group.astype(np.int32), quota, np.zeros(len(quota), np.uint64), np.ones(len(quota), bool))


@dataclass(frozen=True)
class Settled:
    """The cut of every group: `boundaries` [groups] of dtype BOUNDARY is the first document that goes."""

    group: np.ndarray
    boundaries: np.ndarray

    def goes(self, keys: "Keys") -> np.ndarray:
        """bool [n]."""
        gone = np.zeros(len(keys.cluster), bool)
        if not len(self.boundaries):
            return gone
        group = self.group[keys.cluster]
        limit = self.boundaries[group]
        below = np.zeros(len(gone), bool)
        equal = np.ones(len(gone), bool)
        for column, name in ((keys.key, "key"), (keys.tie, "tie"), (keys.unit, "unit"), (keys.row, "row")):
            below |= equal & (column < limit[name])
            equal &= column == limit[name]
        return (group >= 0) & limit["cuts"] & ~below


@dataclass(frozen=True)
class Keys:
    """Where some documents stand, as columns [n]: int cluster, uint64 key and tie, uint32 unit and row."""

    cluster: np.ndarray
    key: np.ndarray
    tie: np.ndarray
    unit: np.ndarray
    row: np.ndarray


def keys_of(priority: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """int64 [n] from LOWEST to -LOWEST, uint64 [n] -> uint64 [n] in the order of the pairs, as far as 64 bits go."""
    if len(priority) and not LOWEST <= priority.min() <= priority.max() <= -LOWEST:
        raise ValueError(f"priorities reach from {priority.min()} to {priority.max()}, beyond {-LOWEST}")
    return ((priority - LOWEST).astype(np.uint64) << np.uint64(TIE_BITS)) | (tie >> np.uint64(PRIORITY_BITS))


def priority_of(key: np.ndarray) -> np.ndarray:
    """The priorities (int64) that went into keys."""
    return (key >> np.uint64(TIE_BITS)).astype(np.int64) + LOWEST


def width(groups: int) -> int:
    """How many bits a pass looks at."""
    return int(np.clip((CELLS // max(groups, 1)).bit_length() - 1, NARROWEST, WIDEST))


def passes(groups: int, documents: int) -> int:
    """How many counts come before the sort, for at most so many groups and documents."""
    return 0 if documents <= select.FEW else -(-(PRIORITY_BITS + SETTLED) // width(groups))


def sharing(keys: Keys, found: Narrowing) -> tuple[np.ndarray, np.ndarray]:
    """(positions, groups) of the documents that share their group's prefix."""
    if not len(found.left):
        return np.empty(0, np.int64), np.empty(0, np.int32)
    group = found.group[keys.cluster]
    shares = (group >= 0) & found.cuts[group]
    if found.bits:
        shares &= keys.key >> np.uint64(64 - found.bits) == found.prefix[group]
    positions = np.flatnonzero(shares)
    return positions, group[positions]


def count(keys: Keys, found: Narrowing) -> np.ndarray:
    """CELL rows, each cell once and in order: how many documents of each group have which next bits."""
    positions, group = sharing(keys, found)
    bits = width(len(found.left))
    digit = (keys.key[positions] >> np.uint64(64 - found.bits - bits)).astype(np.int64) & ((1 << bits) - 1)
    cells, counts = np.unique((group.astype(np.int64) << bits) | digit, return_counts=True)
    return _cells(cells, counts)


def add_counts(many: list[np.ndarray], groups: int) -> np.ndarray:
    """The sums of CELL rows, in the same form."""
    total = np.zeros(groups << width(groups), np.int64)
    for one in many:
        total[one["cell"]] += one["count"]
    cells = np.flatnonzero(total)
    return _cells(cells, total[cells])


def _cells(cells: np.ndarray, counts: np.ndarray) -> np.ndarray:
    rows = np.empty(len(cells), CELL)
    rows["cell"], rows["count"] = cells, counts
    return rows


def narrow(found: Narrowing, counts: np.ndarray) -> Narrowing:
    """A few bits more of every group's prefix, from the CELL rows of all documents."""
    groups, bits = len(found.left), width(len(found.left))
    table = np.zeros((groups, 1 << bits), np.int64)
    table.reshape(-1)[counts["cell"]] = counts["count"]
    running = np.cumsum(table, axis=1, out=table)
    cuts = found.cuts & (running[:, -1] > found.left)
    if found.bits and (cuts != found.cuts).any():
        raise ValueError(f"counts changed between passes, in {(cuts != found.cuts).sum()} groups")
    digit = (running > found.left[:, None]).argmax(axis=1)
    before = np.where(digit > 0, running[np.arange(groups), np.maximum(digit - 1, 0)], 0)
    prefix = (found.prefix << np.uint64(bits)) | digit.astype(np.uint64)
    return Narrowing(found.group, np.where(cuts, found.left - before, found.left), prefix, cuts, found.bits + bits)


def candidates(keys: Keys, found: Narrowing) -> np.ndarray:
    """CANDIDATE rows for the documents that share their group's prefix."""
    positions, group = sharing(keys, found)
    rows = np.empty(len(positions), CANDIDATE)
    rows["group"] = group
    for name in ("key", "tie", "unit", "row"):
        rows[name] = getattr(keys, name)[positions]
    return rows


def settle(found: Narrowing, rows: np.ndarray) -> Settled:
    """Every group's boundary, from all documents that share its prefix (in any order)."""
    if len(rows) > max(select.MOST_CANDIDATES, select.FEW):
        raise ValueError(f"{len(rows)} documents have the same similarity and the same id; give them ids of their own")
    rows = rows[np.lexsort([rows[name] for name in ("row", "unit", "tie", "key", "group")])]
    starts = np.searchsorted(rows["group"], np.arange(len(found.left) + 1))
    sizes = np.diff(starts)
    boundaries = np.zeros(len(found.left), BOUNDARY)
    boundaries["cuts"] = found.cuts & (sizes > found.left)
    if found.bits and (boundaries["cuts"] != found.cuts).any():
        raise ValueError("counts changed between passes")
    cut = np.flatnonzero(boundaries["cuts"])
    first = rows[starts[cut] + found.left[cut]]
    for name in ("key", "tie", "unit", "row"):
        boundaries[name][cut] = first[name]
    return Settled(found.group, boundaries)
