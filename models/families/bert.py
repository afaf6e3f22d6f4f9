"""The BERT encoder (arXiv:1810.04805) as transformers computes it: MiniLM, BGE, GTE, E5 and their like.

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

MODEL_TYPES = ("bert",)
PREFIX = "bert."
HARMLESS = (r"embeddings\.position_ids$", r"pooler\.", r"cls\.")  # not part of the encoder's hidden states
POOLING = "mean"


class Encoder(nn.Module):
    """Token ids int32 [B, L] -> hidden states [B, L, D]. `offset`: the first position's row in the table."""

    vocabulary: int
    positions: int
    types: int
    size: int
    layers: int
    heads: int
    feed_forward: int
    activation: str
    epsilon: float
    offset: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array, layout: Layout) -> jax.Array:
        words = nn.Embed(self.vocabulary, self.size, dtype=self.dtype, name="words")(ids)
        positions = self.param("positions", nn.initializers.zeros, (self.positions, self.size))
        types = self.param("types", nn.initializers.zeros, (self.types, self.size))
        hidden = words + (layout.lookup(positions, offset=self.offset) + types[0]).astype(self.dtype)
        hidden = blocks.layer_norm(self.epsilon, self.dtype, "norm")(hidden)
        bias = layout.bias()
        for i in range(self.layers):
            layer = blocks.PostNormLayer(
                self.heads, self.feed_forward, self.activation, self.epsilon, self.dtype, name=f"layer_{i}"
            )
            hidden = layer(hidden, bias)
        return hidden


def encoder(config: Mapping[str, Any], dtype: Any, *, offset: int = 0) -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    published.require(config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    published.head_width(config)
    return Encoder(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        types=config["type_vocab_size"],
        size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        feed_forward=config["intermediate_size"],
        activation=published.chosen_activation(config, "hidden_act"),
        epsilon=config["layer_norm_eps"],
        offset=offset,
        dtype=dtype,
    )


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest sequence the position embeddings allow, special tokens included."""
    return config["max_position_embeddings"]


def weights(config: Mapping[str, Any]) -> dict[str, Weight]:
    """Where each parameter of `encoder(config)` comes from in a Hugging Face checkpoint."""
    size, wide = config["hidden_size"], config["intermediate_size"]
    found = {
        "words/embedding": Weight(("embeddings.word_embeddings.weight",), (config["vocab_size"], size)),
        "positions": Weight(("embeddings.position_embeddings.weight",), (config["max_position_embeddings"], size)),
        "types": Weight(("embeddings.token_type_embeddings.weight",), (config["type_vocab_size"], size)),
        **published.norm("norm", "embeddings.LayerNorm", size),
    }
    for i in range(config["num_hidden_layers"]):
        here, there = f"layer_{i}", f"encoder.layer.{i}"
        attention = tuple(f"{there}.attention.self.{part}" for part in ("query", "key", "value"))
        found |= published.dense(f"{here}/attention/query_key_value", attention, (size, size))
        found |= published.dense(f"{here}/attention/output", (f"{there}.attention.output.dense",), (size, size))
        found |= published.norm(f"{here}/attention_norm", f"{there}.attention.output.LayerNorm", size)
        found |= published.dense(f"{here}/feed_forward/wide", (f"{there}.intermediate.dense",), (wide, size))
        found |= published.dense(f"{here}/feed_forward/narrow", (f"{there}.output.dense",), (size, wide))
        found |= published.norm(f"{here}/norm", f"{there}.output.LayerNorm", size)
    return found
