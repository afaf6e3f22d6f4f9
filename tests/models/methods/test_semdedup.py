"""SemDeDup's three rules against their plain definitions, tile by tile and tie by tie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.arrays.vectors import COARSE, coarse, quantise
from sluice.models.methods import semdedup
from sluice.models.methods.semdedup import NO_NEIGHBOUR


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return coarse(quantise(np.stack([np.cos(radians), np.sin(radians)], axis=1)))


def kept(points: np.ndarray, *, rule: str, eps: float) -> list[int]:
    threshold = int((1 - eps) * COARSE**2)
    dots, _ = semdedup.score(points, rule=rule, threshold=threshold)
    return [int(row) for row in np.flatnonzero(dots <= threshold)]


# methods.md 15.1: a, b, c at 0, 8.1 and 14.0 degrees (similarities .990, .995, .970).
A, B, C = 0.0, 8.1, 14.0


@pytest.mark.parametrize(
    ("order", "eps", "official", "greedy", "components"),
    [
        ((A, B, C), 0.02, [0], [0, 2], [0]),
        ((A, B, C), 0.04, [0], [0], [0]),
        ((B, A, C), 0.02, [0], [0], [0]),
        ((A, C, B), 0.02, [0, 1], [0, 1], [0]),
    ],
)
def test_three_points_on_a_circle_fall_as_the_rules_say(order, eps, official, greedy, components):
    points = at_angles(*order)
    assert kept(points, rule="official", eps=eps) == official
    assert kept(points, rule="greedy", eps=eps) == greedy
    assert kept(points, rule="components", eps=eps) == components


def random_points(seed: int, size: int, dimension: int, copies: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(max(size - copies, 1), dimension))
    rows = np.concatenate([base, base[rng.integers(0, len(base), copies)]])[:size]
    return coarse(quantise(rows[rng.permutation(len(rows))]))


points_strategy = st.builds(
    random_points,
    seed=st.integers(0, 10_000),
    size=st.integers(1, 40),
    dimension=st.sampled_from([1, 2, 3, 16]),
    copies=st.integers(0, 20),
)


def products_of(points: np.ndarray) -> np.ndarray:
    return (points.astype(np.int64) @ points.astype(np.int64).T).astype(np.int64)


@settings(max_examples=150, deadline=None)
@given(points=points_strategy, tile=st.integers(1, 50))
def test_official_equals_the_largest_earlier_product_for_any_tile(points, tile):
    products = products_of(points)
    dots, where = semdedup.nearest_earlier(points, tile=tile)
    assert dots[0] == NO_NEIGHBOUR and where[0] == -1
    for row in range(1, len(points)):
        assert dots[row] == products[row, :row].max()
        assert where[row] == products[row, :row].argmax()


@settings(max_examples=150, deadline=None)
@given(points=points_strategy, tile=st.integers(1, 50), eps=st.sampled_from([0.001, 0.05, 0.5]))
def test_greedy_leaves_every_removed_row_a_kept_neighbour(points, tile, eps):
    threshold = int((1 - eps) * COARSE**2)
    products = products_of(points)
    dots, where = semdedup.greedy(points, threshold, tile=tile)
    survivors: list[int] = []
    for row in range(len(points)):
        near = [products[row, other] for other in survivors]
        assert dots[row] == (max(near) if near else NO_NEIGHBOUR)
        if near:
            assert where[row] == survivors[int(np.argmax(near))]
        if not near or max(near) <= threshold:
            survivors.append(row)


@settings(max_examples=100, deadline=None)
@given(points=points_strategy, tile=st.integers(1, 50), eps=st.sampled_from([0.001, 0.05, 0.5]))
def test_components_keep_the_first_row_of_each(points, tile, eps):
    threshold = int((1 - eps) * COARSE**2)
    linked = products_of(points) > threshold
    reach = linked | np.eye(len(points), dtype=bool)
    for _ in range(len(points)):
        reach = reach | ((reach.astype(int) @ linked.astype(int)) > 0)
    first = [int(np.flatnonzero(row)[0]) for row in reach]
    dots, _ = semdedup.components(points, threshold, tile=tile)
    assert [row for row in range(len(points)) if dots[row] <= threshold] == sorted(set(first))


@settings(max_examples=60, deadline=None)
@given(points=points_strategy)
def test_kept_sets_of_the_rules_are_nested(points):
    official, greedy, components = (set(kept(points, rule=rule, eps=0.1)) for rule in semdedup.RULES)
    assert components <= official <= greedy


def test_full_precision_tells_apart_what_the_coarse_grid_cannot():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 64)) * 1e-4 + rng.normal(size=64)
    fine = quantise(rows).astype(np.float64)
    dots, _ = semdedup.nearest_earlier(fine)
    expected = fine.astype(np.int64) @ fine.astype(np.int64).T
    assert dots[-1] == expected[-1, :-1].max()


def test_rules_other_than_official_need_a_threshold():
    with pytest.raises(ValueError, match="greedy needs a threshold"):
        semdedup.score(at_angles(0, 1), rule="greedy", threshold=None)
    with pytest.raises(ValueError, match="official, greedy, components"):
        semdedup.score(at_angles(0, 1), rule="best", threshold=1)
