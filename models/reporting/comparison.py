"""How near one embedder's vectors are to another's of the same documents: by neighbours, and by what D4 keeps."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from sluice.models.arrays.products import nearest
from sluice.models.arrays.vectors import coarse, quantise
from sluice.models.clustering import kmeans
from sluice.models.methods import semdedup

BLOCK = 1024
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def neighbours(vectors: np.ndarray, count: int = 10) -> np.ndarray:
    """float [n, d] of unit length -> int64 [n, count]: every row's most similar others, in no particular order.

    Raises ValueError unless there are more than `count` rows.
    """
    if len(vectors) <= count:
        raise ValueError(f"{len(vectors)} documents do not have {count} neighbours each")
    found = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), BLOCK):
        products = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(len(products))
        products[rows, start + rows] = -np.inf
        found[start : start + BLOCK] = np.argpartition(-products, count - 1, axis=1)[:, :count]
    return found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The mean share of neighbours [n, count] that are in the other's row too, whatever their order."""
    shared = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(one, other, strict=True)]
    return float(np.mean(shared)) / one.shape[1]


class Selection(NamedTuple):
    """bool [n] each: what is left of semantic duplicates, and what of that is left after prototypes."""

    semdedup: np.ndarray
    kept: np.ndarray


def select(vectors: np.ndarray, *, keep: Decimal, dedup: Decimal, order: np.ndarray) -> Selection:
    """D4 (arXiv 2308.12284) over float [n, d]: semdedup down to the larger of the two shares, prototypes to `keep`.

    As a run does it, clusters made anew for the second step, but for ties, which go by row. `order` [n] is the order in
    which k-means meets the documents: it starts from the first ones.
    """
    points = coarse(quantise(vectors))
    first = _left(points, order, math.ceil(max(dedup, keep) * len(points)), _duplicates)
    place = np.flatnonzero(first)
    second = _left(points[place], np.argsort(np.argsort(order)[place]), math.ceil(keep * len(points)), _prototypes)
    kept = np.zeros(len(points), bool)
    kept[place[second]] = True
    return Selection(first, kept)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Of two selections of one size, bool [n], the share that they have in common."""
    return float((one & other).sum() / max(one.sum(), 1))


def _left(points: np.ndarray, order: np.ndarray, count: int, score: Score) -> np.ndarray:
    """bool [n]: the `count` lowest scores."""
    centroids = kmeans.train(points[order], kmeans.choose_k(len(points))).centroids
    labels, similarity = nearest(points, centroids)
    ranked = np.argsort(score(points, labels, similarity), kind="stable")
    left = np.zeros(len(points), bool)
    left[ranked[:count]] = True
    return left


def _duplicates(points: np.ndarray, labels: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Similarity to the nearest document before it in its cluster, those far from the centroid first."""
    score = np.empty(len(points), np.int64)
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        members = members[np.argsort(similarity[members], kind="stable")]
        score[members] = semdedup.nearest_earlier(points[members])[0]
    return score


def _prototypes(points: np.ndarray, labels: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    return similarity
