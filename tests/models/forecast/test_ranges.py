"""Ranges keep their ends in order, and the largest cluster is told from a sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.forecast import growth
from sluice.models.forecast.clusters import LEAST, largest_cluster, measure_skew
from sluice.models.forecast.ranges import Range, total

NUMBERS = st.floats(min_value=1e-6, max_value=1e9)
RANGES = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda ends: Range(*sorted(ends)))


@given(RANGES, RANGES, NUMBERS)
def test_ends_stay_in_order(one, other, number):
    for found in (
        one.plus(other),
        one.plus(number),
        one.times(other),
        one.times(number),
        one.over(other),
        one.at_most(other),
        one.at_least(other),
        total([one, other, one]),
        Range.around(number, 0.3),
        Range.around(number, 2.0),
    ):
        assert 0 <= found.low <= found.likely <= found.high


def test_arithmetic_is_that_of_the_ends():
    assert Range(1, 2, 3).plus(Range(10, 20, 30)) == (11, 22, 33)
    assert Range(1, 2, 3).over(Range(1, 2, 4)) == (0.25, 1, 3)
    assert Range(1, 5, 9).at_most(4) == (1, 4, 4)
    assert total([]) == (0, 0, 0) and Range.exactly(7) == (7, 7, 7)


def test_operations_are_those_of_the_products():
    assert growth.assignment_flops(10, 3, 4) == 2 * 10 * 3 * 4
    # n (n - 1) / 2 pairs of one cluster, d multiplications and additions each.
    assert growth.pair_flops(100, 100, 8) == 2 * 8 * (100 * 99 / 2)
    # 10 iterations over a quarter and 5 over all.
    assert growth.training_flops(1000, 10, 4) == 2 * 1000 * 10 * 4 * 7.5
    assert growth.mean_cluster(1e6, 10, 6, bin_bytes=3200) == 50


def test_equal_clusters_and_a_template_are_told_apart():
    rng = np.random.default_rng(0)
    even = rng.normal(size=(800, 24))
    found = measure_skew(even)
    assert found.times_mean < 5 and found.hot_share == 0 and found.vectors == 800
    hot = even.copy()
    hot[:480] = even[0] + 0.02 * rng.normal(size=(480, 24))
    skew = measure_skew(hot)
    assert 0.58 < skew.hot_share < 0.62
    forecast = largest_cluster(skew, 1e6, 1000)
    assert 0.55e6 < forecast.likely < 0.65e6 and forecast.low == 1000 and forecast.high <= 1e6
    assert largest_cluster(found, 1e6, 1000).likely < 5000


def test_equal_vectors_count_once_and_few_say_nothing():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 8))
    vectors[100:] = vectors[0]
    skew = measure_skew(vectors)
    assert skew.vectors == 100 and skew.equal_share == pytest.approx(0.5) and skew.hot_share == 0
    assert measure_skew(vectors[: LEAST - 1]) is None
    unknown = largest_cluster(None, 1000, 10)
    assert unknown == (100, 500, 1000)
