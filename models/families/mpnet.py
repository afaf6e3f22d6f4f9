"""MPNet's encoder (arXiv:2004.09297): BERT with relative positions besides, without token types. all-mpnet-base-v2.

Shapes: B texts, L tokens (padding included), D hidden size.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sluice.models.checkpoints import Weight
from sluice.models.layers import blocks, published
from sluice.models.layers.blocks import Layout
from sluice.models.layers.positions import relative_bias

MODEL_TYPES = ("mpnet",)
PREFIX = "mpnet."
HARMLESS = (r"embeddings\.position_ids$", r"pooler\.", r"lm_head\.")
POOLING = "mean"
FARTHEST = 128  # transformers' constant: no setting of config.json
FIRST_POSITION = 2  # likewise: padding id 1, whatever config.json says


class Encoder(nn.Module):
    """Token ids int32 [B, L] -> hidden states [B, L, D]."""

    vocabulary: int
    positions: int
    buckets: int
    size: int
    layers: int
    heads: int
    feed_forward: int
    activation: str
    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array, layout: Layout) -> jax.Array:
        words = nn.Embed(self.vocabulary, self.size, dtype=self.dtype, name="words")(ids)
        positions = self.param("positions", nn.initializers.zeros, (self.positions, self.size))
        relative = self.param("relative", nn.initializers.zeros, (self.buckets, self.heads))
        hidden = words + layout.lookup(positions, offset=FIRST_POSITION).astype(self.dtype)
        hidden = blocks.layer_norm(self.epsilon, self.dtype, "norm")(hidden)
        bias = layout.bias() + relative_bias(relative, ids.shape[1], farthest=FARTHEST)
        for i in range(self.layers):
            layer = blocks.PostNormLayer(
                self.heads, self.feed_forward, self.activation, self.epsilon, self.dtype, name=f"layer_{i}"
            )
            hidden = layer(hidden, bias)
        return hidden


def encoder(config: Mapping[str, Any], dtype: Any) -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    published.head_width(config)
    return Encoder(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        buckets=config["relative_attention_num_buckets"],
        size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        feed_forward=config["intermediate_size"],
        activation=published.chosen_activation(config, "hidden_act"),
        epsilon=config["layer_norm_eps"],
        dtype=dtype,
    )


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest sequence the position embeddings allow, special tokens included."""
    return config["max_position_embeddings"] - FIRST_POSITION


def weights(config: Mapping[str, Any]) -> dict[str, Weight]:
    """Where each parameter of `encoder(config)` comes from in a Hugging Face checkpoint."""
    size, wide = config["hidden_size"], config["intermediate_size"]
    relative = (config["relative_attention_num_buckets"], config["num_attention_heads"])
    found = {
        "words/embedding": Weight(("embeddings.word_embeddings.weight",), (config["vocab_size"], size)),
        "positions": Weight(("embeddings.position_embeddings.weight",), (config["max_position_embeddings"], size)),
        "relative": Weight(("encoder.relative_attention_bias.weight",), relative),
        **published.norm("norm", "embeddings.LayerNorm", size),
    }
    for i in range(config["num_hidden_layers"]):
        here, there = f"layer_{i}", f"encoder.layer.{i}"
        attention = tuple(f"{there}.attention.attn.{part}" for part in "qkv")
        found |= published.dense(f"{here}/attention/query_key_value", attention, (size, size))
        found |= published.dense(f"{here}/attention/output", (f"{there}.attention.attn.o",), (size, size))
        found |= published.norm(f"{here}/attention_norm", f"{there}.attention.LayerNorm", size)
        found |= published.dense(f"{here}/feed_forward/wide", (f"{there}.intermediate.dense",), (wide, size))
        found |= published.dense(f"{here}/feed_forward/narrow", (f"{there}.output.dense",), (size, wide))
        found |= published.norm(f"{here}/norm", f"{there}.output.LayerNorm", size)
    return found
