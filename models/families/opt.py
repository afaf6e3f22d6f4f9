"""OPT (arXiv:2205.01068), the embedder of D4 (arXiv:2308.12284).

Convention "d4": the last block's output before the final norm, no special tokens, trailing white space cut off; with
the last token's state as the vector this is what D4 clustered. "huggingface": </s> in front, after the final norm.

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

MODEL_TYPES = ("opt",)
PREFIX = "model."
HARMLESS = (r"lm_head\.",)
POOLING = "last"
CONVENTIONS = ("d4", "huggingface")
FIRST_POSITION = 2


class Layer(nn.Module):
    """Attention, then feed-forward, normalised before (`norm_first`) or after. [B, L, D] -> [B, L, D]."""

    heads: int
    wide: int
    activation: str
    norm_first: bool
    dtype: Any

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array) -> jax.Array:
        width = hidden.shape[-1] // self.heads
        attention = blocks.SelfAttention(self.heads, width, self.dtype, name="attention")
        feed_forward = blocks.FeedForward(self.wide, self.activation, self.dtype, name="feed_forward")
        attention_norm = blocks.layer_norm(1e-5, self.dtype, "attention_norm")
        norm = blocks.layer_norm(1e-5, self.dtype, "norm")
        if self.norm_first:
            hidden = hidden + attention(attention_norm(hidden), bias)
            return hidden + feed_forward(norm(hidden))
        hidden = attention_norm(hidden + attention(hidden, bias))
        return norm(hidden + feed_forward(hidden))


class Encoder(nn.Module):
    """Token ids int32 [B, L] -> hidden states [B, L, size]. `narrow`: the width of words and outputs, where not D."""

    vocabulary: int
    positions: int
    hidden_size: int
    narrow: int
    layers: int
    heads: int
    feed_forward: int
    activation: str
    norm_first: bool
    finish: bool
    dtype: Any = jnp.float32

    @property
    def size(self) -> int:
        return self.narrow if self.finish else self.hidden_size

    @nn.compact
    def __call__(self, ids: jax.Array, layout: Layout) -> jax.Array:
        hidden = nn.Embed(self.vocabulary, self.narrow, dtype=self.dtype, name="words")(ids)
        projected = self.narrow != self.hidden_size
        if projected:
            hidden = nn.Dense(self.hidden_size, use_bias=False, dtype=self.dtype, name="project_in")(hidden)
        positions = self.param("positions", nn.initializers.zeros, (self.positions + FIRST_POSITION, self.hidden_size))
        hidden = hidden + layout.lookup(positions, offset=FIRST_POSITION).astype(self.dtype)
        bias = layout.bias(ahead=0)
        for i in range(self.layers):
            layer = Layer(
                self.heads, self.feed_forward, self.activation, self.norm_first, self.dtype, name=f"layer_{i}"
            )
            hidden = layer(hidden, bias)
        if self.finish and self.norm_first:
            hidden = blocks.layer_norm(1e-5, self.dtype, "last_norm")(hidden)
        if self.finish and projected:
            hidden = nn.Dense(self.narrow, use_bias=False, dtype=self.dtype, name="project_out")(hidden)
        return hidden


def encoder(config: Mapping[str, Any], dtype: Any, *, convention: str = "huggingface") -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    published.require(config, enable_bias=True, layer_norm_elementwise_affine=True, _remove_final_layer_norm=False)
    published.head_width(config)
    return Encoder(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        hidden_size=config["hidden_size"],
        narrow=config["word_embed_proj_dim"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        feed_forward=config["ffn_dim"],
        activation=published.chosen_activation(config, "activation_function"),
        norm_first=config["do_layer_norm_before"],
        finish=convention == "huggingface",
        dtype=dtype,
    )


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest sequence the position embeddings allow, special tokens included."""
    return config["max_position_embeddings"]


def weights(config: Mapping[str, Any]) -> dict[str, Weight]:
    """Where each parameter of `encoder(config)` comes from in a Hugging Face checkpoint, under either convention."""
    size, narrow, wide = config["hidden_size"], config["word_embed_proj_dim"], config["ffn_dim"]
    positions = config["max_position_embeddings"] + FIRST_POSITION
    found = {
        "words/embedding": Weight(("decoder.embed_tokens.weight",), (config["vocab_size"], narrow)),
        "positions": Weight(("decoder.embed_positions.weight",), (positions, size)),
    }
    if config["do_layer_norm_before"]:
        found |= published.norm("last_norm", "decoder.final_layer_norm", size)
    if narrow != size:
        found |= published.dense("project_in", ("decoder.project_in",), (size, narrow), bias=False)
        found |= published.dense("project_out", ("decoder.project_out",), (narrow, size), bias=False)
    for i in range(config["num_hidden_layers"]):
        here, there = f"layer_{i}", f"decoder.layers.{i}"
        joined = tuple(f"{there}.self_attn.{part}_proj" for part in "qkv")
        found |= published.dense(f"{here}/attention/query_key_value", joined, (size, size))
        found |= published.dense(f"{here}/attention/output", (f"{there}.self_attn.out_proj",), (size, size))
        found |= published.norm(f"{here}/attention_norm", f"{there}.self_attn_layer_norm", size)
        found |= published.dense(f"{here}/feed_forward/wide", (f"{there}.fc1",), (wide, size))
        found |= published.dense(f"{here}/feed_forward/narrow", (f"{there}.fc2",), (size, wide))
        found |= published.norm(f"{here}/norm", f"{there}.final_layer_norm", size)
    return found
