"""D4 written down straightforwardly: everything in memory, faiss to cluster, NumPy to compare.

SemDeDup (arXiv 2303.09540) down to 75 %, then prototypes (arXiv 2206.14486) of the re-clustered rest down to the target
(arXiv 2308.12284). Spherical k-means with 20 iterations over at most 256 points per centroid; exact assignment.
"""

import itertools
import time
from dataclasses import dataclass, field

import numpy as np

ITERATIONS = 20
POINTS_PER_CENTROID = 256


@dataclass
class Result:
    """kept: sorted rows left in the end; deduplicated: sorted rows left after SemDeDup; seconds by phase.

    objectives: mean cosine to the own centroid of all rows that were clustered, for both clusterings.
    """

    kept: np.ndarray
    deduplicated: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict)
    objectives: list[float] = field(default_factory=list)


def d4(vectors: np.ndarray, *, clusters: int, keep: float = 0.5, dedup: float = 0.75, seed: int = 0) -> Result:
    """float32 unit vectors [n, d] -> the rows that D4 keeps: round(dedup * n) at first, round(keep * n) in the end."""
    result = Result(np.arange(len(vectors)), np.arange(len(vectors)))
    clock = time.monotonic()

    def lap(phase: str) -> None:
        nonlocal clock
        clock, before = time.monotonic(), clock
        result.seconds[phase] = clock - before

    cluster, similarity = assign(vectors, train(vectors, clusters, seed))
    result.objectives.append(float(similarity.mean()))
    lap("clusters")
    scores = semdedup_scores(vectors, cluster, similarity)
    lap("semdedup")
    result.deduplicated = lowest(scores, round(dedup * len(vectors)))
    survivors = vectors[result.deduplicated]
    lap("cut")
    _, similarity = assign(survivors, train(survivors, clusters, seed))
    result.objectives.append(float(similarity.mean()))
    lap("clusters again")
    result.kept = result.deduplicated[lowest(similarity, round(keep * len(vectors)))]
    lap("cut again")
    return result


def train(vectors: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Spherical k-means -> float32 centroids [clusters, d]."""
    import faiss

    kmeans = faiss.Kmeans(
        vectors.shape[1],
        clusters,
        niter=ITERATIONS,
        max_points_per_centroid=POINTS_PER_CENTROID,
        spherical=True,
        seed=seed,
    )
    kmeans.train(vectors)
    return np.asarray(kmeans.centroids)


def assign(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(cluster int64 [n], cosine float32 [n]) of the nearest centroid, exactly."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(centroids)
    similarity, cluster = index.search(vectors, 1)
    return cluster[:, 0], similarity[:, 0]


def semdedup_scores(vectors: np.ndarray, cluster: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """For each row the largest cosine to a row before it in its cluster; those far from the centroid come first."""
    scores = np.zeros(len(vectors), np.float32)
    order = np.lexsort((similarity, cluster))
    bounds = np.flatnonzero(np.r_[True, np.diff(cluster[order]) != 0, True])
    for start, stop in itertools.pairwise(bounds):
        members = order[start:stop]
        own = vectors[members]
        scores[members] = np.triu(own @ own.T, k=1).max(axis=0)
    return scores


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Sorted positions of the `count` lowest scores; of equals the first."""
    return np.sort(np.argsort(scores, kind="stable")[:count])
