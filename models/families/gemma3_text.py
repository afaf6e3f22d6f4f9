"""Gemma 3's text model (arXiv:2503.19786) as an embedder: EmbeddingGemma (arXiv:2509.20354).

Bidirectional where config.json says use_bidirectional_attention, else causal.
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

MODEL_TYPES = ("gemma3_text",)
PREFIX = "model."
HARMLESS = (r"lm_head\.",)
POOLING = "mean"
NORMS = {
    "attention_norm": "input_layernorm",
    "attended_norm": "post_attention_layernorm",
    "norm": "pre_feedforward_layernorm",
    "fed_norm": "post_feedforward_layernorm",
}


class Layer(nn.Module):
    """Attention, then gated feed-forward, each normalised before and after, and added. [B, L, D] -> [B, L, D]."""

    heads: int
    key_heads: int
    width: int
    wide: int
    activation: str
    scale: float
    epsilon: float
    biases: bool
    dtype: Any

    def _norm(self, name: str) -> blocks.RMSNorm:
        return blocks.RMSNorm(self.epsilon, self.dtype, one_more=True, name=name)

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
        attention = blocks.GroupedAttention(
            self.heads,
            self.key_heads,
            self.width,
            self.scale,
            self.epsilon,
            self.dtype,
            self.biases,
            one_more=True,
            name="attention",
        )
        attended = attention(self._norm("attention_norm")(hidden), bias, rotation)
        hidden = hidden + self._norm("attended_norm")(attended)
        feed_forward = blocks.FeedForward(
            self.wide, self.activation, self.dtype, gated=True, biases=False, name="feed_forward"
        )
        return hidden + self._norm("fed_norm")(feed_forward(self._norm("norm")(hidden)))


class Encoder(nn.Module):
    """Token ids int32 [B, L] -> hidden states [B, L, D]. `windows`, `rotaries`: reach and positions of each layer."""

    vocabulary: int
    size: int
    heads: int
    key_heads: int
    width: int
    feed_forward: int
    activation: str
    scale: float
    epsilon: float
    biases: bool
    causal: bool
    windows: tuple[int | None, ...]
    rotaries: tuple[positions.Rotary, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array, layout: Layout) -> jax.Array:
        hidden = nn.Embed(self.vocabulary, self.size, dtype=self.dtype, name="words")(ids)
        hidden = hidden * jnp.asarray(self.size**0.5, self.dtype)
        rotation = {rotary: positions.rotation(layout.positions, self.width, rotary) for rotary in set(self.rotaries)}
        bias = {reach: layout.bias(behind=reach, ahead=0 if self.causal else reach) for reach in set(self.windows)}
        for i, (reach, rotary) in enumerate(zip(self.windows, self.rotaries)):
            layer = Layer(
                self.heads,
                self.key_heads,
                self.width,
                self.feed_forward,
                self.activation,
                self.scale,
                self.epsilon,
                self.biases,
                self.dtype,
                name=f"layer_{i}",
            )
            hidden = layer(hidden, bias[reach], rotation[rotary])
        return blocks.RMSNorm(self.epsilon, self.dtype, one_more=True, name="last_norm")(hidden)


def encoder(config: Mapping[str, Any], dtype: Any) -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    published.head_groups(config)
    if config.get("attn_logit_softcapping") is not None:
        raise ValueError("attn_logit_softcapping is not supported")
    causal = published.is_causal(config)
    window = config["sliding_window"]
    if config.get("use_bidirectional_attention"):
        window = window // 2 + 1  # so transformers reads it: half to either side
    everywhere = positions.rotary(config, config.get("rope_theta", 1_000_000.0), kind="full_attention")
    nearby = positions.rotary(config, config.get("rope_local_base_freq", 10_000.0), kind="sliding_attention")
    sliding = _sliding(config)
    return Encoder(
        vocabulary=config["vocab_size"],
        size=config["hidden_size"],
        heads=config["num_attention_heads"],
        key_heads=config["num_key_value_heads"],
        width=config["head_dim"],
        feed_forward=config["intermediate_size"],
        activation=published.chosen_activation(config, "hidden_activation"),
        scale=config["query_pre_attn_scalar"] ** -0.5,
        epsilon=config["rms_norm_eps"],
        biases=bool(config.get("attention_bias", False)),
        causal=causal,
        windows=tuple(window - 1 if slides else None for slides in sliding),
        rotaries=tuple(nearby if slides else everywhere for slides in sliding),
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
    named = published.sliding_layers(config)
    if named is not None:
        return named
    every = config.get("sliding_window_pattern", 6)
    return [(i + 1) % every != 0 for i in range(config["num_hidden_layers"])]
