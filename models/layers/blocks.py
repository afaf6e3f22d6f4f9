"""What the families of models/families have in common: attention, feed-forward, norms.

Shapes: B rows, L tokens (padding included), D hidden size, H heads of width W, K key heads, F feed-forward size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sluice.models.layers.attention import FAR, attend
from sluice.models.layers.positions import rotate

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": lambda x: 0.5 * x * (1.0 + jax.lax.erf(x * 0.5**0.5)),  # jax.nn.gelu's erfc is slower
    "gelu_new": lambda x: jax.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


@dataclass(frozen=True)
class Layout:
    """Which text each position of a batch belongs to.

    `segments`: int32 [B, L], 0 where there is padding, else the number of the text within its row. `positions`: int32
    [B or 1, L], within the text. A row that is not `packed` holds one text, from its left.
    """

    segments: jax.Array
    positions: jax.Array
    packed: bool

    @classmethod
    def padded(cls, lengths: jax.Array, length: int) -> "Layout":
        """Rows of `length` positions of which the first lengths [B] hold a text."""
        positions = jnp.arange(length, dtype=jnp.int32)[None, :]
        return cls((positions < lengths[:, None]).astype(jnp.int32), positions, packed=False)

    @classmethod
    def of_segments(cls, segments: jax.Array) -> "Layout":
        """Rows of several texts, each on consecutive positions with a number of its own."""
        index = jnp.broadcast_to(jnp.arange(segments.shape[1], dtype=jnp.int32), segments.shape)
        starts = jnp.pad(segments[:, 1:] != segments[:, :-1], ((0, 0), (1, 0)))
        return cls(segments, index - jax.lax.cummax(jnp.where(starts, index, 0), axis=1), packed=True)

    def lookup(self, table: jax.Array, *, offset: int = 0) -> jax.Array:
        """The row of table [P, D] for every position, counted from `offset`: [B or 1, L, D]."""
        if not self.packed:  # a slice, where a gather would be slower
            return table[None, offset : offset + self.segments.shape[1]]
        return table[self.positions + offset]

    def bias(self, *, behind: int | None = None, ahead: int | None = None) -> jax.Array:
        """What to add to the scores: 0 where a query sees a key, FAR elsewhere. float32 [B, 1, L or 1, L].

        A query sees its own text, as many tokens `behind` and `ahead` of itself as given (None: all; ahead 0: causal).
        """
        visible = self.segments[:, None, None, :] > 0
        if self.packed:
            visible &= self.segments[:, None, :, None] == self.segments[:, None, None, :]
        index = jnp.arange(self.segments.shape[1])
        distance = (index[None, :] - index[:, None])[None, None]
        if behind is not None:
            visible &= distance >= -behind
        if ahead is not None:
            visible &= distance <= ahead
        return jnp.where(visible, 0.0, FAR)


class SelfAttention(nn.Module):
    """Attention of equal heads, with or without rotary positions (cosines and sines). [B, L, D] -> [B, L, D]."""

    heads: int
    width: int
    dtype: Any
    biases: bool = True
    scale: float | None = None

    @nn.compact
    def __call__(
        self, hidden: jax.Array, bias: jax.Array, rotation: tuple[jax.Array, jax.Array] | None = None
    ) -> jax.Array:
        batch, length, size = hidden.shape
        inner = self.heads * self.width
        joined = nn.Dense(3 * inner, self.biases, dtype=self.dtype, name="query_key_value")(hidden)
        joined = joined.reshape(batch, length, 3, self.heads, self.width)
        query, key, value = joined[:, :, 0], joined[:, :, 1], joined[:, :, 2]
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        scale = self.width**-0.5 if self.scale is None else self.scale
        mixed = attend(query, key, value, bias, scale=scale).reshape(batch, length, inner)
        return nn.Dense(size, self.biases, dtype=self.dtype, name="output")(mixed)


class GroupedAttention(nn.Module):
    """Rotary attention whose queries and keys are normalised, several query heads to a key head. [B, L, D] -> same."""

    heads: int
    key_heads: int
    width: int
    scale: float
    epsilon: float
    dtype: Any
    biases: bool = False
    one_more: bool = False

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
        batch, length, size = hidden.shape
        query = nn.Dense(self.heads * self.width, self.biases, dtype=self.dtype, name="query")(hidden)
        joined = nn.Dense(2 * self.key_heads * self.width, self.biases, dtype=self.dtype, name="key_value")(hidden)
        joined = joined.reshape(batch, length, 2, self.key_heads, self.width)
        query, key = query.reshape(batch, length, self.heads, self.width), joined[:, :, 0]
        query = RMSNorm(self.epsilon, self.dtype, self.one_more, name="query_norm")(query)
        key = RMSNorm(self.epsilon, self.dtype, self.one_more, name="key_norm")(key)
        query, key = rotate(query, *rotation), rotate(key, *rotation)
        mixed = attend(query, key, joined[:, :, 1], bias, scale=self.scale)
        mixed = mixed.reshape(batch, length, self.heads * self.width)
        return nn.Dense(size, self.biases, dtype=self.dtype, name="output")(mixed)


class FeedForward(nn.Module):
    """Up to F, an activation, down again; `gated`: the activation of one half times the other. [B, L, D] -> same."""

    wide: int
    activation: str
    dtype: Any
    gated: bool = False
    biases: bool = True

    @nn.compact
    def __call__(self, hidden: jax.Array) -> jax.Array:
        columns = 2 * self.wide if self.gated else self.wide
        wide = nn.Dense(columns, self.biases, dtype=self.dtype, name="wide")(hidden)
        activation = ACTIVATIONS[self.activation]
        if self.gated:
            first, second = jnp.split(wide, 2, axis=-1)
            wide = activation(first) * second
        else:
            wide = activation(wide)
        return nn.Dense(hidden.shape[-1], self.biases, dtype=self.dtype, name="narrow")(wide)


class PostNormLayer(nn.Module):
    """BERT's: attention, then feed-forward, each added to its input and normalised after. [B, L, D] -> [B, L, D]."""

    heads: int
    wide: int
    activation: str
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array) -> jax.Array:
        width = hidden.shape[-1] // self.heads
        attended = SelfAttention(self.heads, width, self.dtype, name="attention")(hidden, bias)
        hidden = layer_norm(self.epsilon, self.dtype, "attention_norm")(hidden + attended)
        narrow = FeedForward(self.wide, self.activation, self.dtype, name="feed_forward")(hidden)
        return layer_norm(self.epsilon, self.dtype, "norm")(hidden + narrow)


def layer_norm(epsilon: float, dtype: Any, name: str, *, bias: bool = True) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon, dtype=dtype, use_bias=bias, use_fast_variance=False, name=name)


class RMSNorm(nn.Module):
    """x over its root mean square, in float32, times the scale (`one_more`: 1 + scale, as Gemma stores it)."""

    epsilon: float
    dtype: Any
    one_more: bool = False

    @nn.compact
    def __call__(self, hidden: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.zeros, (hidden.shape[-1],))
        exact = hidden.astype(jnp.float32)
        exact = exact * jax.lax.rsqrt(jnp.mean(exact * exact, axis=-1, keepdims=True) + self.epsilon)
        return (exact * (scale + 1.0 if self.one_more else scale)).astype(self.dtype)
