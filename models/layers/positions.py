"""Positions of tokens: rotary ones, turned into queries and keys, and T5's relative ones, added to the scores.

Shapes: B rows, L tokens (padding included), H heads of width W.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Rotary(NamedTuple):
    """Rotary positions (arXiv:2104.09864): the base of their wave lengths, and how many times they are stretched."""

    base: float
    factor: float = 1.0


def rotation(positions: jax.Array, width: int, rotary: Rotary) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines float32 [B or 1, L, 1, W / 2] for positions [B or 1, L]."""
    frequencies = 1.0 / rotary.base ** (np.arange(0, width, 2, dtype=np.float32) / width) / rotary.factor
    angles = positions[:, :, None, None].astype(jnp.float32) * frequencies.astype(np.float32)
    return jnp.cos(angles), jnp.sin(angles)


def rotate(heads: jax.Array, cosines: jax.Array, sines: jax.Array) -> jax.Array:
    """[B, L, H, W] with component i turned together with component i + W / 2."""
    first, second = jnp.split(heads.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cosines - second * sines, second * cosines + first * sines], axis=-1)
    return turned.astype(heads.dtype)


def relative_buckets(distances: np.ndarray, *, buckets: int, farthest: int) -> np.ndarray:
    """int32, as many: T5's bucket of key minus query position, both directions (arXiv:1910.10683)."""
    if buckets < 4:
        raise ValueError(f"relative positions need at least 4 buckets, not {buckets}")
    half = buckets // 2
    exact = half // 2
    apart = np.abs(distances)
    # float32 as the reference has it: where the logarithm is a whole number, rounding decides the bucket
    ratio = np.maximum(apart, 1).astype(np.float32) / np.float32(exact)
    growth = np.log(ratio) / np.float32(np.log(farthest / exact)) * np.float32(half - exact)
    bucket = np.where(apart < exact, apart, np.minimum(exact + growth.astype(np.int32), half - 1))
    return (bucket + np.where(distances > 0, half, 0)).astype(np.int32)


def relative_bias(table: jax.Array, length: int, *, farthest: int) -> jax.Array:
    """float32 [1, H, L, L] from one learned value per bucket and head, [buckets, H]."""
    distances = np.arange(1 - length, length)
    by_distance = table.astype(jnp.float32)[relative_buckets(distances, buckets=table.shape[0], farthest=farthest)]
    index = jnp.arange(length)
    return by_distance[index[None, :] - index[:, None] + length - 1].transpose(2, 0, 1)[None]


def rotary(config: Mapping[str, Any], base: float, *, kind: str | None = None) -> Rotary:
    """What config.json says of rotary positions, for one kind of layer where it tells them apart.

    Both of transformers' spellings: rope_parameters, and rope_theta with rope_scaling (not for sliding layers) before
    it; `base` where neither has one. Raises ValueError for scalings other than linear, and for rope_parameters that
    tell kinds of layers apart where the model does not, or the reverse.
    """
    settings = config.get("rope_parameters") or {}
    if settings and (kind is not None) != all(isinstance(value, dict) for value in settings.values()):
        raise ValueError(f"rope_parameters {settings}: expected {'some for each kind of layer' if kind else 'one set'}")
    settings = dict((settings.get(kind) if kind else settings) or {})
    if kind != "sliding_attention":
        settings |= config.get("rope_scaling") or {}
    found = settings.get("rope_type", settings.get("type", "default"))
    if found not in ("default", "linear"):
        raise ValueError(f"rope_type {found!r} is not supported: only 'default' and 'linear'")
    return Rotary(float(settings.get("rope_theta", base)), float(settings["factor"]) if found == "linear" else 1.0)
