"""Who is too large and who loses too much: hub clusters, and sources or clusters of which nearly nothing is left."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sluice.models.arrays.vectors import COARSE

# A hub holds more than HUB_SHARE of all documents and HUB_TIMES the mean cluster, or HUB_FAR times the mean.
HUB_SHARE, HUB_TIMES, HUB_FAR = 0.05, 4, 20
LARGEST = 10
# Fewer documents than this, at the corpus's rate, may all go by chance.
EXPECTED = 20
FEW, MANY = "few", "many"
# Of 10,000 sources that are treated alike, a few dozen are further from their mean than this many standard deviations,
# and hardly any of those at half of it or twice.
CHANCE = 3


def parents(clusters: int, splits: list[list[int]]) -> np.ndarray:
    """int64 [clusters + parts]: the cluster that each one is a part of; itself where it was not split.

    splits: (cluster, parts) in the order in which the parts are numbered after the others.
    """
    return np.concatenate([np.arange(clusters), *(np.full(parts, cluster) for cluster, parts in splits)])


def largest_clusters(
    statistics: np.ndarray, splits: list[list[int]], removed: np.ndarray | None = None
) -> dict[str, Any]:
    """The LARGEST clusters by documents, a split one as the whole that it was, and how many of all are hubs.

    statistics: int64 [4, k + parts], as clusters.assign.ClusterStatistics counts them; removed: int64 [k + parts].
    """
    k = statistics.shape[1] - sum(parts for _, parts in splits)
    whole = parents(k, splits)
    sizes, gone = (
        np.bincount(whole, weights=counts, minlength=k).astype(np.int64)
        for counts in (statistics[0], np.zeros_like(whole) if removed is None else removed)
    )
    sums = np.bincount(whole, weights=statistics[2].astype(np.float64), minlength=k)
    total, filled = int(sizes.sum()), max(int((sizes > 0).sum()), 1)
    times = sizes * filled / max(total, 1)
    hub = ((sizes > HUB_SHARE * total) & (times > HUB_TIMES)) | (times > HUB_FAR)
    parts_of = np.bincount(whole[k:], minlength=k)
    order = np.argsort(-sizes, kind="stable")[:LARGEST]
    return {
        "largest": [
            {
                "cluster": int(cluster),
                "size": int(sizes[cluster]),
                "share": float(sizes[cluster] / total),
                "times_mean": float(times[cluster]),
                "parts": int(max(parts_of[cluster], 1)),
                "mean_distance": float(1 - sums[cluster] / sizes[cluster] / COARSE**2),
                "share_removed": None if removed is None else float(gone[cluster] / sizes[cluster]),
                "hub": bool(hub[cluster]),
            }
            for cluster in order
            if sizes[cluster]
        ],
        "hubs": {
            "rule": f"more than {HUB_SHARE:.0%} of all documents and {HUB_TIMES} times the mean, or {HUB_FAR} times it",
            "clusters": int(hub.sum()),
            "documents": int(sizes[hub].sum()),
        },
    }


def lost(documents: np.ndarray, kept: np.ndarray, *, rate: float, share: float) -> np.ndarray:
    """bool [n]: which groups keep at most `share` of what they would at `rate`, the share of all that is kept.

    documents, kept: int [n]. Groups that would keep fewer than EXPECTED say nothing.
    """
    expected = np.asarray(documents) * rate
    return (expected >= EXPECTED) & (np.asarray(kept) <= share * expected)


def marks(groups: Sequence[tuple[int, int]], *, documents: int, kept: int) -> list[str | None]:
    """FEW for a group (documents, kept) that keeps less than half of the share that all keep, MANY for more than twice.

    documents, kept: of all. None, too, where a draw by lot at that share would come out as far off now and then: within
    CHANCE standard deviations. Whole numbers, so exact.

    >>> marks([(28, 1), (495, 69), (2, 0), (9477, 4930)], documents=10_002, kept=5_000)
    ['few', 'few', None, None]
    """
    found: list[str | None] = []
    for size, left in groups:
        off = left * documents - size * kept
        by_chance = off * off <= CHANCE**2 * size * kept * (documents - kept)
        few, many = 2 * left * documents < size * kept, left * documents > 2 * size * kept
        found.append(None if by_chance else FEW if few else MANY if many else None)
    return found
