"""Running totals inside groups, over keys that are sorted in several places at once; bins of lengths as groups."""

import bisect
from dataclasses import dataclass

import numpy as np

# Bins of lengths for every doubling: neighbours differ by an eighth at most.
STEPS = 8

# A document's group (three numbers), its order in it, where it is, and what it weighs.
KEY = np.dtype(
    [
        ("group", "<u8", (3,)),
        ("priority", "<i8"),
        ("tie", "<u8"),
        ("unit", "<u4"),
        ("row", "<u4"),
        ("weight", "<i8"),
    ]
)


@dataclass(frozen=True)
class SortedRange:
    """What one sorted range of keys says to the next: its first and last group, and what the last one weighs in it."""

    number: int
    first: tuple[int, ...]
    last: tuple[int, ...]
    weight: int


def sort_keys(keys: np.ndarray) -> np.ndarray:
    """KEY [n] by group, then priority, tie, unit and row."""
    group = keys["group"]
    order = np.lexsort([keys["row"], keys["unit"], keys["tie"], keys["priority"], *(group[:, i] for i in (2, 1, 0))])
    return keys[order]


def as_tuple(key: np.ndarray) -> tuple[int, ...]:
    """A key as something that compares in the order of sort_keys."""
    return (*key["group"].tolist(), *(int(key[name]) for name in ("priority", "tie", "unit", "row")))


def splitters(sample: np.ndarray, ranges: int) -> list[tuple[int, ...]]:
    """ranges - 1 keys (fewer where the sample has fewer) that cut sampled KEY rows into ranges of equal size."""
    ordered = sort_keys(sample)
    places = np.unique(np.arange(1, ranges) * len(ordered) // ranges)
    return [as_tuple(ordered[place]) for place in places if len(ordered)]


def cut_sorted(keys: np.ndarray, splits: list[tuple[int, ...]]) -> list[int]:
    """Where in sorted KEY rows each range begins, and their number at the end."""
    places = range(len(keys))
    inside = [bisect.bisect_left(places, split, key=lambda place: as_tuple(keys[place])) for split in splits]
    return [0, *inside, len(keys)]


def running_totals(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted KEY rows -> (int64 [n] weight of the group up to and including each, bool [n] in the first group)."""
    new = np.ones(len(keys), bool)
    new[1:] = (keys["group"][1:] != keys["group"][:-1]).any(axis=1)
    total = np.cumsum(keys["weight"])
    starts = np.flatnonzero(new)
    before = total[starts] - keys["weight"][starts]
    sizes = np.diff(np.r_[starts, len(keys)])
    return total - np.repeat(before, sizes), np.repeat(np.arange(len(starts)), sizes) == 0


def describe_range(number: int, keys: np.ndarray, totals: np.ndarray) -> SortedRange:
    """The SortedRange of sorted KEY rows, at least one, and their running totals."""
    first, last = (tuple(keys["group"][place].tolist()) for place in (0, -1))
    return SortedRange(number, first, last, int(totals[-1]))


def carries(ranges: list[SortedRange]) -> dict[int, int]:
    """For each range, what its first group weighs in the ranges before it."""
    found: dict[int, int] = {}
    group: tuple[int, ...] | None = None
    weight = 0
    for one in sorted(ranges, key=lambda one: one.number):
        found[one.number] = weight if one.first == group else 0
        # A range of one group goes on with what came before it.
        weight = one.weight + (found[one.number] if one.first == one.last else 0)
        group = one.last
    return found


def length_bins(lengths: np.ndarray) -> np.ndarray:
    """Lengths [n] >= 0 -> int64 [n]: below 16 the length itself, then eight equal bins for every doubling."""
    whole = np.asarray(lengths, np.int64)
    exponent = np.zeros(len(whole), np.int64)
    for shift in (32, 16, 8, 4, 2, 1):
        larger = (whole >> exponent) >> shift > 0
        exponent[larger] += shift
    extra = np.maximum(exponent - 3, 0)
    return STEPS * extra + (whole >> extra)
