"""Running totals over ranges against one pass over everything, and bins of length."""

import itertools
from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.cut import ranks
from sluice.models.cut.ranks import length_bins

KEYS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(-2, 2), st.integers(0, 5), st.integers(0, 9)),
    min_size=1,
    max_size=60,
)


def to_keys(rows: list[tuple[int, ...]]) -> np.ndarray:
    keys = np.zeros(len(rows), ranks.KEY)
    for place, (group, inner, priority, tie, weight) in enumerate(rows):
        keys[place] = ((group, 0, inner), priority, tie, 0, place, weight)
    return keys


@settings(max_examples=150, deadline=None)
@given(KEYS, st.integers(1, 7), st.randoms())
def test_totals_do_not_depend_on_the_ranges(rows, ranges, random):
    keys = to_keys(rows)
    expected: dict[int, int] = {}
    running: dict[tuple[int, int], int] = defaultdict(int)
    for place in sorted(range(len(rows)), key=lambda place: (*rows[place][:4], place)):
        running[rows[place][:2]] += rows[place][4]
        expected[place] = running[rows[place][:2]]
    sample = keys[[place for place in range(len(keys)) if random.random() < 0.5]]
    ordered = ranks.sort_keys(keys)
    places = ranks.cut_sorted(ordered, ranks.splitters(sample, ranges))
    assert places[0] == 0 and places[-1] == len(keys) and places == sorted(places)
    described, parts = [], []
    for number, (start, stop) in enumerate(itertools.pairwise(places)):
        if start == stop:
            continue
        totals, first = ranks.running_totals(ordered[start:stop])
        described.append(ranks.describe_range(number, ordered[start:stop], totals))
        parts.append((number, ordered[start:stop], totals, first))
    random.shuffle(described)
    carries = ranks.carries(described)
    found = {}
    for number, block, totals, first in parts:
        for key, total, carried in zip(block, totals, first):
            found[int(key["row"])] = int(total) + carries[number] * bool(carried)
    assert found == expected


@given(st.lists(st.integers(0, 2**40), max_size=50))
def test_bins_of_length_are_ordered_and_an_eighth_wide(values):
    lengths = np.array(sorted(values), np.int64)
    bins = length_bins(lengths)
    assert (np.diff(bins) >= 0).all()
    for one in np.unique(bins):
        inside = lengths[bins == one]
        assert inside.max() - inside.min() <= inside.min() / 8


def test_short_lengths_are_bins_of_their_own_and_none_is_left_out():
    assert length_bins(np.arange(16)).tolist() == list(range(16))
    assert np.unique(np.diff(length_bins(np.arange(5000)))).tolist() == [0, 1]
