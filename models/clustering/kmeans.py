"""Spherical k-means on the integer grid: exact sums, so the same sample gives the same centroids everywhere.

Lloyd's algorithm as faiss runs it for SemDeDup and D4 (arXiv 2303.09540, 2308.12284: centroids renormalised after
every update), except that of `iterations` (20 there) the first half sees a quarter of the sample, and a quarter as many
see all of it: centroids far from settled learn little from more points, and settled ones hardly move. benchmarks/d4.py
compares the objective with that of faiss's 20 iterations.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.products import nearest
from sluice.models.arrays.vectors import COARSE, normalise_centroids

# An iteration that improves the objective by less than this share of it is the last one of its half.
GAIN = 5e-4
# So many whole numbers of at most 4,096 add up exactly in float32.
EXACT_ROWS = 4096


@dataclass
class Clustering:
    """Centroids float32 [k, d] of whole numbers at scale COARSE, and how the training went.

    objective: mean cosine to the own centroid after each iteration; imbalance: k * sum(size**2) / n**2, 1 is perfect;
    splits: empty clusters that were given a point of the largest one.
    """

    centroids: np.ndarray
    objective: list[float] = field(default_factory=list)
    imbalance: float = 1.0
    splits: int = 0
    iterations: int = 0


def choose_k(documents: int) -> int:
    """The square root of the number of documents, D4's rule, at most 100,000 and at least 1."""
    return int(min(max(round(documents**0.5), 1), 100_000))


def train(points: np.ndarray, k: int, *, iterations: int = 20) -> Clustering:
    """float32 [m, d] whole numbers at scale COARSE, in an order that is itself random -> k centroids.

    Starts from the first k distinct points. With fewer distinct points than k, there are as many centroids as points.
    Raises ValueError for an empty sample or k < 1.
    """
    if k < 1 or not len(points):
        raise ValueError(f"cannot make {k} clusters of {len(points)} points")
    result = Clustering(centroids=_first_distinct(points, k))
    k = len(result.centroids)
    quarter = max(len(points) // 4, min(len(points), 16 * k))
    for stage, rounds in ((points[:quarter], -(-iterations // 2)), (points, -(-iterations // 4))):
        sizes = _iterate(stage, result, rounds)
        result.imbalance = float(k * np.square(sizes, dtype=np.float64).sum() / len(stage) ** 2)
    return result


def _iterate(points: np.ndarray, result: Clustering, rounds: int) -> np.ndarray:
    """At most `rounds` iterations, fewer once they gain less than GAIN; returns the cluster sizes int64 [k]."""
    k = len(result.centroids)
    sums = np.zeros(result.centroids.shape, np.int64)
    sizes = np.zeros(k, np.int64)
    labels = np.full(len(points), -1, np.int32)
    objective = -np.inf
    for _ in range(rounds):
        before, (labels, dots) = labels, nearest(points, result.centroids)
        moved = np.flatnonzero(labels != before)
        objective, previous = float(dots.sum(dtype=np.float64) / len(points) / COARSE**2), objective
        result.objective.append(objective)
        result.iterations += 1
        if len(moved) == 0:
            break
        # Whole-number sums are exact, so moving only what changed gives the same sums as adding everything again.
        add_by_label(sums, points, moved, labels)
        sizes += np.bincount(labels[moved], minlength=k)
        if before[0] >= 0:
            add_by_label(sums, points, moved, before, sign=-1)
            sizes -= np.bincount(before[moved], minlength=k)
        result.centroids = update(sums, result.centroids)
        _refill(points, result, labels=labels, dots=dots, sizes=sizes)
        if objective - previous < GAIN * abs(objective):
            break
    return sizes


def _refill(points: np.ndarray, result: Clustering, *, labels: np.ndarray, dots: np.ndarray, sizes: np.ndarray) -> None:
    """Give every empty cluster the least similar member of the largest one (methods: faiss splits the donor)."""
    remaining = sizes.copy()
    taken: set[int] = set()
    for empty in np.flatnonzero(sizes == 0):
        donor = int(remaining.argmax())
        if remaining[donor] < 2:
            return
        members = np.flatnonzero(labels == donor)
        order = members[np.argsort(dots[members], kind="stable")]
        point = next((int(member) for member in order if int(member) not in taken), None)
        if point is None:
            return
        taken.add(point)
        result.centroids[empty] = points[point]
        remaining[empty] = remaining[donor] // 2
        remaining[donor] -= remaining[empty]
        result.splits += 1


def add_by_label(sums: np.ndarray, points: np.ndarray, which: np.ndarray, labels: np.ndarray, *, sign: int = 1) -> None:
    """sums[labels[i]] += sign * points[i] for i in `which`, exactly (int64)."""
    rows = which[np.argsort(labels[which], kind="stable")]
    found = labels[rows]
    bounds = np.flatnonzero(np.r_[True, found[1:] != found[:-1], True]) if len(rows) else np.zeros(1, int)

    def add(members: tuple[int, int]) -> None:
        first, last = members
        for start in range(first, last, EXACT_ROWS):
            part = points[rows[start : min(start + EXACT_ROWS, last)]]
            sums[found[first]] += sign * part.sum(axis=0).astype(np.int64)

    for _ in parallel(add, itertools.pairwise(bounds.tolist())):
        pass


def _first_distinct(points: np.ndarray, k: int) -> np.ndarray:
    seen: dict[bytes, int] = {}
    for row, point in enumerate(points):
        seen.setdefault(point.astype(np.int16).tobytes(), row)
        if len(seen) == k:
            break
    return points[list(seen.values())].copy()


def lloyd(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, float]:
    """One iteration over all points: (updated centroids, mean cosine to the centroids given).

    points: float32 [n, d], centroids: float32 [k, d], whole numbers at scale COARSE. Sums are exact, so any way of
    dividing the points gives the same: transforms.clusters.refine adds up the sums of many workers.
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
    """int64 [k, d] sums of members -> float32 [k, d] centroids at scale COARSE.

    A centroid without members, or whose members cancel out, stays where it was.
    """
    updated = normalise_centroids(sums)
    vanished = ~updated.any(axis=1)
    updated[vanished] = centroids[vanished]
    return updated
