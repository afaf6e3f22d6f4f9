"""k-means in one level, in two, and by faiss, on the same sample: time, memory and objective at growing K.

    python -m benchmarks.scale.clustering          # K = 1,000 to 20,000, 384 dimensions, 64 points a centroid
    python -m benchmarks.scale.clustering --k 1000 --each 256
    python -m benchmarks.scale.clustering --quick  # K = 200 and 800, 64 dimensions

Each way runs in a process of its own, over the same vectors (benchmarks/corpora.py). Then everything is assigned to the
centroids, exactly: the objective is the mean cosine to the own centroid, over the vectors that were trained on and over
as many others; `refined` is after two iterations over all trained vectors, as `refine: 2` does. Imbalance is
K * sum(size**2) / n**2, a factor of what SemDeDup's products cost. faiss runs 20 iterations, spherical.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import corpora, measure

WAYS = ("one level", "two levels", "faiss")
REFINE = 2


# In processes of their own --------------------------------------------------------------------------------------


def make(path: str, **corpus: Any) -> None:
    corpora.write_vectors(path, corpora.Vectors(**corpus))


def points_of(path: str) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, d] whole numbers at scale COARSE, in a random order: those to train on, and the others."""
    from sluice.models.arrays.vectors import coarse, quantise

    points = coarse(quantise(corpora.load(path)))
    points = points[np.random.default_rng(0).permutation(len(points))]
    return points[: len(points) // 2], points[len(points) // 2 :]


def cluster(path: str, way: str, k: int, found: str) -> dict[str, float]:
    """Train; the centroids go to the file `found` (.npy)."""
    from benchmarks import reference
    from sluice.models.arrays.vectors import COARSE, normalise_centroids
    from sluice.models.clustering import kmeans, two_level

    points, _ = points_of(path)
    clock = time.monotonic()
    if way == "one level":
        centroids = kmeans.train(points, k).centroids
    elif way == "two levels":
        centroids = two_level.train(points, k, plan(len(points), k)).centroids
    else:
        # Its centroids are brought to the grid, so that all are compared by the same products.
        centroids = normalise_centroids(reference.train(points / np.float32(COARSE), k, 0).astype(np.float64))
    seconds = time.monotonic() - clock
    np.save(found, centroids)
    return {"seconds": seconds}


def plan(sample: int, k: int) -> Any:
    """Levels as Sluice would plan them for a worker that holds an eighth of what one level takes."""
    from sluice.models.clustering.two_level import Levels

    first = max(round(math.sqrt(k)), 16)
    each = -(-sample // k)
    return Levels(first, min(each * first, sample), max(k // 8, 1), max(sample // 8, 1))


def judge(path: str, found: str) -> dict[str, float]:
    """Objectives and imbalance of the centroids in a file, over trained and other vectors, and after refinement."""
    from sluice.models.arrays.products import nearest
    from sluice.models.arrays.vectors import COARSE
    from sluice.models.clustering.kmeans import lloyd

    trained, others = points_of(path)
    centroids = np.load(found)
    labels, dots = nearest(trained, centroids)
    sizes = np.bincount(labels, minlength=len(centroids)).astype(np.float64)
    _, other = nearest(others, centroids)
    refined = centroids
    for _ in range(REFINE):
        refined, _ = lloyd(trained, refined)
    _, after = nearest(others, refined)
    return {
        "k": len(centroids),
        "trained": float(dots.mean(dtype=np.float64)) / COARSE**2,
        "others": float(other.mean(dtype=np.float64)) / COARSE**2,
        "refined": float(after.mean(dtype=np.float64)) / COARSE**2,
        "imbalance": float(len(centroids) * np.square(sizes).sum() / sizes.sum() ** 2),
    }


# The comparison -------------------------------------------------------------------------------------------------


def compare(*, k: int, each: int, dimension: int, ways: tuple[str, ...] = WAYS) -> list[dict[str, Any]]:
    """Every way at one K: seconds, peak memory in MB (the vectors included), and what `judge` says."""
    results = []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        # Half of the corpus is trained on.
        shape = {"documents": 2 * k * each, "dimension": dimension, "clusters": max(k // 2, 1)}
        measure.run("scale.clustering", "make", path=f"{folder}/corpus", **shape)
        for way in ways:
            found = str(Path(folder) / "centroids.npy")
            trained, peak = measure.run(
                "scale.clustering", "cluster", path=f"{folder}/corpus", way=way, k=k, found=found
            )
            judged, _ = measure.run("scale.clustering", "judge", path=f"{folder}/corpus", found=found)
            results.append({"way": way, "peak": peak, **trained, **judged})
    return results


def rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """One line for each way, objectives as shares of the first one's."""
    base = results[0]
    return [
        [
            one["way"],
            f"{one['k']:,}",
            f"{one['seconds']:.1f} s",
            f"{one['peak']:,.0f} MB",
            f"{one['others']:.4f}",
            f"{one['trained'] / base['trained']:.1%}",
            f"{one['others'] / base['others']:.1%}",
            f"{one['refined'] / base['others']:.1%}",
            f"{one['imbalance']:.2f}",
        ]
        for one in results
    ]


HEADER = (
    "",
    "K",
    "time",
    "peak",
    "mean cosine, others",
    "of one level's, trained",
    "others",
    f"others, {REFINE} refinements",
    "imbalance",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, nargs="+", default=[1000, 5000, 20_000])
    parser.add_argument("--each", type=int, default=64, help="points to train on for each centroid")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--quick", action="store_true", help="K = 200 and 800, 64 dimensions")
    options = parser.parse_args()
    if options.quick:
        options.k, options.dimension = [200, 800], 64
    print(measure.machine())
    for k in options.k:
        print(f"\n{k * options.each:,} vectors of {options.dimension} dimensions, K = {k:,}\n")
        print(measure.table(HEADER, rows(compare(k=k, each=options.each, dimension=options.dimension))))


if __name__ == "__main__":
    main()
