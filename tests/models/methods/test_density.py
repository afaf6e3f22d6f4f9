"""Quotas of Density-Based Pruning against the formulas of arXiv 2401.04578, and the program against all solutions."""

import itertools
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.arrays.vectors import COARSE, normalise_centroids
from sluice.models.methods import density

bounds = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(bounds, st.integers(-2, 6 * density.UNIT)), min_size=1, max_size=5), st.data())
def test_no_other_whole_numbers_within_the_bounds_are_nearer_to_what_is_wanted(clusters, data):
    low, high = np.array([pair for pair, _ in clusters]).T
    wanted = np.array([value for _, value in clusters])
    total = data.draw(st.integers(int(low.sum()), int(high.sum())))
    quota = density.fill(wanted, low=low, high=high, total=total)
    assert quota.sum() == total and (low <= quota).all() and (quota <= high).all()

    def distance(solution) -> int:
        return sum((int(x) * density.UNIT - int(w)) ** 2 for x, w in zip(solution, wanted))

    every = itertools.product(*(range(a, b + 1) for a, b in zip(low, high)))
    assert distance(quota) == min(distance(one) for one in every if sum(one) == total)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(0, 10**6))
def test_quotas_are_the_clipped_shares_up_to_one_document(seed, k, most):
    """What makes a solution of the program: one lam for all clusters (the Karush-Kuhn-Tucker conditions)."""
    random = np.random.default_rng(seed)
    high = random.integers(0, most + 1, k)
    low = random.integers(0, high // 2 + 1)
    total = int(random.integers(low.sum(), high.sum() + 1))
    wanted = np.rint(random.dirichlet(np.full(k, 0.3)) * total * density.UNIT).astype(np.int64)
    quota = density.fill(wanted, low=low, high=high, total=total)
    below, above = -4.0 * (total + most + 1), 4.0 * (total + most + 1)
    for _ in range(100):
        lam = (below + above) / 2
        if np.clip(wanted / density.UNIT + lam, low, high).sum() < total:
            below = lam
        else:
            above = lam
    assert quota.sum() == total
    assert (np.abs(quota - np.clip(wanted / density.UNIT + above, low, high)) < 1 + 1e-3).all()


def test_of_equal_remainders_the_first_clusters_get_the_documents():
    quota = density.fill(np.full(4, 5 * density.UNIT // 2), low=np.zeros(4, int), high=np.full(4, 9), total=10)
    assert quota.tolist() == [3, 3, 2, 2]


def test_bounds_without_a_solution_are_refused():
    with pytest.raises(ValueError, match="quotas from 2 to 4 cannot add up to 5"):
        density.fill(np.zeros(2, int), low=np.ones(2, int), high=np.full(2, 2), total=5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 25), st.sampled_from([1, 200, 1 << 20]))
def test_distances_to_others_are_means_of_the_nearest_in_blocks_of_any_size(seed, k, neighbours, block_bytes):
    random = np.random.default_rng(seed)
    # Few distinct centroids: many equal products.
    centroids = normalise_centroids(random.integers(-2, 3, (k, 3)) + 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(density, "BLOCK_BYTES", block_bytes)
        found = density.distance_to_others(centroids, neighbours)
    products = centroids.astype(np.float64) @ centroids.T.astype(np.float64) / COARSE**2
    for c in range(k):
        others = np.sort(1 - np.delete(products[c], c))[:neighbours]
        assert found[c] == pytest.approx(others.mean() if k > 1 else 0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1, 2), min_size=1, max_size=30), st.sampled_from(["0.001", "0.1", "0.5", "1000"]).map(Decimal)
)
def test_shares_are_a_softmax(values, temperature):
    found = density.softmax(np.array(values), temperature)
    powers = np.exp((np.array(values) - max(values)) / float(temperature))
    assert found == pytest.approx(powers / powers.sum(), rel=1e-12, abs=1e-300)


def test_a_lower_temperature_spreads_shares_further():
    spread = np.linspace(0.05, 0.4, 8)
    warm, cold = (density.softmax(spread, Decimal(value)) for value in ("0.5", "0.1"))
    assert warm.max() / warm.min() == pytest.approx(2.01, abs=0.01)
    assert cold.max() / cold.min() == pytest.approx(33.1, abs=0.1)


@pytest.mark.parametrize(
    ("sizes", "total", "floor", "expected"),
    [
        ([10, 10, 2, 1, 0], 12, "0.5", [1, 1, 1, 0, 0]),
        ([10, 10, 2, 1, 0], 20, "0.9", [3, 3, 1, 0, 0]),
        ([10, 10, 2, 1, 0], 12, "0", [1, 1, 1, 0, 0]),
    ],
)
def test_floors_are_a_share_of_an_equal_quota_but_never_a_whole_cluster(sizes, total, floor, expected):
    assert density.floors(np.array(sizes), total, Decimal(floor)).tolist() == expected


def table(sizes: list[int], *, target: int, protected: list[int] | None = None, similarity: float = 0.8) -> np.ndarray:
    random = np.random.default_rng(0)
    centroids = normalise_centroids(random.normal(size=(len(sizes), 6)))
    counts = np.array(sizes)
    statistics = np.array([counts, counts, (counts * similarity * COARSE**2).astype(int), counts])
    given = np.zeros(len(sizes), int) if protected is None else np.array(protected)
    return density.quota_table(centroids, statistics, protected=given, target=target, rule=density.Rule())


def test_quotas_add_up_to_the_target_and_fit_the_clusters():
    for target in range(1, 62):
        found = table([30, 20, 0, 10, 1], target=target)
        assert found["quota"].sum() == target and (found["quota"] <= found["size"]).all()
    assert table([30, 20, 0], target=99)["quota"].tolist() == [30, 20, 0]


def test_protected_documents_stay_within_the_quotas():
    found = table([30, 20, 10], target=20, protected=[15, 0, 4])
    assert found["quota"].sum() == 20 and (found["quota"] >= [15, 0, 4]).all()
    # Here floors do not fit beside them, and then nothing does.
    assert table([30, 20, 10], target=20, protected=[16, 0, 4])["quota"].tolist() == [16, 0, 4]
    assert table([30, 20, 10], target=20, protected=[30, 0, 4])["quota"].tolist() == [30, 0, 4]


def test_the_summary_shows_clusters_that_keep_most_and_least():
    found = density.summary(table(list(range(20)), target=90))
    assert len(found["most_kept"]) == len(found["least_kept"]) == 5
    shares = [row["quota"] / row["size"] for row in found["most_kept"] + found["least_kept"]]
    assert shares == sorted(shares, reverse=True)


def test_nothing_at_all_has_a_summary():
    nothing = np.zeros(3, density.QUOTA)
    assert density.summary(nothing) == {"most_kept": [], "least_kept": []}
    assert density.extremes(nothing)["filled_clusters"] == 0


def test_extremes_are_of_clusters_that_have_documents():
    found = density.extremes(table([30, 20, 0, 10, 1], target=30))
    assert found["filled_clusters"] == 4 and 0 <= found["least_kept"] < found["most_kept"] <= 1 < found["spread"]
    assert density.extremes(table([30, 20, 0], target=50))["whole_clusters"] == 2
