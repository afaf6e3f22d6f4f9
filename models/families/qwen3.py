"""Qwen3 (arXiv:2505.09388) as an embedder: Qwen3-Embedding (arXiv:2506.05176).

Causal unless config.json says is_causal false or use_bidirectional_attention true.
Shapes: B texts, L tokens (padding included), D hidden size.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sluice.models.checkpoints import Weight
from sluice.models.layers import blocks, positions, published
from sluice.models.layers.blocks import Layout

MODEL_TYPES = ("qwen3",)
PREFIX = "model."
HARMLESS = (r"lm_head\.", r"score\.")
POOLING = "last"
NORMS = {"attention_norm": "input_layernorm", "norm": "post_attention_layernorm"}


class Layer(nn.Module):
    """Attention, then gated feed-forward, each on the normalised input and added to it. [B, L, D] -> [B, L, D]."""

    heads: int
    key_heads: int
    width: int
    wide: int
    activation: str
    epsilon: float
    biases: bool
    dtype: Any

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
        normal = blocks.RMSNorm(self.epsilon, self.dtype, name="attention_norm")(hidden)
        attention = blocks.GroupedAttention(
            self.heads,
            self.key_heads,
            self.width,
            self.width**-0.5,
            self.epsilon,
            self.dtype,
            self.biases,
            name="attention",
        )
        hidden = hidden + attention(normal, bias, rotation)
        normal = blocks.RMSNorm(self.epsilon, self.dtype, name="norm")(hidden)
        feed_forward = blocks.FeedForward(
            self.wide, self.activation, self.dtype, gated=True, biases=False, name="feed_forward"
        )
        return hidden + feed_forward(normal)


class Encoder(nn.Module):
    """Token ids int32 [B, L] -> hidden states [B, L, D]. `windows`: how far back each layer sees, None for all."""

    vocabulary: int
    size: int
    heads: int
    key_heads: int
    width: int
    feed_forward: int
    activation: str
    epsilon: float
    biases: bool
    causal: bool
    rotary: positions.Rotary
    windows: tuple[int | None, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array, layout: Layout) -> jax.Array:
        hidden = nn.Embed(self.vocabulary, self.size, dtype=self.dtype, name="words")(ids)
        rotation = positions.rotation(layout.positions, self.width, self.rotary)
        bias = {reach: layout.bias(behind=reach, ahead=0 if self.causal else reach) for reach in set(self.windows)}
        for i, reach in enumerate(self.windows):
            layer = Layer(
                self.heads,
                self.key_heads,
                self.width,
                self.feed_forward,
                self.activation,
                self.epsilon,
                self.biases,
                self.dtype,
                name=f"layer_{i}",
            )
            hidden = layer(hidden, bias[reach], rotation)
        return blocks.RMSNorm(self.epsilon, self.dtype, name="last_norm")(hidden)


def encoder(config: Mapping[str, Any], dtype: Any) -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    published.head_groups(config)
    return Encoder(
        vocabulary=config["vocab_size"],
        size=config["hidden_size"],
        heads=config["num_attention_heads"],
        key_heads=config["num_key_value_heads"],
        width=config["head_dim"],
        feed_forward=config["intermediate_size"],
        activation=published.chosen_activation(config, "hidden_act"),
        epsilon=config["rms_norm_eps"],
        biases=bool(config.get("attention_bias", False)),
        causal=published.is_causal(config),
        rotary=positions.rotary(config, config.get("rope_theta", 10_000.0)),
        windows=tuple(config["sliding_window"] - 1 if slides else None for slides in _sliding(config)),
        dtype=dtype,
    )


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest sequence the model was made for, special tokens included."""
    return config["max_position_embeddings"]


def weights(config: Mapping[str, Any]) -> dict[str, Weight]:
    """Where each parameter of `encoder(config)` comes from in a Hugging Face checkpoint."""
    return published.gated_decoder(config, NORMS)


def _sliding(config: Mapping[str, Any]) -> list[bool]:
    """For each layer, whether it sees a window only."""
    layer_count = config["num_hidden_layers"]
    if not config.get("use_sliding_window"):
        return [False] * layer_count
    named = published.sliding_layers(config)
    return named if named is not None else [i >= config["max_window_layers"] for i in range(layer_count)]
