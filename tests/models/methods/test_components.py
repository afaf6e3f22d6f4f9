"""Connected components: by one worker, and by rounds of stars, against a search through the graph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.methods.components import stars
from sluice.transforms.minhash.components import large_star, small_star
from sluice.transforms.minhash.edges import unique_edges

EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40)


def array(edges: list[tuple[int, int]]) -> np.ndarray:
    return np.array(edges, np.uint64).reshape(-1, 2)


def smallest_reachable(edges: list[tuple[int, int]]) -> list[list[int]]:
    """(vertex, smallest vertex that paths lead to) for every vertex that is not that one itself."""
    neighbours: dict[int, set[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    found = []
    for vertex in sorted(neighbours):
        seen, ahead = {vertex}, [vertex]
        while ahead:
            for other in neighbours[ahead.pop()] - seen:
                seen.add(other)
                ahead.append(other)
        if min(seen) != vertex:
            found.append([vertex, min(seen)])
    return found


@given(edges=EDGES)
def test_stars_name_the_smallest_vertex_of_each_component(edges: list[tuple[int, int]]) -> None:
    assert stars(array(edges)).tolist() == smallest_reachable(edges)


def test_a_long_chain_in_any_order_is_one_component() -> None:
    chain = np.stack([np.arange(20_000), np.arange(1, 20_001)], axis=1)
    found = stars(np.random.default_rng(0).permutation(chain).astype(np.uint64))
    assert found.tolist() == [[vertex, 0] for vertex in range(1, 20_001)]


def in_blocks(edges: np.ndarray) -> list[np.ndarray]:
    return [block for block in np.array_split(edges, 3) if len(block)]


def one_round(edges: np.ndarray) -> np.ndarray:
    both = in_blocks(np.concatenate([edges, edges[:, ::-1]]))
    larger = np.concatenate([np.empty((0, 2), np.uint64), *large_star(both)])
    found = np.concatenate([np.empty((0, 2), np.uint64), *small_star(in_blocks(larger))])
    return unique_edges(found)


def rounds(edges: np.ndarray) -> tuple[np.ndarray, int]:
    for number in range(1, 100):
        shorter = one_round(edges)
        if np.array_equal(shorter, edges):
            return edges, number
        edges = shorter
    raise AssertionError("no end after 99 rounds")


@given(edges=EDGES)
@settings(deadline=None)
def test_rounds_of_stars_end_at_the_same_components(edges: list[tuple[int, int]]) -> None:
    loops = [edge for edge in edges if edge[0] != edge[1]]
    assert rounds(array(loops))[0].tolist() == smallest_reachable(loops)


def test_the_rounds_grow_with_the_logarithm_of_a_chain() -> None:
    order = np.random.default_rng(0).permutation(3000)
    chain = np.stack([order[:-1], order[1:]], axis=1).astype(np.uint64)
    found, number = rounds(chain)
    assert (found[:, 1] == 0).all() and len(found) == 2999
    assert number < 14
