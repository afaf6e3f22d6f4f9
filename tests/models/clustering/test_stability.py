"""The adjusted Rand index and what it says of two trainings."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.clustering.stability import adjusted_rand, stability
from tests.models.clustering.test_two_level import blobs

labels = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 5), min_size=n, max_size=n) for _ in range(2)))
)


@given(labels)
def test_agreement_equals_its_definition_over_all_pairs(both):
    a, b = map(np.array, both)
    pairs = list(itertools.combinations(range(len(a)), 2))
    together = sum(a[i] == a[j] and b[i] == b[j] for i, j in pairs)
    of_a, of_b = sum(a[i] == a[j] for i, j in pairs), sum(b[i] == b[j] for i, j in pairs)
    found = adjusted_rand(a, b)
    if not pairs or (of_a + of_b) / 2 == of_a * of_b / len(pairs):
        assert found == 1
        return
    expected = of_a * of_b / len(pairs)
    assert found == pytest.approx((together - expected) / ((of_a + of_b) / 2 - expected))


@given(labels)
def test_agreement_does_not_depend_on_the_numbers_or_the_order(both):
    a, b = map(np.array, both)
    turned = np.random.default_rng(0).permutation(len(a))
    renamed = np.array([3, 9, 0, 7, 4, 1])[a]
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand(b, a))
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand(renamed[turned], b[turned]))
    assert adjusted_rand(a, renamed) == 1


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="3 and 2"):
        adjusted_rand(np.zeros(3, int), np.zeros(2, int))


def test_clear_clusters_are_stable_and_noise_is_not():
    clear = stability(blobs(2000, 3, noise=0.05), 3)
    noise = stability(blobs(2000, 2000, noise=1.0), 50)
    assert clear["agreement"] > noise["agreement"]
    assert noise["agreement"] < 0.4
    assert (noise["documents"], noise["clusters"]) == (2000, 50)
    assert all(0 < objective <= 1 for objective in clear["objectives"] + noise["objectives"])


def test_few_points_get_few_clusters():
    assert stability(blobs(50, 5), 40)["clusters"] == 2
