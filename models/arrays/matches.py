"""The most similar of a set of other vectors, for each of some."""

import numpy as np

ROWS, COLUMNS = 512, 4096


def best_match(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n, d], [m, d] whole numbers, m >= 1 -> (dot int32 [n], position int64 [n]) of the largest product.

    float32 at the coarse scale or float64 at the full one, so products are exact; of equals, the first one.
    """
    best = np.full(len(points), np.iinfo(np.int32).min, np.int32)
    where = np.zeros(len(points), np.int64)
    for start in range(0, len(points), ROWS):
        rows = slice(start, start + ROWS)
        for first in range(0, len(others), COLUMNS):
            products = points[rows] @ others[first : first + COLUMNS].T
            index = products.argmax(axis=1)
            values = np.take_along_axis(products, index[:, None], axis=1)[:, 0].astype(np.int32)
            better = values > best[rows]
            best[rows][better] = values[better]
            where[rows][better] = index[better] + first
    return best, where


def above(points: np.ndarray, others: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs whose product is above `limit`: (row int64, column int64, dot int64), by row and column."""
    found = [np.empty((3, 0), np.int64)]
    for start in range(0, len(points), ROWS):
        for first in range(0, len(others), COLUMNS):
            products = points[start : start + ROWS] @ others[first : first + COLUMNS].T
            row, column = np.nonzero(products > limit)
            found.append(np.stack([row + start, column + first, products[row, column].astype(np.int64)]))
    pairs = np.concatenate(found, axis=1)
    row, column, dot = pairs[:, np.lexsort([pairs[1], pairs[0]])]
    return row, column, dot
