"""SemDeDup within one cluster (arXiv 2303.09540): for each document, the most similar one that comes before it.

Members come in their cluster's order. `official` counts every earlier member, as the paper's code does; `greedy` only
earlier members that are kept; `components` keeps the first of every connected component. Products are exact, so tiles
change nothing; ties go to the earliest member.
"""

import functools

import numpy as np

from sluice.models.methods.components import join

# Below every dot product: there is no earlier member, and nothing to remove the document for.
NO_NEIGHBOUR = np.int32(-(2**31))
RULES = ("official", "greedy", "components")
TILE = 512


@functools.cache
def not_earlier(tile: int) -> np.ndarray:
    """bool [tile, tile]: True where the column does not come before the row."""
    return ~np.tri(tile, tile, k=-1, dtype=bool)


def nearest_earlier(points: np.ndarray, *, tile: int = TILE) -> tuple[np.ndarray, np.ndarray]:
    """[s, d] whole numbers -> (dot int32 [s], position int32 [s]) of the most similar earlier row.

    float32 points at the coarse scale, or float64 at the full one. The first row has NO_NEIGHBOUR and position -1.
    """
    size = len(points)
    best = np.full(size, NO_NEIGHBOUR, np.int32)
    where = np.full(size, -1, np.int32)
    for start in range(0, size, tile):
        columns = points[start : start + tile]
        stop = start + len(columns)
        for first in range(0, stop, tile):
            rows = points[first : min(first + tile, stop)]
            products = columns @ rows.T
            if first + len(rows) > start:
                np.copyto(products, -np.inf, where=not_earlier(tile)[: len(columns), : len(rows)])
            index = products.argmax(axis=1)
            values = np.take_along_axis(products, index[:, None], axis=1)[:, 0]
            # Strictly greater: of equals, the earliest stays.
            better = np.isfinite(values) & (values > best[start:stop])
            best[start:stop][better] = values[better].astype(np.int32)
            where[start:stop][better] = index[better] + first
    return best, where


def greedy(points: np.ndarray, threshold: int, *, tile: int = TILE) -> tuple[np.ndarray, np.ndarray]:
    """Like nearest_earlier, but only among earlier rows that are kept: those without one above `threshold`."""
    size = len(points)
    best = np.full(size, NO_NEIGHBOUR, np.int32)
    where = np.full(size, -1, np.int32)
    kept = np.zeros(size, bool)
    for start in range(0, size, tile):
        columns = points[start : start + tile]
        stop = start + len(columns)
        for first in range(0, start, tile):
            earlier = np.flatnonzero(kept[first : first + tile]) + first
            _take_best(columns @ points[earlier].T, earlier, best=best[start:stop], where=where[start:stop])
        products = columns @ columns.T
        for row in range(len(columns)):
            earlier = np.flatnonzero(kept[start : start + row])
            if len(earlier):
                near = products[row, earlier]
                index = int(near.argmax())
                if near[index] > best[start + row]:
                    best[start + row], where[start + row] = int(near[index]), start + earlier[index]
            kept[start + row] = best[start + row] <= threshold
    return best, where


def components(points: np.ndarray, threshold: int, *, tile: int = TILE) -> tuple[np.ndarray, np.ndarray]:
    """For all but the first row of each component of the graph `dot > threshold`: its best neighbour and that dot."""
    size = len(points)
    best = np.full(size, NO_NEIGHBOUR, np.int32)
    where = np.full(size, -1, np.int32)
    names = np.arange(size)
    for start in range(0, size, tile):
        columns = points[start : start + tile]
        stop = start + len(columns)
        for first in range(0, size, tile):
            products = columns @ points[first : first + tile].T
            if first == start:
                np.fill_diagonal(products, -np.inf)
            members = np.arange(first, first + products.shape[1])
            _take_best(products, members, best=best[start:stop], where=where[start:stop])
            # Tile by tile: all edges of a large cluster of copies would not fit into memory.
            row, column = np.nonzero(products > threshold)
            if len(row):
                names = join(names, row + start, column + first)
    is_first = names == np.arange(size)
    best[is_first], where[is_first] = NO_NEIGHBOUR, -1
    return best, where


def _take_best(products: np.ndarray, positions: np.ndarray, *, best: np.ndarray, where: np.ndarray) -> None:
    if not len(positions):
        return
    index = products.argmax(axis=1)
    values = np.take_along_axis(products, index[:, None], axis=1)[:, 0]
    better = np.isfinite(values) & (values > best)
    best[better] = values[better].astype(np.int32)
    where[better] = positions[index[better]]


def score(points: np.ndarray, *, rule: str, threshold: int | None, tile: int = TILE) -> tuple[np.ndarray, np.ndarray]:
    """The scores of one cluster under a rule. Raises ValueError for a rule that needs a threshold and has none."""
    if rule == "official":
        return nearest_earlier(points, tile=tile)
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
    if threshold is None:
        raise ValueError(f"rule {rule} needs a threshold")
    return (greedy if rule == "greedy" else components)(points, threshold, tile=tile)
