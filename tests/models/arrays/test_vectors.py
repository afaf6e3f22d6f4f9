"""The integer grid: exact products, small errors, clear refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.arrays.vectors import COARSE, FULL, coarse, digests, normalise_centroids, quantise


@pytest.mark.parametrize("dimension", [1, 2, 64, 384, 768, 3000])
def test_float32_products_of_coarse_vectors_are_exact_in_any_blocking(dimension):
    rng = np.random.default_rng(dimension)
    raw = rng.normal(size=(60, dimension))
    raw[0] = 0
    raw[0, 0] = 5  # one outlier coordinate
    points = coarse(quantise(raw))
    exact = points.astype(np.int64) @ points.astype(np.int64).T
    assert np.array_equal((points @ points.T).astype(np.int64), exact)
    for block in (1, 7, 33):
        parts = [points[start : start + block] @ points.T for start in range(0, len(points), block)]
        assert np.array_equal(np.concatenate(parts).astype(np.int64), exact)


def test_coarse_cosines_are_within_the_stated_error():
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(400, 384))
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    points = coarse(quantise(raw))
    error = np.abs(points @ points.T / COARSE**2 - unit @ unit.T)
    assert error.max() < 1e-3 and error.mean() < 2e-4


def test_stored_vectors_have_unit_length_times_the_scale():
    stored = quantise(np.random.default_rng(2).normal(size=(50, 100)) * 1e-20)
    assert stored.dtype == np.int16
    assert np.linalg.norm(stored.astype(float), axis=1) == pytest.approx(FULL, rel=1e-3)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_rows_without_a_direction_are_refused_by_number(bad):
    raw = np.ones((3, 4))
    raw[1] = bad
    with pytest.raises(ValueError, match="row 1 of 3"):
        quantise(raw)


def test_vectors_too_long_for_exact_products_are_refused():
    # All components at .5 of the coarse grid: rounding makes every one larger.
    row = np.full((1, 54_000), 8 * 17 + 4, np.int16)
    with pytest.raises(ValueError, match="beyond exact float32"):
        coarse(row)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 30))
def test_digests_are_equal_just_where_rows_are(seed, size):
    rows = np.random.default_rng(seed).integers(0, 2, (size, 3)).astype(np.int16)
    found = digests(rows)
    for a in range(size):
        for b in range(size):
            assert (found[a] == found[b]) == np.array_equal(rows[a], rows[b])


def test_centroids_have_unit_length_and_a_zero_sum_stays_zero():
    found = normalise_centroids(np.array([[3, 4, 0], [0, 0, 0]], np.int64))
    assert found[0].tolist() == [round(0.6 * COARSE), round(0.8 * COARSE), 0]
    assert not found[1].any()
