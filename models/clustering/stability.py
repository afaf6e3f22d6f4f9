"""How much a clustering owes to chance: two trainings of the same sample from different beginnings, compared."""

from typing import Any

import numpy as np

from sluice.models.arrays.products import nearest
from sluice.models.arrays.vectors import COARSE
from sluice.models.clustering import kmeans

# Fewer points than this for each cluster say more about the sample than about the clusters.
EACH = 20


def adjusted_rand(a: np.ndarray, b: np.ndarray) -> float:
    """Agreement of two clusterings int [n] on which pairs belong together: 1 is equal, 0 what chance would give.

    Hubert and Arabie 1985. Two clusterings of which neither says anything (all together, or all alone) agree.
    """
    if len(a) != len(b):
        raise ValueError(f"clusterings of {len(a)} and {len(b)} points cannot be compared")
    first, second = np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]
    both = np.unique(first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second, return_counts=True)[1]
    together, of_a, of_b, pairs = (
        _pairs(both),
        _pairs(np.bincount(first)),
        _pairs(np.bincount(second)),
        _pairs(np.array([len(a)])),
    )
    if not pairs:
        return 1.0
    expected, most = of_a * of_b / pairs, (of_a + of_b) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def _pairs(counts: np.ndarray) -> int:
    wide = counts.astype(np.int64)
    return int((wide * (wide - 1) // 2).sum())


def stability(points: np.ndarray, k: int, *, iterations: int = 20, seed: int = 0) -> dict[str, Any]:
    """Train twice on float32 [n, d] points in two seeded orders: how the two clusterings of the points agree.

    clusters: k, or so few that each has EACH points; agreement: adjusted_rand; objectives: both mean cosines to the
    own centroid. Raises ValueError for no points.
    """
    k = max(min(k, len(points) // EACH), 1)
    labels, objectives = [], []
    for number in range(2):
        order = np.random.default_rng([seed, number]).permutation(len(points))
        centroids = kmeans.train(points[order], k, iterations=iterations).centroids
        found, dots = nearest(points, centroids)
        labels.append(found)
        objectives.append(int(dots.sum(dtype=np.int64)) / len(points) / COARSE**2)
    return {
        "documents": len(points),
        "clusters": k,
        "agreement": adjusted_rand(*labels),
        "objectives": objectives,
    }
