"""The exact cut inside each group equals a full sort of each group, however it is counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.cut import groups as grouped_cut
from sluice.models.cut.groups import Keys, Narrowing


def documents(seed: int, *, count: int, clusters: int, priorities: int, ties: int) -> Keys:
    """Documents with many equal priorities and ties (so that the place decides), in units of 7 rows."""
    random = np.random.default_rng(seed)
    priority = random.integers(-(1 << 24), (1 << 24) + 1, priorities)[random.integers(0, priorities, count)]
    tie = random.integers(0, 2**64, ties, np.uint64)[random.integers(0, ties, count)]
    return Keys(
        random.integers(0, clusters, count).astype(np.int32),
        grouped_cut.keys_of(priority, tie),
        tie,
        (np.arange(count) // 7).astype(np.uint32),
        (np.arange(count) % 7).astype(np.uint32),
    )


def units(keys: Keys) -> list[Keys]:
    columns = (keys.cluster, keys.key, keys.tie, keys.unit, keys.row)
    return [Keys(*(column[keys.unit == unit] for column in columns)) for unit in np.unique(keys.unit)]


def cut(keys: Keys, group: np.ndarray, quota: np.ndarray, *, passes: int) -> np.ndarray:
    """bool [n]: what goes, found unit by unit."""
    found = Narrowing.start(group, quota)
    for _ in range(passes):
        counts = [grouped_cut.count(unit, found) for unit in units(keys)]
        found = grouped_cut.narrow(found, grouped_cut.add_counts(counts, len(quota)))
    rows = [grouped_cut.candidates(unit, found) for unit in reversed(units(keys))]
    return grouped_cut.settle(found, np.concatenate(rows)).goes(keys)


def by_sorting(keys: Keys, group: np.ndarray, quota: np.ndarray) -> np.ndarray:
    gone = np.zeros(len(keys.cluster), bool)
    for number, most in enumerate(quota):
        members = [i for i in range(len(gone)) if group[keys.cluster[i]] == number]
        members.sort(key=lambda i: (keys.key[i], keys.tie[i], keys.unit[i], keys.row[i]))
        gone[members[most:]] = True
    return gone


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 120),
    clusters=st.integers(1, 9),
    priorities=st.sampled_from([1, 3, 1000]),
    ties=st.sampled_from([1, 3, 1000]),
    passes=st.integers(0, 5),
    cells=st.sampled_from([1 << 4, 1 << 12, 1 << 18]),
    data=st.data(),
)
def test_any_number_of_counts_finds_what_a_sort_finds(seed, count, clusters, priorities, ties, passes, cells, data):
    keys = documents(seed, count=count, clusters=clusters, priorities=priorities, ties=ties)
    groups = data.draw(st.integers(1, clusters))
    group = np.array(data.draw(st.lists(st.integers(-1, groups - 1), min_size=clusters, max_size=clusters)))
    quota = np.array(data.draw(st.lists(st.integers(0, count // groups + 2), min_size=groups, max_size=groups)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped_cut, "CELLS", cells)
        # 64 bits are all there are.
        passes = min(passes, 64 // grouped_cut.width(groups))
        assert np.array_equal(cut(keys, group, quota, passes=passes), by_sorting(keys, group, quota))


def test_after_all_counts_few_documents_are_left_to_sort():
    keys = documents(0, count=20_000, clusters=3, priorities=5, ties=20_000)
    found = Narrowing.start(np.arange(3), np.array([1000, 0, 50]))
    for _ in range(grouped_cut.passes(3, 1 << 30)):
        found = grouped_cut.narrow(found, grouped_cut.count(keys, found))
    assert 3 <= len(grouped_cut.candidates(keys, found)) <= 6


def test_few_documents_are_sorted_without_counting_and_tables_are_bounded():
    assert grouped_cut.passes(1000, 100_000) == 0
    for groups in (1, 2, 1000, 100_000, 250_000):
        assert groups << grouped_cut.width(groups) <= grouped_cut.CELLS
        assert grouped_cut.passes(groups, 10**9) * grouped_cut.width(groups) <= 64


def test_the_order_of_keys_is_that_of_priorities_then_ties():
    priority = np.array([-(1 << 24), -1, 0, 0, 1 << 24])
    tie = np.array([2**64 - 1, 5, 0, 2**40, 0], np.uint64)
    keys = grouped_cut.keys_of(priority, tie)
    assert (keys[:-1] < keys[1:]).all()
    assert np.array_equal(grouped_cut.priority_of(keys), priority)


@pytest.mark.parametrize("priority", [-(1 << 24) - 1, (1 << 24) + 1])
def test_priorities_that_no_product_has_are_refused(priority):
    with pytest.raises(ValueError, match="beyond 16777216"):
        grouped_cut.keys_of(np.array([0, priority]), np.zeros(2, np.uint64))


def test_documents_that_changed_between_counts_are_noticed():
    keys = documents(0, count=50, clusters=1, priorities=50, ties=50)
    found = grouped_cut.narrow(
        start := Narrowing.start(np.zeros(1, int), np.array([20])), grouped_cut.count(keys, start)
    )
    fewer = grouped_cut.count(units(keys)[0], found)
    with pytest.raises(ValueError, match="changed between passes"):
        grouped_cut.narrow(found, fewer)
