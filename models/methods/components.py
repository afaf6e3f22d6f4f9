"""Connected components of a graph given by its edges, as arrays; the name of a component is its smallest vertex."""

import numpy as np


def stars(edges: np.ndarray) -> np.ndarray:
    """uint64 [m, 2] -> uint64 [k, 2]: for each vertex but the smallest of its component, (vertex, smallest), sorted.

    Same components, at most as many edges. Memory is about ten times the edges'.
    """
    edges = edges[edges[:, 0] != edges[:, 1]]
    if not len(edges):
        return np.empty((0, 2), np.uint64)
    vertices, index = np.unique(edges, return_inverse=True)
    index = index.reshape(-1, 2)
    root = np.arange(len(vertices))
    while len(index):
        ends = root[index]
        low, high = ends.min(axis=1), ends.max(axis=1)
        apart = low != high
        index = index[apart]
        # Roots hang themselves below smaller ones; then every vertex is told its root.
        np.minimum.at(root, high[apart], low[apart])
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root = above
    below = np.flatnonzero(root != np.arange(len(root)))
    return np.stack([vertices[below], vertices[root[below]]], axis=1)
