"""The one heavy operation: for each point, the centroid or other point with the largest dot product.

All operands are whole numbers whose products float32 holds exactly (vectors.py), so every engine gives the same bits
and the fastest one at hand may be used: JAX on an accelerator, TensorFlow's oneDNN on CPUs with AVX-512 (measured at
twice NumPy there), NumPy elsewhere (measured level with both on AVX2).
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sluice.models.arrays import device
from sluice.models.arrays.parallel import parallel

BLOCK = 4096
# A tile of products of two sets of points: 8 MB of float32.
ROWS, COLUMNS = 512, 4096
Nearest = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def nearest(points: np.ndarray, centroids: np.ndarray, *, engine: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, d], float32 [k, d] -> (index int32 [n], dot int32 [n]) of the largest product; ties: lowest index."""
    if not len(centroids):
        raise ValueError("there are no centroids")
    engine = engine or default_engine()
    compute = ENGINES[engine](centroids)
    index = np.empty(len(points), np.int32)
    dots = np.empty(len(points), np.int32)
    # A block's products should stay near the cache's size, whatever the number of centroids.
    block = int(np.clip((1 << 21) // len(centroids), 256, BLOCK))

    def fill(start: int) -> None:
        rows = slice(start, start + block)
        index[rows], dots[rows] = compute(points[rows])

    starts = range(0, len(points), block)
    # The other engines have threads of their own.
    for _ in parallel(fill, starts) if engine == "numpy" else map(fill, starts):
        pass
    return index, dots


@functools.cache
def default_engine() -> str:
    """`jax` where JAX has an accelerator, `tensorflow` on AVX-512 CPUs, else `numpy`."""
    try:
        if not device.on_cpu():
            return "jax"
    except (ImportError, RuntimeError):
        pass
    try:
        flags = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return "numpy"
    return "tensorflow" if "avx512f" in flags else "numpy"


def _numpy(centroids: np.ndarray) -> Callable:
    transposed = np.ascontiguousarray(centroids.T)

    def compute(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        products = points @ transposed
        index = products.argmax(axis=1)
        return index, np.take_along_axis(products, index[:, None], axis=1)[:, 0]

    return compute


def _tensorflow(centroids: np.ndarray) -> Callable:
    import tensorflow as tf

    constant = tf.constant(centroids)

    def compute(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        products = tf.matmul(tf.constant(points), constant, transpose_b=True)
        index = tf.argmax(products, axis=1, output_type=tf.int32)
        return index.numpy(), tf.reduce_max(products, axis=1).numpy()

    return compute


@functools.cache
def _jax_kernel() -> Callable:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def kernel(points, centroids):
        products = jnp.matmul(points, centroids.T, precision=jax.lax.Precision.HIGHEST)
        best = products.max(axis=1)
        # XLA's CPU argmax is slow; the smallest index that reaches the maximum is the same thing.
        indices = jax.lax.broadcasted_iota(jnp.int32, products.shape, 1)
        return jnp.where(products == best[:, None], indices, products.shape[1]).min(axis=1), best

    return kernel


def _jax(centroids: np.ndarray) -> Callable:
    import jax

    kernel = _jax_kernel()
    constant = jax.device_put(centroids)

    def compute(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = np.zeros((_padded(len(points)), points.shape[1]), np.float32)
        padded[: len(points)] = points
        index, best = kernel(padded, constant)
        return np.asarray(index)[: len(points)], np.asarray(best)[: len(points)]

    return compute


def _padded(rows: int) -> int:
    """The next power of two: few shapes, few compilations."""
    return 1 << max(rows - 1, 0).bit_length()


ENGINES: dict[str, Callable] = {"numpy": _numpy, "tensorflow": _tensorflow, "jax": _jax}


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
