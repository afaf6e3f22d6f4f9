"""Clusters in bins, whole ones: what a worker compares at a time."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Clusters first..last-1, scored together."""

    id: int
    first: int
    last: int
    records: int


def plan_bins(counts: np.ndarray, *, records_per_bin: int) -> list[Bin]:
    """Consecutive clusters in bins of at most `records_per_bin`; a larger cluster has a bin of its own.

    >>> [(bin.first, bin.last, bin.records) for bin in plan_bins(np.array([3, 4, 9, 1]), records_per_bin=8)]
    [(0, 2, 7), (2, 3, 9), (3, 4, 1)]
    """
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
