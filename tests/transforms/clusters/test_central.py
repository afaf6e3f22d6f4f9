"""The most central documents of clusters, against a selection written out, however the documents are divided."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.arrays.vectors import COARSE
from sluice.transforms.clusters import central
from sluice.transforms.clusters.central import Central, read_central
from sluice.transforms.clusters.find_central import FOUND, MergeCentral, most_central


def test_three_of_each_cluster_come_first_ties_by_hash_and_then_by_address():
    rows = [(7, 50, 9, 0, 0), (2, 10, 1, 0, 1), (7, 50, 3, 4, 4), (7, 50, 3, 1, 9), (7, 50, 3, 1, 2), (2, -4, 0, 3, 3)]
    assert most_central(np.array(rows, FOUND)).tolist() == [rows[1], rows[5], rows[4], rows[3], rows[2]]
    assert len(most_central(np.empty(0, FOUND))) == 0


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5), st.integers(0, 2), st.integers(0, 4)), max_size=40)


@given(ROWS, st.lists(st.integers(0, 4), min_size=40, max_size=40))
@settings(max_examples=60, deadline=None)
def test_documents_may_be_divided_and_merged_in_any_way(rows, divided):
    found = np.array([(*row, number) for number, row in enumerate(rows)], FOUND)
    expected = []
    for cluster in range(4):
        own = [row for row in found.tolist() if row[0] == cluster]
        expected += sorted(own, key=lambda row: (-row[1], *row[2:]))[:3]
    merge, owner = MergeCentral(), np.array(divided[: len(found)], int)
    totals = []
    for number in range(5):
        total = merge.create_accumulator()
        for piece in np.array_split(found[owner == number], 2):
            total = merge.add_input(total, piece.tobytes())
        totals.append(total)
    merged = merge.extract_output(merge.merge_accumulators(totals[::-1]))
    assert np.frombuffer(merged, FOUND).tolist() == expected


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([1], [(0, 5), (2, 2)]),
        ([3], [(1, 7)]),
        ([1, 3, 4], [(1, 7), (0, 5), (9, 9)]),
        ([0], []),
        ([8], []),
    ],
)
def test_a_group_of_clusters_has_the_most_central_of_all(group, expected, monkeypatch):
    array = np.array([(1, 90, 0, 5), (1, 10, 2, 2), (3, 95, 1, 7), (4, 40, 9, 9), (4, 3, 9, 10)], np.int64)
    monkeypatch.setattr(central, "load_array", lambda artifact, name: array)
    (found,) = read_central(SimpleNamespace(manifest={"totals": {"central": 5}}), [group])
    assert [(one.unit, one.row) for one in found] == expected
    assert all(isinstance(one, Central) and one.similarity <= 95 / COARSE**2 for one in found)


def test_clusters_of_an_earlier_version_name_none():
    assert read_central(SimpleNamespace(manifest={"totals": {"clusters": 4}}), [[0], [1, 2]]) == [[], []]
