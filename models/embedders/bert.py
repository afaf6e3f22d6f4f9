"""The BERT encoder (arXiv:1810.04805) as transformers computes it: MiniLM, BGE, GTE, E5 and their like.

Shapes: B texts, L tokens (padding included), D hidden size, H heads, F feed-forward size.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sluice.models.checkpoints import Weight

TOKENIZER = "wordpiece"
PREFIX = "bert."
HARMLESS = (r"embeddings\.position_ids$", r"pooler\.", r"cls\.")  # not part of the encoder's hidden states

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": lambda x: 0.5 * x * (1.0 + jax.lax.erf(x * 0.5**0.5)),  # jax.nn.gelu's erfc is slower
    "gelu_new": lambda x: jax.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
}


def _norm_layer(epsilon: float, dtype: Any, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon, dtype=dtype, use_fast_variance=False, name=name)


class Attention(nn.Module):
    """Self-attention within each text. [B, L, D] and an additive bias over keys [B, 1, 1, L] -> [B, L, D]."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array) -> jax.Array:
        batch, length, size = hidden.shape
        width = size // self.heads
        joined = nn.Dense(3 * size, dtype=self.dtype, name="query_key_value")(hidden)
        joined = joined.reshape(batch, length, 3, self.heads, width).transpose(2, 0, 3, 1, 4)
        query, key, value = joined  # each [B, H, L, D / H]: heads outside, so that every product is of whole matrices
        scores = jnp.einsum("bhqd,bhkd->bhqk", query * width**-0.5, key).astype(jnp.float32) + bias
        weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
        # softmax's division comes after the product, where there is L / (D / H) times less to divide
        mixed = jnp.einsum("bhqk,bhkd->bhqd", weights.astype(self.dtype), value)
        mixed = (mixed / weights.sum(axis=-1, keepdims=True)).astype(self.dtype)
        return nn.Dense(size, dtype=self.dtype, name="output")(mixed.transpose(0, 2, 1, 3).reshape(batch, length, size))


class Layer(nn.Module):
    """Attention, then feed-forward, each added to its input and normalised after. [B, L, D] -> [B, L, D]."""

    heads: int
    feed_forward: int
    activation: str
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, hidden: jax.Array, bias: jax.Array) -> jax.Array:
        attended = Attention(self.heads, self.dtype, name="attention")(hidden, bias)
        hidden = _norm_layer(self.epsilon, self.dtype, "attention_norm")(hidden + attended)
        wide = nn.Dense(self.feed_forward, dtype=self.dtype, name="wide")(hidden)
        narrow = nn.Dense(hidden.shape[-1], dtype=self.dtype, name="narrow")(ACTIVATIONS[self.activation](wide))
        return _norm_layer(self.epsilon, self.dtype, "norm")(hidden + narrow)


class Encoder(nn.Module):
    """Token ids int32 [B, L] and lengths int32 [B] (valid tokens, from the left) -> hidden states [B, L, D]."""

    vocabulary: int
    positions: int
    types: int
    size: int
    layers: int
    heads: int
    feed_forward: int
    activation: str
    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array, lengths: jax.Array) -> jax.Array:
        length = ids.shape[1]
        words = nn.Embed(self.vocabulary, self.size, dtype=self.dtype, name="words")(ids)
        positions = self.param("positions", nn.initializers.zeros, (self.positions, self.size))
        types = self.param("types", nn.initializers.zeros, (self.types, self.size))
        hidden = words + (positions[:length] + types[0]).astype(self.dtype)
        hidden = _norm_layer(self.epsilon, self.dtype, "norm")(hidden)
        valid = jnp.arange(length)[None, :] < lengths[:, None]
        bias = jnp.where(valid, 0.0, jnp.finfo(jnp.float32).min)[:, None, None, :]
        for i in range(self.layers):
            layer = Layer(self.heads, self.feed_forward, self.activation, self.epsilon, self.dtype, name=f"layer_{i}")
            hidden = layer(hidden, bias)
        return hidden


def encoder(config: Mapping[str, Any], dtype: Any) -> Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and this file lacks."""
    activation = config["hidden_act"]
    if activation not in ACTIVATIONS:
        raise ValueError(f"hidden_act {activation!r} is not supported: use one of {sorted(ACTIVATIONS)}")
    if (position := config.get("position_embedding_type", "absolute")) != "absolute":
        raise ValueError(f"position_embedding_type {position!r} is not supported: only 'absolute'")
    if config.get("is_decoder"):
        raise ValueError("is_decoder is set: this is BERT as an encoder")
    if config["hidden_size"] % config["num_attention_heads"]:
        raise ValueError(f"hidden_size {config['hidden_size']} over {config['num_attention_heads']} heads")
    return Encoder(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        types=config["type_vocab_size"],
        size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        feed_forward=config["intermediate_size"],
        activation=activation,
        epsilon=config["layer_norm_eps"],
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
        **_norm("norm", "embeddings.LayerNorm", size),
    }
    for i in range(config["num_hidden_layers"]):
        here, there = f"layer_{i}", f"encoder.layer.{i}"
        attention = tuple(f"{there}.attention.self.{part}" for part in ("query", "key", "value"))
        found |= _dense(f"{here}/attention/query_key_value", attention, (size, size))
        found |= _dense(f"{here}/attention/output", (f"{there}.attention.output.dense",), (size, size))
        found |= _norm(f"{here}/attention_norm", f"{there}.attention.output.LayerNorm", size)
        found |= _dense(f"{here}/wide", (f"{there}.intermediate.dense",), (wide, size))
        found |= _dense(f"{here}/narrow", (f"{there}.output.dense",), (size, wide))
        found |= _norm(f"{here}/norm", f"{there}.output.LayerNorm", size)
    return found


def _dense(target: str, sources: tuple[str, ...], shape: tuple[int, int]) -> dict[str, Weight]:
    return {
        f"{target}/kernel": Weight(tuple(f"{source}.weight" for source in sources), shape, transpose=True),
        f"{target}/bias": Weight(tuple(f"{source}.bias" for source in sources), shape[:1]),
    }


def _norm(target: str, source: str, size: int) -> dict[str, Weight]:
    return {
        f"{target}/scale": Weight((f"{source}.weight",), (size,)),
        f"{target}/bias": Weight((f"{source}.bias",), (size,)),
    }
