"""Long texts in overlapping windows, and the mean of their vectors."""

import numpy as np

# Of a window, what the next one repeats: a sentence cut by one is whole in the other.
OVERLAP = 8


def split(tokens: int, room: int) -> list[tuple[int, int]]:
    """Windows (start, stop) of at most `room` tokens over a text of so many, each beginning room / 8 before the last
    one's end; together they hold every token. A text that fits, an empty one too, is one window.

    Raises ValueError for a room of no tokens.
    """
    if room < 1:
        raise ValueError(f"a window must hold at least one token, not {room}")
    stride = room - room // OVERLAP
    more = max(0, -(-(tokens - room) // stride))
    return [(i * stride, min(i * stride + room, tokens)) for i in range(more + 1)]


def normalise(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [n, d] -> float32 unit vectors [n, d], and bool [n]: whether there is one; the others are zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", sums, sums))
    # A vector of float32 that was normalised, or a mean of such, is never this short unless it is nothing.
    valid = np.isfinite(norms) & (norms > 1e-6)
    found = np.zeros(sums.shape, np.float32)
    found[valid] = sums[valid] / norms[valid, None]
    return found, valid
