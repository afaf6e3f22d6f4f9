"""The numbers of reports against slow, plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from sluice.models.arrays.vectors import COARSE
from sluice.models.reporting import audit

pairs = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=40)


@given(pairs)
def test_spearman_equals_scipy_with_ties(values):
    a, b = np.array(values, np.float64).T
    found = audit.spearman(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic)


@given(st.data(), st.integers(1, 60), st.integers(1, 9))
def test_roots_are_where_following_the_links_ends(data, size, block):
    links = [data.draw(st.integers(0, at)) for at in range(size)]

    def end(at: int) -> int:
        return at if links[at] == at else end(links[at])

    order = np.array(data.draw(st.permutations(range(size))))
    parents = np.empty(size, np.int64)
    parents[order] = order[links]
    audit.find_roots(parents, block=block)
    assert parents[order].tolist() == [order[end(at)] for at in range(size)]


def test_two_documents_that_name_each_other_end_at_the_lower_one():
    parents = np.array([3, 2, 1, 0, 3, 2])
    audit.find_roots(parents, block=2)
    assert parents.tolist() == [0, 1, 1, 0, 0, 1]


def test_links_in_a_circle_are_refused():
    with pytest.raises(ValueError, match="circles"):
        audit.find_roots(np.array([1, 2, 0]))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=60))
def test_repeats_counts_what_another_one_equals(values):
    hashes = np.array(values, np.uint64).reshape(-1, 2)
    counts = [values.count(value) for value in set(values)]
    assert audit.repeats(hashes) == (sum(c for c in counts if c > 1), sum(c > 1 for c in counts))


def test_histogram_counts_every_value_once():
    bounds = audit.edges(-0.5, 1.0)
    values = np.r_[-0.5, 1.0, np.linspace(-0.5, 1, 500)]
    counts = audit.histogram(values, bounds)
    assert counts.sum() == len(values)
    assert counts[0] == ((values >= bounds[0]) & (values < bounds[1])).sum()
    assert counts[-1] == (values >= bounds[-2]).sum()


def test_length_table_has_equal_groups_and_their_shares():
    length = np.arange(100)[::-1]
    table = audit.length_table(length, np.ones(100, np.int64), length >= 50)
    assert [row["documents"] for row in table] == [10] * 10
    assert [row["share_kept"] for row in table] == [0.0] * 5 + [1.0] * 5
    assert [(row["from"], row["to"]) for row in table][:2] == [(0, 9), (10, 19)]
    assert sum(row["share_of_all"] for row in table) == pytest.approx(1)


def statistics(similarities: list[np.ndarray]) -> np.ndarray:
    """As transforms.clusters.assign.ClusterStatistics adds them up."""
    dots = [np.rint(values * COARSE**2) for values in similarities]
    squares = [np.rint(np.square(values / COARSE**2) * 1e6).sum() for values in dots]
    sizes = [len(values) for values in dots]
    return np.array([sizes, sizes, [values.sum() for values in dots], squares], np.float64).astype(np.int64)


def test_tight_and_even_clusters_are_driven_by_duplicates():
    tight = np.full(30, 0.99)
    loose = np.linspace(0.2, 0.9, 40)
    near_but_uneven = np.r_[np.full(20, 0.99), np.full(20, 0.9)]
    small = np.full(audit.DUPLICATE_SIZE - 1, 0.99)
    clusters = [loose, tight, near_but_uneven, small, np.empty(0)]
    found = audit.cluster_summary(statistics(clusters), np.array([0, 15, 0, 0, 0]))
    driven = found["duplicate_driven"]
    assert (driven["clusters"], driven["documents"]) == (1, 30)
    assert driven["largest"][0] | {"mean_distance": 0, "std_of_distance": 0} == {
        "cluster": 1,
        "size": 30,
        "mean_distance": 0,
        "std_of_distance": 0,
        "share_removed": 0.5,
    }
    assert driven["largest"][0]["mean_distance"] == pytest.approx(0.01, abs=1e-3)
    assert (found["clusters"], found["non_empty"], found["sizes"]["max"]) == (5, 4, 40)
    everything = np.concatenate(clusters)
    assert found["similarity"] == pytest.approx(everything.mean(), abs=1e-6)
    sizes = np.array([len(values) for values in clusters])
    assert found["imbalance"] == pytest.approx(5 * (sizes**2).sum() / sizes.sum() ** 2)


def test_spread_of_a_cluster_is_the_standard_deviation_of_its_similarities():
    values = np.random.default_rng(0).uniform(0.3, 0.9, 500)
    found = audit.cluster_summary(statistics([values]))
    assert found["std_of_similarity"]["p50"] == pytest.approx(values.std(), abs=1e-3)
