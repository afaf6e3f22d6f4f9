"""Ranges keep their ends in order, and laws count operations as anyone would by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.forecast.laws import LAWS, Size
from sluice.models.forecast.ranges import Range, spread, total

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
        spread([*one], one.likely),
    ):
        assert 0 <= found.low <= found.likely <= found.high


def test_arithmetic_is_that_of_the_ends():
    assert Range(1, 2, 3).plus(Range(10, 20, 30)) == (11, 22, 33)
    assert Range(1, 2, 3).over(Range(1, 2, 4)) == (0.25, 1, 3)
    assert Range(1, 5, 9).at_most(4) == (1, 4, 4)
    assert total([]) == (0, 0, 0) and Range.exactly(7) == (7, 7, 7)


@pytest.mark.parametrize(
    ("law", "size", "operations"),
    [
        ("assign", Size(10, clusters=3, dimension=4), 2 * 10 * 3 * 4),
        # n (n - 1) / 2 pairs of one cluster, d multiplications and additions each.
        ("pairs", Size(100, cluster=100, dimension=8), 2 * 8 * (100 * 99 / 2)),
        # 10 iterations over a quarter and 5 over all.
        ("train", Size(5000, sample=1000, clusters=10, dimension=4), 2 * 1000 * 10 * 4 * 7.5),
        ("cut", Size(1000), 0),
    ],
)
def test_operations_are_those_of_the_products(law, size, operations):
    assert LAWS[law].operations(size) == operations
    assert operations <= LAWS[law].flops(size) <= 1.7 * operations


def test_work_beside_products_grows_with_the_documents_the_sample_or_nothing():
    size = Size(1000, sample=100)
    assert [LAWS[name].amount(size) for name in ("documents", "train", "fixed")] == [1000, 325, 0]
    assert LAWS["documents"].amount(size, most=300) == 300
