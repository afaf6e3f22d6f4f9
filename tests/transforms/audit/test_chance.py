"""Similarity by chance: the nearest of as many documents of other clusters, against a search written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.transforms.audit import chance
from sluice.transforms.audit.chance import Drawn, nearest_by_lot, quantile


@pytest.mark.parametrize(
    ("products", "expected"),
    [([7], 7), (range(1, 101), 95), (range(1, 21), 19), ([*range(20), 1000], 19), ([3, 3, 3], 3)],
)
def test_the_quantile_is_the_smallest_that_95_of_100_do_not_pass(products, expected):
    assert quantile(np.array([*products], np.float64)[::-1]) == expected


def drawn(sizes: list[int], seed: int = 0) -> list[Drawn]:
    rng = np.random.default_rng(seed)
    ties = np.split(rng.permutation(sum(sizes)).astype(np.uint64), np.cumsum(sizes)[:-1])
    return [
        Drawn(rng.integers(-9, 10, (size, 3)).astype(np.float64), np.sort(tie), size) for size, tie in zip(sizes, ties)
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_each_document_is_held_against_as_many_of_other_clusters(sizes, seed):
    clusters = drawn(sizes, seed)
    expected = []
    for own in clusters:
        others = [(tie, point) for one in clusters if one is not own for tie, point in zip(one.ties, one.points)]
        chosen = [point for _, point in sorted(others, key=lambda other: int(other[0]))][: own.size - 1]
        if chosen:
            expected += [max(float(point @ other) for other in chosen) for point in own.points[:32]]
    assert nearest_by_lot(clusters).tolist() == expected


def test_one_cluster_or_none_says_nothing():
    assert len(nearest_by_lot([])) == len(nearest_by_lot(drawn([30]))) == 0


def test_a_pool_is_those_of_the_smallest_hashes_up_to_a_bound(monkeypatch):
    one = Drawn(np.array([[1.0, 0.0]]), np.array([0], np.uint64), 40)
    # The only one of the other cluster that resembles it has the largest hash.
    points = np.zeros((20, 2))
    points[19] = 9, 0
    other = Drawn(points, np.arange(1, 21, dtype=np.uint64), 20)
    assert nearest_by_lot([one, other])[0] == 9
    monkeypatch.setattr(chance, "MOST_POOL", 20)
    assert nearest_by_lot([one, other])[0] == 0
