"""The encoder of T5 (arXiv:1910.10683): sentence-T5, GTR. No positions but a bias shared by all layers.

Shapes: B texts, L tokens (padding included), D hidden size.
"""

import sys
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sluice.models.checkpoints import Weight
from sluice.models.layers import blocks, positions, published
from sluice.models.layers.blocks import Layout

MODEL_TYPES = ("t5", "mt5")
PREFIX = ""
FLOAT32 = ("words",)
HARMLESS = (r"decoder\.", r"lm_head\.")
ALIASES = {"encoder.embed_tokens.weight": "shared.weight"}  # one table, which a checkpoint names either way or both
POOLING = "mean"


class Layer(nn.Module):
    """Attention without scaling, then feed-forward, each on the normalised input. [B, L, D] -> [B, L, D]."""

    heads: int
    width: int
    wide: int
    activation: str
    gated: bool
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array) -> jax.Array:
        normal = blocks.RMSNorm(self.epsilon, self.dtype, name="attention_norm")(hidden)
        attention = blocks.SelfAttention(self.heads, self.width, self.dtype, biases=False, scale=1.0, name="attention")
        hidden = hidden + attention(normal, bias)
        normal = blocks.RMSNorm(self.epsilon, self.dtype, name="norm")(hidden)
        feed_forward = blocks.FeedForward(
            self.wide, self.activation, self.dtype, gated=self.gated, biases=False, name="feed_forward"
        )
        return hidden + feed_forward(normal)


class Encoder(nn.Module):
    """Token ids int32 [B, L] -> hidden states [B, L, D]."""

    vocabulary: int
    size: int
    layers: int
    heads: int
    width: int
    feed_forward: int
    activation: str
    gated: bool
    buckets: int
    farthest: int
    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array, layout: Layout) -> jax.Array:
        # in float32 whatever the dtype: these sums grow beyond what bfloat16 can tell apart (cosine 0.9987 otherwise)
        hidden = nn.Embed(self.vocabulary, self.size, dtype=jnp.float32, name="words")(ids)
        relative = self.param("relative", nn.initializers.zeros, (self.buckets, self.heads))
        bias = layout.bias() + positions.relative_bias(relative, ids.shape[1], farthest=self.farthest)
        for i in range(self.layers):
            layer = Layer(
                self.heads,
                self.width,
                self.feed_forward,
                self.activation,
                self.gated,
                self.epsilon,
                self.dtype,
                name=f"layer_{i}",
            )
            hidden = layer(hidden, bias)
        return blocks.RMSNorm(self.epsilon, self.dtype, name="last_norm")(hidden)


def encoder(config: Mapping[str, Any], dtype: Any) -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    activation, gated = _feed_forward(config)
    return Encoder(
        vocabulary=config["vocab_size"],
        size=config["d_model"],
        layers=config["num_layers"],
        heads=config["num_heads"],
        width=config["d_kv"],
        feed_forward=config["d_ff"],
        activation=activation,
        gated=gated,
        buckets=config["relative_attention_num_buckets"],
        farthest=config.get("relative_attention_max_distance", 128),
        epsilon=config["layer_norm_epsilon"],
        dtype=dtype,
    )


def max_tokens(config: Mapping[str, Any]) -> int:
    """Relative positions have no end."""
    return sys.maxsize


def weights(config: Mapping[str, Any]) -> dict[str, Weight]:
    """Where each parameter of `encoder(config)` comes from in a Hugging Face checkpoint, of the whole T5 or half."""
    size, wide, inner = config["d_model"], config["d_ff"], config["num_heads"] * config["d_kv"]
    _, gated = _feed_forward(config)
    relative = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    found = {
        "words/embedding": Weight(("shared.weight",), (config["vocab_size"], size)),
        "relative": Weight((relative,), (config["relative_attention_num_buckets"], config["num_heads"])),
        **published.norm("last_norm", "encoder.final_layer_norm", size, bias=False),
    }
    for i in range(config["num_layers"]):
        here, there = f"layer_{i}", f"encoder.block.{i}"
        attention, feed_forward = f"{there}.layer.0.SelfAttention", f"{there}.layer.1.DenseReluDense"
        joined = tuple(f"{attention}.{part}" for part in "qkv")
        found |= published.dense(f"{here}/attention/query_key_value", joined, (inner, size), bias=False)
        found |= published.dense(f"{here}/attention/output", (f"{attention}.o",), (size, inner), bias=False)
        found |= published.norm(f"{here}/attention_norm", f"{there}.layer.0.layer_norm", size, bias=False)
        up = (f"{feed_forward}.wi_0", f"{feed_forward}.wi_1") if gated else (f"{feed_forward}.wi",)
        found |= published.dense(f"{here}/feed_forward/wide", up, (wide, size), bias=False)
        found |= published.dense(f"{here}/feed_forward/narrow", (f"{feed_forward}.wo",), (size, wide), bias=False)
        found |= published.norm(f"{here}/norm", f"{there}.layer.1.layer_norm", size, bias=False)
    return found


def _feed_forward(config: Mapping[str, Any]) -> tuple[str, bool]:
    """The activation and whether it is gated, from feed_forward_proj: relu, gated-gelu and the like."""
    *gated, activation = str(config.get("feed_forward_proj", "relu")).split("-")
    if gated not in ([], ["gated"]) or activation not in blocks.ACTIVATIONS:
        raise ValueError(f"feed_forward_proj {config['feed_forward_proj']!r} is not supported")
    # "gated-gelu" has always meant the approximate one
    return ("gelu_new" if gated and activation == "gelu" else activation), bool(gated)
