"""The largest cluster of a corpus, guessed from the vectors of a sample of it."""

from typing import NamedTuple

import numpy as np

from sluice.models.arrays.vectors import COARSE, coarse, quantise
from sluice.models.clustering import kmeans
from sluice.models.forecast.ranges import Range

# Copies nearer than this to one document are taken for one template's, which no number of clusters takes apart.
NEAR = 0.9
LEAST, MOST = 50, 2000
# Fewer near-copies than this in a sample say nothing.
HOT = 5


class Skew(NamedTuple):
    """vectors: distinct ones that it is told from; times_mean: the largest of their clusters beside the mean one;
    hot_share: of all documents, those within NEAR of the one that has most such; equal_share: copies of an earlier
    vector.
    """

    vectors: int
    times_mean: float
    hot_share: float
    equal_share: float


def measure_skew(vectors: np.ndarray) -> Skew | None:
    """float [m, d] of a random sample (the first MOST are used) -> its skew; None for fewer than LEAST.

    Equal vectors count once, as SemDeDup clusters them once. Raises ValueError for a zero or non-finite row.
    """
    if len(vectors) < LEAST:
        return None
    given = quantise(vectors[:MOST])
    points = coarse(np.unique(given, axis=0))
    points = points[np.random.default_rng(0).permutation(len(points))]
    k = kmeans.choose_k(len(points))
    trained = kmeans.train(points, k)
    similarity = points @ trained.centroids.T
    sizes = np.bincount(similarity.argmax(axis=1), minlength=len(trained.centroids))
    near = (points @ points.T > NEAR * COARSE**2).sum(axis=1).max()
    return Skew(
        vectors=len(points),
        times_mean=float(sizes.max() / sizes.mean()),
        hot_share=float(near / len(points)) if near >= HOT else 0.0,
        equal_share=1 - len(points) / len(given),
    )


def largest_cluster(skew: Skew | None, documents: float, clusters: int) -> Range:
    """Documents of the largest of K clusters over all documents.

    Likely: as far above the mean as the sample's largest, or all near-copies of one document, whichever is more. High:
    twice that, or a template that a sample of this size can miss (3 in m), whichever is more. Without a sample, from
    the mean to 30 times it.
    """
    mean = max(documents / max(clusters, 1), 1.0)
    if skew is None:
        return Range(min(mean, documents), min(5 * mean, documents), min(30 * mean, documents))
    likely = max(mean * skew.times_mean, documents * skew.hot_share)
    high = max(2 * likely, documents * 3 / skew.vectors)
    return Range(min(mean, documents), min(likely, documents), min(high, documents))
