"""Where corrupted files move among clusters: smaller ones, and farther from the centroid (arXiv 2312.02418)?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.models.arrays.products import nearest
from sluice.models.arrays.vectors import COARSE, coarse
from sluice.models.clustering import kmeans
from sluice.models.methods import scip

QUARTERS = (25, 50, 75)


@dataclass(frozen=True)
class Clusters:
    """Centroids float32 [k, d] at scale COARSE of reference files, and how many of those are in each cluster."""

    centroids: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, k: int) -> "Clusters":
        """vectors: int16 [n, d] in an order that is itself random."""
        points = coarse(vectors)
        centroids = kmeans.train(points, k).centroids
        index, _ = nearest(points, centroids)
        return cls(centroids, np.bincount(index, minlength=len(centroids)))

    def place(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int16 [n, d] -> (size of the own cluster int64 [n], cosine distance to its centroid float64 [n])."""
        index, dots = nearest(coarse(vectors), self.centroids)
        return self.sizes[index], 1 - dots / COARSE**2


def compare(clusters: Clusters, clean: np.ndarray, corrupted: np.ndarray) -> dict[str, Any]:
    """Counts of pairs by where the second of each lies, and quartiles; clean, corrupted: int16 [n, d], row by row."""
    size, distance = clusters.place(clean)
    size_after, distance_after = clusters.place(corrupted)
    return {
        "files": len(clean),
        "same_vector": int((clean == corrupted).all(axis=1).sum()),
        "smaller": int((size_after < size).sum()),
        "larger": int((size_after > size).sum()),
        "farther": int((distance_after > distance).sum()),
        "nearer": int((distance_after < distance).sum()),
        "size": quartiles(size_after),
        "distance": quartiles(distance_after),
        "size_clean": quartiles(size),
        "distance_clean": quartiles(distance),
    }


def quartiles(values: np.ndarray) -> list[float] | None:
    return [float(value) for value in np.percentile(values, QUARTERS)] if len(values) else None


def pruned(vectors: np.ndarray, corrupted: np.ndarray, *, k: int, keep: float, alpha: float) -> tuple[int, int]:
    """(corrupted files among them, files that go) when SCIP keeps a share of a mixture. corrupted: bool [n]."""
    points = coarse(vectors)
    index, dots = nearest(points, kmeans.train(points, k).centroids)
    gone = scip.removed(index, dots, count=len(vectors) - int(np.ceil(keep * len(vectors))), alpha=alpha)
    return int((gone & corrupted).sum()), int(gone.sum())
