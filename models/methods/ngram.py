"""A byte-level n-gram language model in JAX, trained on the spot: what each line of some text costs, in bits.

Bytes need no vocabulary and know no language; counts are whole numbers, so training gives the same model whatever the
number of threads and the order of additions, which gradients would not. Each order is smoothed by the one below
(a Dirichlet prior: MacKay and Peto 1995), counts are kept by hash.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sluice.models.methods.quality import UNITS_PER_BIT

ORDER = 5
BUCKET_BITS = 21
# How many occurrences of a context the order below is worth.
PRIOR = 4.0
NEWLINE = 10
_FACTOR = np.uint32(0x9E3779B1)


def cross_bits(lines: Sequence[bytes]) -> np.ndarray:
    """int64 [lines]: what each costs, UNITS_PER_BIT to a bit, by a model of the other half of the lines.

    Every second line is in the other half. Each line ends with a newline, which counts.
    """
    halves = [list(lines[0::2]), list(lines[1::2])]
    cost = np.zeros(len(lines), np.int64)
    for own in (0, 1):
        if halves[own]:
            cost[own::2] = _line_costs(train=halves[1 - own], lines=halves[own])
    return cost


def _line_costs(*, train: Sequence[bytes], lines: Sequence[bytes]) -> np.ndarray:
    tables = _count(*_windows(train))
    windows, there = _windows(lines)
    units = np.asarray(_costs(tables, windows)).astype(np.int64)[: int(there.sum())]
    ends = np.cumsum([len(line) + 1 for line in lines])
    running = np.r_[0, np.cumsum(units)]
    return running[ends] - running[np.r_[0, ends[:-1]]]


def _windows(lines: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [ORDER, m]: every byte and those before it, newlines before its line; int32 [m]: 1, or 0 of padding).

    m is a power of two, so that few shapes are compiled.
    """
    data = np.frombuffer(b"".join(line + b"\n" for line in lines), np.uint8)
    sizes = np.array([len(line) + 1 for line in lines], np.int64)
    starts = np.cumsum(sizes) - sizes
    offset = np.arange(len(data)) - np.repeat(starts, sizes)
    padded = 1 << max(len(data) - 1, 1023).bit_length()
    windows = np.full((ORDER, padded), NEWLINE, np.uint8)
    for back in range(min(ORDER, len(data))):
        windows[back, back : len(data)] = np.where(offset[back:] >= back, data[: len(data) - back], NEWLINE)
    there = np.zeros(padded, np.int32)
    there[: len(data)] = 1
    return windows, there


def _buckets(windows: jax.Array, order: int) -> tuple[jax.Array, jax.Array]:
    """uint32 [m] each: buckets of a byte with the order - 1 bytes before it, and of those bytes alone."""
    context = jnp.full(windows.shape[1], order, jnp.uint32)
    for back in range(1, order):
        context = (context ^ windows[back].astype(jnp.uint32)) * _FACTOR
        context = context ^ (context >> 15)
    gram = (context + 1 + windows[0].astype(jnp.uint32)) * _FACTOR
    gram = (gram ^ (gram >> 15)) * _FACTOR
    return gram >> (32 - BUCKET_BITS), (context * _FACTOR) >> (32 - BUCKET_BITS)


@jax.jit
def _count(windows: jax.Array, there: jax.Array) -> jax.Array:
    """int32 [ORDER, 2, buckets]: how often grams and their contexts occur."""
    tables = []
    for order in range(1, ORDER + 1):
        for buckets in _buckets(windows, order):
            tables.append(jnp.zeros(1 << BUCKET_BITS, jnp.int32).at[buckets].add(there))
    return jnp.stack(tables).reshape(ORDER, 2, -1)


@jax.jit
def _costs(tables: jax.Array, windows: jax.Array) -> jax.Array:
    """int32 [m]: what each byte costs, rounded to whole units."""
    probability = jnp.full(windows.shape[1], 1 / 256, jnp.float32)
    for order in range(1, ORDER + 1):
        gram, context = _buckets(windows, order)
        seen = tables[order - 1, 0][gram].astype(jnp.float32)
        total = tables[order - 1, 1][context].astype(jnp.float32)
        # Buckets are shared by chance, so a gram can seem more frequent than its context.
        probability = jnp.minimum((seen + PRIOR * probability) / (total + PRIOR), 1.0)
    return jnp.round(-jnp.log2(probability) * UNITS_PER_BIT).astype(jnp.int32)
