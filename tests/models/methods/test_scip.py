"""SCIP's two sorts, and where its first one ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.methods import scip


def by_sorting(cluster: np.ndarray, similarity: np.ndarray, *, count: int, alpha: float) -> set[int]:
    sizes = np.bincount(cluster)
    everyone = range(len(cluster))
    first = sorted(everyone, key=lambda i: (sizes[cluster[i]], similarity[i], -i))[: int(alpha * count)]
    rest = sorted(set(everyone) - set(first), key=lambda i: (similarity[i], -i))
    return {*first, *rest[: count - len(first)]}


documents = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(documents, st.floats(0, 1), st.data())
def test_small_clusters_go_first_and_then_what_is_far_from_its_centroid(rows, alpha, data):
    cluster, similarity = np.array(rows).T
    count = data.draw(st.integers(0, len(rows)))
    gone = scip.removed(cluster, similarity, count=count, alpha=alpha)
    assert gone.sum() == count
    assert set(np.flatnonzero(gone)) == by_sorting(cluster, similarity, count=count, alpha=alpha)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted), min_size=1, max_size=20), st.data())
def test_the_first_documents_lie_in_whole_clusters_and_in_those_of_one_size(clusters, data):
    removable, sizes = np.array(clusters).T
    count = data.draw(st.integers(0, int(removable.sum())))
    small = scip.small_clusters(sizes, removable, count)
    rim = removable[small.rim].sum()
    assert removable[small.whole].sum() + rim - small.keep == count
    assert 0 <= small.keep <= rim and not (small.whole & small.rim).any()
    assert len(np.unique(sizes[small.rim])) <= 1
    if small.rim.any():
        assert sizes[small.whole].max(initial=-1) < sizes[small.rim][0] and small.keep > 0
        assert sizes[~small.whole & ~small.rim].min(initial=10) > sizes[small.rim][0]


def test_more_documents_than_may_go_are_refused():
    with pytest.raises(ValueError, match="5 documents of 4 cannot go"):
        scip.small_clusters(np.array([3, 9]), np.array([1, 3]), 5)
