"""Overlap and agreement: equal vectors agree wholly, unrelated ones as chance has it, and cuts are exact."""

from decimal import Decimal

import numpy as np
import pytest

from sluice.models.reporting.comparison import agreement, neighbours, overlap, select


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def some(n=400, d=16, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(n, d)))


def test_neighbours_are_those_of_a_full_sort():
    vectors = some(1500)
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    expected = np.sort(np.argsort(-products, axis=1)[:, :10], axis=1)
    np.testing.assert_array_equal(np.sort(neighbours(vectors, 10), axis=1), expected)


def test_too_few_documents_have_no_neighbours():
    with pytest.raises(ValueError, match="10 documents do not have 10"):
        neighbours(some(10), 10)


def test_overlap_counts_shared_neighbours_whatever_their_order():
    assert overlap(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 5]])) == 0.75


def test_selections_have_the_exact_sizes_and_follow_the_vectors():
    vectors, order = some(), np.random.default_rng(1).permutation(400)
    found = select(vectors, keep=Decimal("0.333"), dedup=Decimal("0.75"), order=order)
    assert found.semdedup.sum() == 300 and found.kept.sum() == 134 and not (found.kept & ~found.semdedup).any()
    same = select(vectors * 3, keep=Decimal("0.333"), dedup=Decimal("0.75"), order=order)
    assert agreement(found.kept, same.kept) == 1.0
    other = select(some(seed=9), keep=Decimal("0.333"), dedup=Decimal("0.75"), order=order)
    assert 0.2 < agreement(found.kept, other.kept) < 0.5


def test_near_copies_go_first():
    vectors = some(200, 32)
    vectors = unit(np.concatenate([vectors, vectors[:40] + 0.001 * some(40, 32, seed=3)]))
    found = select(vectors, keep=Decimal(1), dedup=Decimal("0.8"), order=np.arange(240))
    assert found.semdedup.all()  # keep is more than dedup
    found = select(vectors, keep=Decimal("0.8"), dedup=Decimal("0.8"), order=np.arange(240))
    removed = np.flatnonzero(~found.semdedup)
    # One of each pair, for pairs that lie in one cluster
    assert len(removed) == 48 and sum(at < 40 or at >= 200 for at in removed) >= 36
