"""Hubs and losses by their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.arrays.vectors import COARSE
from sluice.models.clustering import skew


def statistics(sizes: list[int], similarity: float = 0.75) -> np.ndarray:
    found = np.zeros((4, len(sizes)), np.int64)
    found[0] = found[1] = sizes
    found[2] = np.array(sizes) * int(similarity * COARSE**2)
    return found


def test_parts_count_for_the_cluster_that_was_split():
    # Clusters 0..3, of which 2 became three parts and then 0 two.
    splits = [[2, 3], [0, 2]]
    assert skew.parents(4, splits).tolist() == [0, 1, 2, 3, 2, 2, 2, 0, 0]
    sizes = [0, 40, 0, 10, 100, 110, 90, 30, 20]
    removed = np.array([0, 4, 0, 10, 50, 50, 50, 0, 0])
    found = skew.largest_clusters(statistics(sizes), splits, removed)
    assert [(one["cluster"], one["size"], one["parts"]) for one in found["largest"]] == [
        (2, 300, 3),
        (0, 50, 2),
        (1, 40, 1),
        (3, 10, 1),
    ]
    first = found["largest"][0]
    assert first["share"] == pytest.approx(300 / 400)
    assert first["times_mean"] == pytest.approx(300 / 100)
    assert first["mean_distance"] == pytest.approx(0.25, abs=1e-6)
    assert [one["share_removed"] for one in found["largest"]] == [0.5, 0.0, 0.1, 1.0]


def test_hubs_are_large_shares_of_many_clusters_or_far_above_the_mean():
    # 21 of 120 documents are 17 times the mean of 100 clusters: a hub by its share.
    found = skew.largest_clusters(statistics([21] + [1] * 99), [])
    assert found["hubs"]["clusters"] == 1 and found["hubs"]["documents"] == 21
    assert [one["hub"] for one in found["largest"]] == [True] + [False] * 9
    # Far above the mean, though a small share: 45 of 2,044 is 2 % and 22 times the mean.
    far = skew.largest_clusters(statistics([45] + [1] * 999 + [0] * 10), [])
    assert far["hubs"]["documents"] == 45
    # Of four equal clusters each holds a quarter, and none is a hub; nor is there one in a corpus of nothing.
    assert skew.largest_clusters(statistics([25] * 4), [])["hubs"]["clusters"] == 0
    assert skew.largest_clusters(statistics([0, 0]), [])["largest"] == []


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1)), min_size=1, max_size=20), st.floats(0.01, 1))
def test_what_is_lost_is_what_keeps_next_to_nothing_of_what_it_should(groups, rate):
    documents = np.array([size for size, _ in groups])
    kept = (documents * np.array([share for _, share in groups])).astype(np.int64)
    for share in (0.0, 0.01, 0.5):
        expected = [
            size * rate >= skew.EXPECTED and left <= share * (size * rate) for size, left in zip(documents, kept)
        ]
        assert skew.lost(documents, kept, rate=rate, share=share).tolist() == expected
