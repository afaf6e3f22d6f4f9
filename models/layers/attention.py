"""Attention: written out, or as one kernel of cuDNN's on the GPUs that have it."""

import functools
import logging
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

log = logging.getLogger(__name__)
Kernel = Literal["cudnn", "xla"]
FAR = float(np.finfo(np.float32).min)  # added to the score of a key that a query may not see
# What cuDNN's kernel takes: 16-bit numbers and heads of a multiple of 8, on every GPU that has it at most 128 wide.
WIDTHS, MOST_WIDTH = 8, 128
# How far from the plain computation, of values around 1 in bfloat16, a kernel may be and still be trusted.
TOLERANCE = 0.03


def attend(query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array, *, scale: float) -> jax.Array:
    """softmax(query key^T scale + bias) value, softmax in float32.

    query [B, L, H, W], key and value [B, L, K, W], each key head for H / K consecutive query heads; bias as
    blocks.Layout.bias makes it or [1 or B, H, L, L]; returns [B, L, H, W].
    """
    width = query.shape[-1]
    small = query.dtype in (jnp.bfloat16, jnp.float16) and width % WIDTHS == 0 and width <= MOST_WIDTH
    if small and jax.default_backend() == "gpu" and works("cudnn"):
        return attend_fused(query, key, value, bias, scale=scale, kernel="cudnn")
    return attend_plainly(query, key, value, bias, scale=scale)


def attend_plainly(query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array, *, scale: float) -> jax.Array:
    """attend, step by step. On a CPU faster than jax.nn.dot_product_attention (docs/embedders.md)."""
    batch, length, heads, width = query.shape
    groups = key.shape[2]
    # heads outside, so that every product is of whole matrices; the queries of a group are rows of one matrix
    query = (query * scale).transpose(0, 2, 1, 3).reshape(batch, groups, -1, width)
    key, value = key.transpose(0, 2, 1, 3), value.transpose(0, 2, 1, 3)
    scores = jnp.einsum("bgqw,bgkw->bgqk", query, key, preferred_element_type=jnp.float32)
    scores = scores.reshape(batch, heads, length, length) + bias
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights.astype(value.dtype).reshape(batch, groups, -1, length)
    mixed = jnp.einsum("bgqk,bgkw->bgqw", weights, value).reshape(batch, heads, length, width)
    # softmax's division comes after the product, where there is L / W times less to divide
    return (mixed / total).astype(value.dtype).transpose(0, 2, 1, 3)


def attend_fused(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array, *, scale: float, kernel: Kernel
) -> jax.Array:
    """attend by a kernel of jax.nn.dot_product_attention's."""
    length, least = query.shape[1], 0.7 * float(jnp.finfo(query.dtype).min)
    # cuDNN wants a bias for every pair of positions, in the type of the queries, of which FAR would be infinite.
    bias = jnp.broadcast_to(jnp.maximum(bias, least), (*bias.shape[:2], length, length)).astype(query.dtype)
    return jax.nn.dot_product_attention(query, key, value, bias=bias, scale=scale, implementation=kernel)


@functools.cache
def works(kernel: Kernel) -> bool:
    """Whether a kernel runs here and agrees with attend_plainly; where not, the log says why, once."""
    rng = np.random.default_rng(0)
    with jax.ensure_compile_time_eval():
        query, key, value = (jnp.asarray(rng.standard_normal((2, 64, 4, 64)), jnp.bfloat16) for _ in range(3))
        seen = np.arange(64)[None, :] < np.array([[64], [37]])
        bias = jnp.where(seen[:, None, None, :], 0.0, FAR)
        plain = attend_plainly(query, key, value, bias, scale=0.125).astype(jnp.float32)
        try:
            fused = attend_fused(query, key, value, bias, scale=0.125, kernel=kernel).astype(jnp.float32)
            # numpy's maximum, since that of XLA on CPUs passes over NaN
            difference = float(np.abs(np.asarray(plain) - np.asarray(fused)).max())
        except Exception as error:  # of a driver, a library or a compiler: each raises its own
            log.warning("attention is not fused: %s", error)
            return False
    if not difference <= TOLERANCE:
        log.warning("attention is not fused: %s is off by %.3g", kernel, difference)
        return False
    return True
