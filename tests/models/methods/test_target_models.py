"""Best ranks against sorting, the classifier against the conditions of its minimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.arrays import vectors
from sluice.models.methods import logistic
from sluice.models.methods.best_ranks import best_ranks, label


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 50), st.integers(0, 2**32))
def test_best_ranks_equal_a_full_sort(size, targets, most, seed):
    rng = np.random.default_rng(seed)
    points, wanted = (rng.integers(-3, 4, (count, 2)).astype(np.float32) for count in (size, targets))
    expected = []
    for point in range(size):
        ranks = []
        for target in wanted:
            dots = points @ target
            ranks.append(1 + sum((-dots[other], other) < (-dots[point], point) for other in range(size)))
        expected.append(min(min(ranks), min(most, size) + 1))
    best = best_ranks(points, wanted, most=most)
    assert best.tolist() == expected
    count = min(most, size)
    full = best_ranks(points, wanted, most=size)
    assert label(best, count).tolist() == label(full, count).tolist()
    assert label(best, count).sum() == count


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
def test_the_classifier_is_the_minimum(penalty):
    rng = np.random.default_rng(1)
    stored = vectors.coarse(vectors.quantise(rng.normal(size=(5000, 6)) + 0.3))
    positive = stored[:, 0] + 500 * rng.normal(size=5000) > 1500
    found = logistic.fit(stored, positive, penalty=penalty)
    points = stored.astype(np.float64) / vectors.COARSE

    def loss(weights: np.ndarray, bias: float) -> float:
        margins = np.where(positive, 1, -1) * (points @ weights + bias)
        losses = np.log1p(np.exp(-margins))
        return losses[positive].mean() / 2 + losses[~positive].mean() / 2 + penalty / 2 * weights @ weights

    least = loss(found.weights, found.bias)
    assert found.loss == pytest.approx(least, rel=1e-12)
    for _ in range(20):
        step = 1e-4 * rng.normal(size=6)
        assert loss(found.weights + step, found.bias + 1e-4 * rng.normal()) > least


def test_separable_classes_are_told_apart_and_one_class_is_refused():
    points = np.array([[4064, 0], [0, 4064], [-4064, 0], [0, -4064]], np.float32)
    found = logistic.fit(points, np.array([True, True, False, False]), penalty=1e-4)
    assert logistic.area_under_curve(points @ found.weights, np.array([True, True, False, False])) == 1
    for positive in (np.zeros(4, bool), np.ones(4, bool)):
        with pytest.raises(ValueError, match="cannot tell"):
            logistic.fit(points, positive, penalty=1)
    with pytest.raises(ValueError, match="penalty of 0"):
        logistic.fit(points, np.array([True, False, False, False]), penalty=0)


def test_the_area_under_the_curve_counts_pairs():
    score, positive = np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False])
    assert logistic.area_under_curve(score, positive) == pytest.approx(3.5 / 4)
