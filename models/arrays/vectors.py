"""Unit vectors on an integer grid, so that similarities do not depend on blocking, threads or machines.

A vector is normalised once and stored as int16 at scale FULL. Products use round(q / 8), of norm about COARSE: every
partial sum of such a product stays within 2**24, so one float32 matrix product computes it exactly.
"""

import hashlib

import numpy as np

from sluice.models.arrays.parallel import parallel

FULL = 32512
COARSE = FULL // 8
EXACT_FLOAT32 = 1 << 24
# Rows handled at a time: their float64 copies stay in the cache.
ROWS = 512


def quantise(vectors: np.ndarray) -> np.ndarray:
    """float [n, d] of any length but zero -> int16 [n, d], the unit vectors times FULL.

    Raises ValueError for a zero or non-finite row, naming the first one.
    """
    given = np.asarray(vectors)
    if given.ndim != 2:
        raise ValueError(f"vectors must be a matrix, not of shape {given.shape}")
    stored = np.empty(given.shape, np.int16)

    def fill(start: int) -> None:
        wide = given[start : start + ROWS].astype(np.float64)
        norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
        if len(bad):
            raise ValueError(f"row {start + bad[0]} of {len(given)} is zero or not finite")
        wide *= (FULL / norms)[:, None]
        stored[start : start + ROWS] = np.rint(wide, out=wide)

    for _ in parallel(fill, range(0, len(given), ROWS)):
        pass
    return stored


def coarse(vectors: np.ndarray) -> np.ndarray:
    """int16 [n, d] at scale FULL -> float32 [n, d] of whole numbers at scale COARSE, exact under float32 products.

    Raises ValueError where a row is too long for that (only possible above some 3,000 dimensions).
    """
    points = vectors.astype(np.float32)
    points *= 0.125
    np.rint(points, out=points)
    check_exact(points)
    return points


def check_exact(points: np.ndarray) -> None:
    """Raises ValueError unless every product of two rows is exact in float32."""
    if (COARSE + 0.5625 * np.sqrt(points.shape[1])) ** 2 <= EXACT_FLOAT32:
        return
    longest = float(np.einsum("nd,nd->n", points, points, dtype=np.float64).max(initial=0))
    if longest > EXACT_FLOAT32:
        raise ValueError(f"vectors of {points.shape[1]} dimensions have products beyond exact float32: {longest}")


def normalise_centroids(sums: np.ndarray) -> np.ndarray:
    """float64 or int64 [k, d] -> float32 [k, d] of whole numbers at scale COARSE; zero rows stay zero."""
    wide = sums.astype(np.float64)
    norms = np.sqrt(np.einsum("kd,kd->k", wide, wide))
    scale = np.divide(COARSE, norms, out=np.zeros_like(norms), where=norms > 0)
    centroids = np.rint(wide * scale[:, None]).astype(np.float32)
    check_exact(centroids)
    return centroids


def digests(vectors: np.ndarray) -> np.ndarray:
    """One 16-byte digest for each row (dtype V16), equal exactly where the rows are."""
    rows = np.ascontiguousarray(vectors)
    width = rows.dtype.itemsize * rows.shape[1]
    data = rows.tobytes()
    blake = hashlib.blake2b
    joined = b"".join(
        blake(data[start : start + width], digest_size=16).digest() for start in range(0, len(rows) * width, width)
    )
    return np.frombuffer(joined, dtype="V16")


def scale_for(threshold: float | None) -> int:
    """Thresholds above 0.995 need the stored scale; below it the coarse grid's error (5e-4 at most) does not matter."""
    return FULL if threshold is not None and threshold > 0.995 else COARSE
