"""Best rank to any target (BETR, arXiv 2507.12466): how near a document is to the benchmark example nearest to it."""

import numpy as np

from sluice.models.arrays.parallel import parallel

# Targets whose products with the sample are held at a time, for each core.
TARGETS = 4


def best_ranks(points: np.ndarray, targets: np.ndarray, *, most: int) -> np.ndarray:
    """[m, d], [q, d] whole numbers at the coarse scale -> int64 [m]: the best rank of each point over the targets.

    For one target points are ranked from 1 by product, largest first; of equals the earlier point comes first. Ranks
    beyond `most` count as most + 1: whatever is among the `most` best has a smaller one.
    """
    size = len(points)
    most = min(most, size)
    positions = np.arange(size, dtype=np.int64)

    def rank(start: int) -> np.ndarray:
        best = np.full(size, most + 1, np.int64)
        for dots in targets[start : start + TARGETS] @ points.T:
            # One whole number for product and position: a strict order, whatever the algorithm.
            keys = -dots.astype(np.int64) * size + positions
            first = np.argpartition(keys, most - 1)[:most] if most < size else positions
            first = first[np.argsort(keys[first])]
            best[first] = np.minimum(best[first], np.arange(1, most + 1))
        return best

    best = np.full(size, most + 1, np.int64)
    for one in parallel(rank, range(0, len(targets), TARGETS)):
        np.minimum(best, one, out=best)
    return best


def label(best: np.ndarray, positives: int) -> np.ndarray:
    """bool [m]: the `positives` points of the best ranks; of equals the earlier ones."""
    chosen = np.zeros(len(best), bool)
    chosen[np.argsort(best, kind="stable")[:positives]] = True
    return chosen
