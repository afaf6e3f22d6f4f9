"""The histogram cut against a full sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.cut import select
from sluice.models.cut.select import Boundary, Keys, Scale


def cut(keys: Keys, weights: np.ndarray, target: int, *, pieces: int, passes: int | None = None) -> np.ndarray:
    """As the pipeline does it: histograms of pieces, added up, pass by pass; with 0 passes all is sorted at once."""
    boundary = Boundary(target)
    parts = np.array_split(np.arange(len(weights)), pieces)
    for _ in range(select.passes(keys.scale, select.FEW + 1) if passes is None else passes):
        totals = sum(
            (select.histogram(keys.take(part), weights[part], boundary) for part in parts),
            np.zeros(1 << 16, np.int64),
        )
        boundary = select.narrow(boundary, totals)
    rows = [select.candidates(keys.take(part), weights[part], boundary) for part in parts]
    return keys.below(select.settle(boundary, np.concatenate(rows)))


def scaled(score: np.ndarray) -> Scale:
    return Scale.of(score.min().item(), score.max().item())


@st.composite
def documents(draw):
    size = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    few = draw(st.booleans())
    score = rng.integers(-3, 3, size) if few else rng.integers(-(2**62), 2**62, size)
    if draw(st.booleans()):
        score = rng.choice([-np.inf, -1.5, -0.0, 0.0, 1e-300, 0.25, 7.0], size)
    tie = rng.integers(0, 3 if few else 2**63, size).astype(np.uint64)
    scale = scaled(score)
    unit, row = rng.integers(0, 3, size).astype(np.uint32), np.arange(size, dtype=np.uint32) * 40_000
    keys = Keys(scale.keys(score), tie, unit, row, scale)
    weights = rng.integers(0, 5, size) if draw(st.booleans()) else np.ones(size, np.int64)
    return score, keys, weights


@settings(max_examples=150, deadline=None)
@given(sample=documents(), share=st.floats(0, 1.2), pieces=st.integers(1, 5))
def test_the_cut_keeps_the_longest_prefix_of_a_full_sort(sample, share, pieces):
    score, keys, weights = sample
    target = int(weights.sum() * share)
    order = np.lexsort((keys.row, keys.unit, keys.tie, score + 0.0))
    fits = np.cumsum(weights[order]) <= target
    expected = np.zeros(len(weights), bool)
    expected[order[: len(fits) if fits.all() else int(np.argmin(fits))]] = True
    for passes in (None, 0, 1):
        assert (cut(keys, weights, target, pieces=pieces, passes=passes) == expected).all()


@settings(max_examples=50, deadline=None)
@given(sample=documents(), low=st.integers(0, 60), more=st.integers(0, 60))
def test_a_larger_target_keeps_a_superset(sample, low, more):
    _, keys, weights = sample
    assert not (cut(keys, weights, low, pieces=1) & ~cut(keys, weights, low + more, pieces=3)).any()


def test_keys_keep_the_order_of_floats_and_integers():
    floats = np.array([-np.inf, -2.0, -1e-300, 0.0, 1e-300, 1.0, np.inf])
    assert (np.diff(Scale().keys(floats).astype(object)) > 0).all()
    assert Scale().keys(np.array([-0.0]))[0] == Scale().keys(np.array([0.0]))[0]
    whole = np.array([-(2**62), -1, 0, 1, 2**62])
    assert (np.diff(scaled(whole).keys(whole).astype(object)) > 0).all()


def test_scores_below_the_base_come_first_of_all():
    scale = Scale.of(-5, 100)
    assert scale.keys(np.array([-(2**63), -5, 100])).tolist() == [0, 1, 106]
    assert scale.passes == 1


def test_only_a_large_corpus_is_counted_before_it_is_sorted():
    assert select.passes(Scale.of(0, 2**30), select.FEW) == 0
    assert select.passes(Scale.of(0, 2**30), select.FEW + 1) == 2 + select.TIE_PASSES


def test_weights_that_change_between_passes_are_noticed():
    boundary = select.narrow(Boundary(5), np.full(1 << 16, 1, np.int64))
    with pytest.raises(ValueError, match="changed between passes"):
        select.narrow(boundary, np.zeros(1 << 16, np.int64))
