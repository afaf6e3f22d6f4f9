"""What a rule by length alone would have removed as well."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.reporting.audit import shared_with_length


def test_removing_the_longest_is_all_length() -> None:
    length, removed = np.array([5, 1, 9, 7]), np.array([False, False, True, True])
    assert shared_with_length(length, removed) == {"longest": 1.0, "shortest": 0.0, "chance": 0.5}


def test_removing_nothing_shares_nothing() -> None:
    found = shared_with_length(np.array([1, 2]), np.zeros(2, bool))
    assert found == {"longest": None, "shortest": None, "chance": None}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=6).filter(lambda x: any(r for _, r in x))
)
def test_ties_count_as_a_rule_that_takes_any_of_them_would_on_average(documents: list[tuple[int, bool]]) -> None:
    length, removed = np.array([one for one, _ in documents]), np.array([gone for _, gone in documents])
    gone = int(removed.sum())
    shares = []
    for order in permutations(range(len(length))):
        longest = sorted(order, key=lambda index: -length[index])[:gone]
        shares.append(removed[list(longest)].sum() / gone)
    assert shared_with_length(length, removed)["longest"] == pytest.approx(np.mean(shares))
