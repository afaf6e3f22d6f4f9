"""Connected components of a graph given by its edges, as arrays; the name of a component is its smallest vertex."""

import numpy as np


def join(names: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The names of all vertices' components when an edge from each of a to that of b is added.

    names: int [n], the smallest vertex of each one's component so far, np.arange(n) without any edge; a, b: int [m].

    >>> join(np.arange(5), np.array([4, 2]), np.array([1, 4]))
    array([0, 1, 1, 3, 1])
    """
    # heavy: half a second, which commands that only read a run would wait for
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    there = np.ones(len(a), bool)
    graph = coo_array((there, (names[a], names[b])), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    # The first vertex of a component is its smallest one.
    _, smallest = np.unique(component, return_index=True)
    return smallest[component[names]]


def stars(edges: np.ndarray) -> np.ndarray:
    """uint64 [m, 2] -> uint64 [k, 2]: for each vertex but the smallest of its component, (vertex, smallest), sorted.

    Same components, at most as many edges. Memory is about ten times the edges'.

    >>> stars(np.array([[9, 7], [3, 9], [5, 5]], np.uint64))
    array([[7, 3],
           [9, 3]], dtype=uint64)
    """
    edges = edges[edges[:, 0] != edges[:, 1]]
    vertices, index = np.unique(edges, return_inverse=True)
    a, b = index.reshape(-1, 2).T
    names = join(np.arange(len(vertices)), a, b)
    others = np.flatnonzero(names != np.arange(len(names)))
    return np.stack([vertices[others], vertices[names[others]]], axis=1)
