"""Spherical k-means: deterministic, better with every iteration, sound on odd samples."""

import numpy as np
import pytest

from sluice.models.arrays.products import ENGINES, nearest
from sluice.models.arrays.vectors import COARSE, coarse, quantise
from sluice.models.clustering import assign, kmeans


def blobs(size: int, clusters: int, *, dimension: int = 16, seed: int = 0, noise: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimension))
    raw = centres[rng.integers(0, clusters, size)] + noise * rng.normal(size=(size, dimension))
    return coarse(quantise(raw))


def test_the_objective_grows_within_each_half():
    found = kmeans.train(blobs(4000, 20), 20)
    objective = np.array(found.objective)
    drops = np.flatnonzero(np.diff(objective) < -1e-4)
    assert len(drops) <= 1  # where the second half sees points the first did not
    assert objective[-1] > objective[0]
    assert found.iterations == len(objective) <= 20


def test_centroids_are_unit_vectors_on_the_grid_and_the_same_every_time():
    points = blobs(1000, 8)
    first, second = kmeans.train(points, 8), kmeans.train(points.copy(), 8)
    assert np.array_equal(first.centroids, second.centroids)
    assert np.array_equal(first.centroids, np.rint(first.centroids))
    assert np.linalg.norm(first.centroids, axis=1) == pytest.approx(COARSE, rel=1e-3)


def test_as_many_clusters_as_points_gives_the_points():
    points = blobs(30, 30, noise=1.0)
    found = kmeans.train(points, 30)
    # The same points, up to normalising them once more on the grid.
    assert np.abs(np.sort(found.centroids, axis=0) - np.sort(points, axis=0)).max() <= 2


def test_equal_points_make_one_cluster_however_many_are_asked_for():
    found = kmeans.train(np.repeat(blobs(1, 1), 50, axis=0), 7)
    assert len(found.centroids) == 1


def test_opposite_points_leave_no_centroid_without_a_direction():
    point = blobs(1, 1)
    found = kmeans.train(np.concatenate([point, -point, point, -point]), 1)
    assert found.centroids.any()


def test_empty_clusters_are_refilled():
    # Two far groups and starts that all lie in the first: one of them must move over.
    near, far = blobs(200, 1, seed=1, noise=0.05), blobs(200, 1, seed=2, noise=0.05)
    found = kmeans.train(np.concatenate([near[:5], near, far]), 4)
    sizes = np.bincount(nearest(np.concatenate([near, far]), found.centroids)[0], minlength=4)
    assert (sizes > 0).all()


@pytest.mark.parametrize(("points", "k"), [(np.empty((0, 4), np.float32), 3), (blobs(5, 1), 0)])
def test_impossible_clusterings_are_refused(points, k):
    with pytest.raises(ValueError, match="cannot make"):
        kmeans.train(points, k)


def test_sums_by_label_equal_a_loop():
    points = blobs(300, 5)
    labels = np.random.default_rng(3).integers(0, 7, 300)
    which = np.random.default_rng(4).permutation(300)[:200]
    sums = np.zeros((7, points.shape[1]), np.int64)
    kmeans.add_by_label(sums, points, which, labels)
    expected = np.zeros_like(sums)
    for row in which:
        expected[labels[row]] += points[row].astype(np.int64)
    assert np.array_equal(sums, expected)


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("size", [1, 3, 5000])
def test_every_engine_finds_the_same_centroid_ties_to_the_lowest(engine, size):
    points, centroids = blobs(size, 10), blobs(40, 40, seed=9, noise=1.0)
    centroids = np.concatenate([centroids, centroids])  # every centroid has a twin
    index, dots = nearest(points, centroids, engine=engine)
    products = points.astype(np.int64) @ centroids.astype(np.int64).T
    assert np.array_equal(index, products.argmax(axis=1))
    assert np.array_equal(dots, products.max(axis=1))
    assert index.max() < 40


def test_no_centroids_are_refused():
    with pytest.raises(ValueError, match="no centroids"):
        nearest(blobs(3, 1), np.empty((0, 16), np.float32))


@pytest.mark.parametrize("clusters", [1, 30, 1500])
def test_scann_proposes_and_exact_products_choose(tmp_path, clusters):
    centroids = blobs(clusters, clusters, noise=1.0, seed=5)
    points = blobs(2000, 50, seed=6)
    assign.build_index(centroids, str(tmp_path / "index.tar"))
    found, dots = assign.ScannAssigner(centroids, str(tmp_path / "index.tar"), str(tmp_path / "index"))(points)
    assert np.array_equal(dots, (points * centroids[found]).sum(axis=1).astype(np.int32))
    exact, _ = assign.ExactAssigner(centroids)(points)
    # Builds differ from one another; on these vectors, which have no clusters, about one in ten is missed.
    assert (found == exact).mean() > 0.75


def test_scann_is_chosen_only_where_it_pays():
    assert assign.choose_method("auto", 10_000) == "exact"
    assert assign.choose_method("auto", 50_000) == "scann"
    assert assign.choose_method("exact", 50_000) == "exact"
    assert assign.choose_method("scann", 5) == "scann"


def test_a_split_cluster_is_empty_and_its_members_are_among_its_parts():
    centroids, points = blobs(6, 6, noise=1.0, seed=7), blobs(500, 12, seed=8)
    top = assign.ExactAssigner(centroids)
    index, _ = top(points)
    large = int(np.bincount(index).argmax())
    parts = points[index == large][:3]
    split, dots = assign.SplitAssigner(top, 6, {large: parts})(points)
    assert not (split == large).any()
    assert np.array_equal(split >= 6, index == large)
    below, expected = nearest(points[index == large], parts)
    assert np.array_equal(split[index == large], below + 6)
    assert np.array_equal(dots[index == large], expected)
