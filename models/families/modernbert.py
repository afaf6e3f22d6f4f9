"""ModernBERT (arXiv:2412.13663): rotary positions, most layers see a window only. gte-modernbert, modernbert-embed.

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

MODEL_TYPES = ("modernbert",)
PREFIX = "model."
HARMLESS = (r"head\.", r"decoder\.", r"classifier\.")
POOLING = "mean"


class Layer(nn.Module):
    """Attention and a gated feed-forward, each on the normalised input and added to it. [B, L, D] -> [B, L, D]."""

    heads: int
    wide: int
    activation: str
    epsilon: float
    biases: tuple[bool, bool, bool]
    first: bool
    dtype: Any

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
        attention_bias, wide_bias, norm_bias = self.biases
        width = hidden.shape[-1] // self.heads
        attention = blocks.SelfAttention(self.heads, width, self.dtype, attention_bias, name="attention")
        # the embeddings' norm does for the first layer
        norm = blocks.layer_norm(self.epsilon, self.dtype, "attention_norm", bias=norm_bias)
        hidden = hidden + attention(hidden if self.first else norm(hidden), bias, rotation)
        norm = blocks.layer_norm(self.epsilon, self.dtype, "norm", bias=norm_bias)
        feed_forward = blocks.FeedForward(
            self.wide, self.activation, self.dtype, gated=True, biases=wide_bias, name="feed_forward"
        )
        return hidden + feed_forward(norm(hidden))


class Encoder(nn.Module):
    """Token ids int32 [B, L] -> hidden states [B, L, D]. `windows`, `rotaries`: reach and positions of each layer."""

    vocabulary: int
    size: int
    heads: int
    feed_forward: int
    activation: str
    epsilon: float
    windows: tuple[int | None, ...]
    rotaries: tuple[positions.Rotary, ...]
    biases: tuple[bool, bool, bool]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array, layout: Layout) -> jax.Array:
        hidden = nn.Embed(self.vocabulary, self.size, dtype=self.dtype, name="words")(ids)
        hidden = blocks.layer_norm(self.epsilon, self.dtype, "norm", bias=self.biases[2])(hidden)
        bias = {reach: layout.bias(behind=reach, ahead=reach) for reach in set(self.windows)}
        width = self.size // self.heads
        rotation = {rotary: positions.rotation(layout.positions, width, rotary) for rotary in set(self.rotaries)}
        for i, (reach, rotary) in enumerate(zip(self.windows, self.rotaries)):
            layer = Layer(
                self.heads,
                self.feed_forward,
                self.activation,
                self.epsilon,
                self.biases,
                i == 0,
                self.dtype,
                name=f"layer_{i}",
            )
            hidden = layer(hidden, bias[reach], rotation[rotary])
        return blocks.layer_norm(self.epsilon, self.dtype, "last_norm", bias=self.biases[2])(hidden)


def encoder(config: Mapping[str, Any], dtype: Any) -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    published.head_width(config)
    sliding = _sliding(config)
    everywhere = positions.rotary(config, config.get("global_rope_theta", 160_000.0), kind="full_attention")
    nearby = positions.rotary(config, config.get("local_rope_theta", 10_000.0), kind="sliding_attention")
    return Encoder(
        vocabulary=config["vocab_size"],
        size=config["hidden_size"],
        heads=config["num_attention_heads"],
        feed_forward=config["intermediate_size"],
        activation=published.chosen_activation(config, "hidden_activation"),
        epsilon=config["norm_eps"],
        windows=tuple(config["local_attention"] // 2 if slides else None for slides in sliding),
        rotaries=tuple(nearby if slides else everywhere for slides in sliding),
        biases=_biases(config),
        dtype=dtype,
    )


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest sequence the model was made for, special tokens included."""
    return config["max_position_embeddings"]


def weights(config: Mapping[str, Any]) -> dict[str, Weight]:
    """Where each parameter of `encoder(config)` comes from in a Hugging Face checkpoint."""
    size, wide = config["hidden_size"], config["intermediate_size"]
    attention_bias, wide_bias, norm_bias = _biases(config)
    found = {
        "words/embedding": Weight(("embeddings.tok_embeddings.weight",), (config["vocab_size"], size)),
        **published.norm("norm", "embeddings.norm", size, bias=norm_bias),
        **published.norm("last_norm", "final_norm", size, bias=norm_bias),
    }
    for i in range(config["num_hidden_layers"]):
        here, there = f"layer_{i}", f"layers.{i}"
        attention = f"{here}/attention"
        found |= published.dense(
            f"{attention}/query_key_value", (f"{there}.attn.Wqkv",), (3 * size, size), bias=attention_bias
        )
        found |= published.dense(f"{attention}/output", (f"{there}.attn.Wo",), (size, size), bias=attention_bias)
        if i > 0:
            found |= published.norm(f"{here}/attention_norm", f"{there}.attn_norm", size, bias=norm_bias)
        found |= published.dense(f"{here}/feed_forward/wide", (f"{there}.mlp.Wi",), (2 * wide, size), bias=wide_bias)
        found |= published.dense(f"{here}/feed_forward/narrow", (f"{there}.mlp.Wo",), (size, wide), bias=wide_bias)
        found |= published.norm(f"{here}/norm", f"{there}.mlp_norm", size, bias=norm_bias)
    return found


def _biases(config: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    """Whether attention, feed-forward and norms have biases."""
    return tuple(bool(config.get(key, False)) for key in ("attention_bias", "mlp_bias", "norm_bias"))  # type: ignore


def _sliding(config: Mapping[str, Any]) -> list[bool]:
    """For each layer, whether it sees a window only."""
    named = published.sliding_layers(config)
    if named is not None:
        return named
    return [i % config["global_attn_every_n_layers"] != 0 for i in range(config["num_hidden_layers"])]
