"""One iteration of k-means over all points at once, in whole numbers: any way of dividing the points gives the same.

transforms.clusters.refine computes this with many workers, as blocks of sums that are added up.
"""

import numpy as np

from sluice.models.arrays.products import nearest
from sluice.models.arrays.vectors import COARSE, normalise_centroids


def lloyd(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, float]:
    """One iteration over all points: (updated centroids, mean cosine to the centroids given).

    points: float32 [n, d], centroids: float32 [k, d], whole numbers at scale COARSE. Without members, or where they
    cancel out, a centroid stays where it was.
    """
    labels, dots = nearest(points, centroids)
    sums, _ = sum_by_label(points, labels, len(centroids))
    return update(sums, centroids), int(dots.sum(dtype=np.int64)) / len(points) / COARSE**2


def sum_by_label(points: np.ndarray, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, d] whole numbers, labels [n] below k -> their exact sums int64 [k, d] and counts int64 [k]."""
    sums = np.zeros((k, points.shape[1]), np.int64)
    order = np.argsort(labels, kind="stable")
    if len(order):
        ordered = labels[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        sums[ordered[starts]] = np.add.reduceat(points[order].astype(np.int64), starts, axis=0)
    return sums, np.bincount(labels, minlength=k)


def update(sums: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """int64 [k, d] sums of members -> float32 [k, d] centroids at scale COARSE; one without a sum stays as it was."""
    updated = normalise_centroids(sums)
    gone = ~updated.any(axis=1)
    updated[gone] = centroids[gone]
    return updated
