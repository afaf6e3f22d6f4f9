"""Assigning points to centroids, exactly by matrix product or through a ScaNN index that proposes candidates."""

import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models.arrays.products import default_engine, nearest

# On a CPU, ScaNN's tree wins over the matrix product only well above 10,000 centroids (README, Numbers).
SCANN_CENTROIDS = 50_000
CANDIDATES = 10
METHODS = ("auto", "exact", "scann")


def choose_method(method: str, centroids: int) -> str:
    """`exact` or `scann`: `auto` takes ScaNN from SCANN_CENTROIDS on, unless there is an accelerator."""
    if method != "auto":
        return method
    return "scann" if centroids >= SCANN_CENTROIDS and default_engine() != "jax" else "exact"


def import_scann() -> Any:
    """ScaNN without its TensorFlow ops: loads beside any TensorFlow, and faster (its ops are not used here)."""
    held = sys.modules.get("tensorflow")
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        import scann
    finally:
        if held is None:
            del sys.modules["tensorflow"]
        else:
            sys.modules["tensorflow"] = held
    return scann


def build_index(centroids: np.ndarray, archive: str) -> None:
    """Build a ScaNN searcher over float32 [k, d] centroids and write it as a tar file.

    Two builds of the same centroids differ, so a searcher is built once and kept with its centroids.
    """
    builder = import_scann().scann_ops_pybind.builder(centroids, CANDIDATES, "dot_product")
    k = len(centroids)
    if k >= 1000:
        leaves = max(int(2 * k**0.5), 1)
        builder = builder.tree(num_leaves=leaves, num_leaves_to_search=max(leaves // 4, 1), training_sample_size=k)
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(10 * CANDIDATES)
    else:
        builder = builder.score_brute_force()
    folder = Path(archive + ".d")
    folder.mkdir(parents=True)
    builder.build().serialize(str(folder), relative_path=True)
    with tarfile.open(archive, "w") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, arcname=file.name)
            file.unlink()
    folder.rmdir()


class ScannAssigner:
    """Points -> the best of ScaNN's candidates by exact dot product; ties to the lowest index."""

    def __init__(self, centroids: np.ndarray, archive: str, folder: str):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        self.centroids = centroids
        self.searcher = import_scann().scann_ops_pybind.load_searcher(folder)

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [n, d] -> (index int32 [n], dot int32 [n])."""
        if not len(points):
            return np.empty(0, np.int32), np.empty(0, np.int32)
        found, distances = self.searcher.search_batched(points)
        # Short answers are padded with index 0 and a NaN distance.
        found = np.sort(np.where(np.isnan(distances), found[:, :1], found).astype(np.int64), axis=1)
        index, dots = np.empty(len(points), np.int32), np.empty(len(points), np.int32)
        for start in range(0, len(points), 1024):
            rows = slice(start, start + 1024)
            products = np.einsum("nd,ncd->nc", points[rows], self.centroids[found[rows]])
            best = products.argmax(axis=1)
            index[rows] = np.take_along_axis(found[rows], best[:, None], axis=1)[:, 0]
            dots[rows] = np.take_along_axis(products, best[:, None], axis=1)[:, 0]
        return index, dots


class ExactAssigner:
    """Points -> the centroid with the largest dot product; ties to the lowest index."""

    def __init__(self, centroids: np.ndarray):
        self.centroids = centroids

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return nearest(points, self.centroids)


class SplitAssigner:
    """An assigner whose oversized clusters are assigned again among their own sub-centroids.

    splits: for each split cluster, float32 [s, d] sub-centroids; they take the numbers from k on, in the order given.
    """

    def __init__(self, top: ExactAssigner | ScannAssigner, k: int, splits: dict[int, np.ndarray]):
        self.top, self.splits, self.first = top, splits, {}
        for cluster, centroids in splits.items():
            self.first[cluster] = k
            k += len(centroids)
        self.clusters = k

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index, dots = self.top(points)
        for cluster, centroids in self.splits.items():
            rows = np.flatnonzero(index == cluster)
            if len(rows):
                below, similarity = nearest(points[rows], centroids)
                index[rows], dots[rows] = below + self.first[cluster], similarity
        return index, dots
