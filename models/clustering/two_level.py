"""k-means in two levels, for more centroids than one worker can train: first few, then each one's share by itself.

A few clusters are trained on a part of the sample; each of them then gets centroids in proportion to the distinct
points that it has, and trains them on its own points alone. Every training is kmeans.train, so the same sample
gives the same centroids whoever trains them. (faiss has the idea as `two_level_clustering`.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sluice.models.arrays.products import nearest
from sluice.models.clustering import kmeans


@dataclass(frozen=True)
class Levels:
    """first: clusters of the first level, trained on the `first_sample` points that come first in the sample.

    A cluster of the first level gets at most `most` centroids, trained on its first `most_sample` points.
    """

    first: int
    first_sample: int
    most: int
    most_sample: int


def training_bytes(*, sample: int, dimension: int, k: int) -> int:
    """What training k centroids on a sample takes.

    The sample's stored vectors (2 bytes a number) in Arrow, joined there and in NumPy, and as float32; centroids as
    float32 and as int64 sums, old and new.
    """
    return sample * (10 * dimension + 64) + k * dimension * 24


def plan_levels(*, k: int, sample: int, dimension: int, trainer_bytes: int) -> Levels | None:
    """How to train k centroids on `sample` points in two levels; None where one level needs at most trainer_bytes.

    The first level has about sqrt(k) clusters, more where a share of twice the mean would not fit. Raises ValueError
    where two levels are not enough.
    """
    at_once = training_bytes(sample=sample, dimension=dimension, k=k)
    if at_once <= trainer_bytes:
        return None
    each = max(-(-sample // k), 1)
    centroid = training_bytes(sample=each, dimension=dimension, k=1)
    most = trainer_bytes // centroid
    first = max(round(k**0.5), -(-2 * k // max(most, 1)))
    if first > most:
        enough = min(at_once, (math.isqrt(2 * k) + 2) * centroid)
        raise ValueError(
            f"trainer_bytes {trainer_bytes} is too little for {k} clusters of {each} vectors of {dimension} numbers "
            f"each, also in two levels; {enough} is enough"
        )
    return Levels(first, min(each * first, sample), most, each * most)


def shares(weights: Sequence[int], limits: Sequence[int], total: int) -> list[int]:
    """`total` in proportion to the weights, by largest remainder, none above its limit; ties to the first.

    What the limits keep from one goes to the others in proportion; the sum is below `total` only where all are at
    their limits. All are whole numbers from 0.
    """
    given = [0] * len(weights)
    rest = [index for index, weight in enumerate(weights) if weight > 0 and limits[index] > 0]
    left = total
    while rest:
        whole = sum(weights[index] for index in rest)
        full = [index for index in rest if left * weights[index] // whole >= limits[index]]
        if not full:
            break
        for index in full:
            given[index] = limits[index]
            left -= limits[index]
        rest = [index for index in rest if not given[index]]
    if rest:
        for index in rest:
            given[index] = left * weights[index] // whole
        missing = left - sum(given[index] for index in rest)
        for index in sorted(rest, key=lambda index: (-(left * weights[index] % whole), index))[:missing]:
            given[index] += 1
    return given


@dataclass(frozen=True)
class Share:
    """A cluster of the first level: its points in the sample, of those how many train it, how many of them differ."""

    points: int
    kept: int
    distinct: int

    @classmethod
    def of(cls, points: int, kept: np.ndarray) -> "Share":
        """kept: float32 or int16 [n, d] whole numbers at scale COARSE."""
        return cls(points, len(kept), len({row.tobytes() for row in kept.astype(np.int16)}))

    @property
    def weight(self) -> int:
        """About how many distinct points it has; copies of one point need one centroid, however many they are."""
        return self.distinct * self.points // self.kept if self.kept else 0


def apportion(found: Sequence[Share], *, k: int, most: int) -> list[int]:
    """Centroids for each cluster of the first level: at most `most`, and at most its distinct points."""
    return shares([one.weight for one in found], [min(one.distinct, most) for one in found], k)


def join(found: Sequence[tuple[Share, kmeans.Clustering]]) -> kmeans.Clustering:
    """The clusterings of the shares, in order, as one; objective and imbalance as if all points had trained them."""
    k = sum(len(one.centroids) for _, one in found)
    points = sum(share.points for share, _ in found)
    squares = sum(one.imbalance * share.points**2 / len(one.centroids) for share, one in found)
    return kmeans.Clustering(
        np.concatenate([one.centroids for _, one in found]),
        [sum(one.objective[-1] * share.points for share, one in found) / points],
        k * squares / points**2,
        sum(one.splits for _, one in found),
        max(one.iterations for _, one in found),
    )


def train(points: np.ndarray, k: int, levels: Levels, *, iterations: int = 20) -> kmeans.Clustering:
    """float32 [m, d] whole numbers at scale COARSE, in an order that is itself random -> k centroids, all at once.

    What transforms.clusters.two_level computes with many workers. Raises ValueError as kmeans.train does.
    """
    coarse = kmeans.train(points[: levels.first_sample], levels.first, iterations=iterations).centroids
    labels, _ = nearest(points, coarse)
    members = [points[labels == number] for number in range(len(coarse))]
    found = [Share.of(len(one), one[: levels.most_sample]) for one in members]
    counts = apportion(found, k=k, most=levels.most)
    return join(
        [
            (share, kmeans.train(one[: levels.most_sample], count, iterations=iterations))
            for share, one, count in zip(found, members, counts)
            if count
        ]
    )
