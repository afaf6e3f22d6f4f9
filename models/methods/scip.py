"""Synthetic-Corruption-Informed Pruning for code (Yang et al. 2023, arXiv 2312.02418): who goes because of its cluster.

Corrupted code was found in smaller clusters and farther from centroids. So of the m documents that go, a share alpha
goes from the smallest clusters (whole clusters, and of the last ones the farthest from their centroids), and the rest
are the farthest from their centroids among what is left.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Small:
    """`whole`: bool [k], clusters of which every removable document goes; `rim`: bool [k], the clusters of one size of
    which together `keep` documents stay."""

    whole: np.ndarray
    rim: np.ndarray
    keep: int


def small_clusters(sizes: np.ndarray, removable: np.ndarray, count: int) -> Small:
    """Where the `count` removable documents of the smallest clusters are.

    sizes, removable: int64 [k], documents of each cluster, and those of them that may go (count is at most their sum).
    Clusters of equal size are one: which of their documents go is decided by distance, not by the cluster's number.
    """
    if not 0 <= count <= removable.sum():
        raise ValueError(f"{count} documents of {removable.sum()} cannot go")
    distinct, which = np.unique(sizes, return_inverse=True)
    running = np.cumsum(np.bincount(which, weights=removable, minlength=len(distinct)).astype(np.int64))
    last = int(np.searchsorted(running, count, side="right"))
    if last == len(distinct):
        return Small(np.ones(len(sizes), bool), np.zeros(len(sizes), bool), 0)
    return Small(which < last, which == last, int(running[last]) - count)


def removed(cluster: np.ndarray, similarity: np.ndarray, *, count: int, alpha: float) -> np.ndarray:
    """bool [n]: the `count` documents that SCIP prunes; of equal ones the later. cluster: int [n] from 0.

    For arrays in memory: the step of that name does the same in pieces.
    """
    sizes = np.bincount(cluster)
    place = np.arange(len(cluster))
    gone = np.zeros(len(cluster), bool)
    first = np.lexsort((-place, similarity, sizes[cluster]))[: int(alpha * count)]
    gone[first] = True
    rest = np.lexsort((-place, similarity, gone))[: count - len(first)]
    gone[rest] = True
    return gone
