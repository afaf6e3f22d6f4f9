"""Lengths in bins of equal ratio, by whole-number arithmetic alone."""

import numpy as np

# Bins for every doubling: neighbours differ by an eighth at most.
STEPS = 8


def length_bins(lengths: np.ndarray) -> np.ndarray:
    """Lengths [n] >= 0 -> int64 [n]: below 16 the length itself, then eight equal bins for every doubling."""
    whole = np.asarray(lengths, np.int64)
    exponent = np.zeros(len(whole), np.int64)
    for shift in (32, 16, 8, 4, 2, 1):
        larger = (whole >> exponent) >> shift > 0
        exponent[larger] += shift
    extra = np.maximum(exponent - 3, 0)
    return STEPS * extra + (whole >> extra)
