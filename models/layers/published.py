"""What published models call settings and weights of blocks.py: checks of config.json, maps of tensors."""

from collections.abc import Mapping
from typing import Any

from sluice.models.checkpoints import Weight
from sluice.models.layers.blocks import ACTIVATIONS


def sliding_layers(config: Mapping[str, Any]) -> list[bool] | None:
    """For each layer, whether layer_types calls it sliding; None without that setting. Raises ValueError otherwise."""
    kinds = config.get("layer_types")
    if kinds is None:
        return None
    if unknown := set(kinds) - {"sliding_attention", "full_attention"}:
        raise ValueError(f"layer_types {sorted(unknown)} are not supported: only full_attention, sliding_attention")
    if len(kinds) != config["num_hidden_layers"]:
        raise ValueError(f"{len(kinds)} layer_types for {config['num_hidden_layers']} layers")
    return [kind == "sliding_attention" for kind in kinds]


def chosen_activation(config: Mapping[str, Any], key: str) -> str:
    """config[key]. Raises ValueError, naming those there are, for an unknown activation."""
    if config[key] not in ACTIVATIONS:
        raise ValueError(f"{key} {config[key]!r} is not supported: use one of {sorted(ACTIVATIONS)}")
    return config[key]


def require(config: Mapping[str, Any], **expected: Any) -> None:
    """Raises ValueError unless each setting that is there, and not null, has the one value that is supported."""
    for key, value in expected.items():
        if (found := config.get(key)) is not None and found != value:
            raise ValueError(f"{key} {found!r} is not supported: only {value!r}")


def head_width(config: Mapping[str, Any], *, size: str = "hidden_size", heads: str = "num_attention_heads") -> int:
    """The hidden size shared out among the heads. Raises ValueError where that leaves a rest."""
    if config[heads] < 1 or config[size] % config[heads]:
        raise ValueError(f"{size} {config[size]} over {config[heads]} heads")
    return config[size] // config[heads]


def head_groups(config: Mapping[str, Any]) -> None:
    """Raises ValueError unless the query heads are shared out among the key heads, each of an even width."""
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    if keys < 1 or heads % keys or config["head_dim"] % 2:
        raise ValueError(f"{heads} heads of width {config['head_dim']} over {keys} num_key_value_heads")


def is_causal(config: Mapping[str, Any]) -> bool:
    """Whether a token sees only what is before it."""
    return bool(config.get("is_causal", True)) and not config.get("use_bidirectional_attention")


def dense(target: str, sources: tuple[str, ...], shape: tuple[int, int], *, bias: bool = True) -> dict[str, Weight]:
    """The weights of a Dense layer from one or several of PyTorch's, each of shape (out, in), joined on the outputs."""
    found = {f"{target}/kernel": Weight(tuple(f"{source}.weight" for source in sources), shape, transpose=True)}
    if bias:
        found[f"{target}/bias"] = Weight(tuple(f"{source}.bias" for source in sources), shape[:1])
    return found


def norm(target: str, source: str, size: int, *, bias: bool = True) -> dict[str, Weight]:
    found = {f"{target}/scale": Weight((f"{source}.weight",), (size,))}
    if bias:
        found[f"{target}/bias"] = Weight((f"{source}.bias",), (size,))
    return found


def grouped_attention(target: str, source: str, config: Mapping[str, Any]) -> dict[str, Weight]:
    """The weights of a GroupedAttention, as Qwen and Gemma name them."""
    size, width, biased = config["hidden_size"], config["head_dim"], bool(config.get("attention_bias", False))
    query, key = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    key_value = (f"{source}.k_proj", f"{source}.v_proj")
    return {
        **dense(f"{target}/query", (f"{source}.q_proj",), (query, size), bias=biased),
        **dense(f"{target}/key_value", key_value, (key, size), bias=biased),
        **dense(f"{target}/output", (f"{source}.o_proj",), (size, query), bias=biased),
        **norm(f"{target}/query_norm", f"{source}.q_norm", width, bias=False),
        **norm(f"{target}/key_norm", f"{source}.k_norm", width, bias=False),
    }


def gated_decoder(config: Mapping[str, Any], norms: Mapping[str, str]) -> dict[str, Weight]:
    """The weights of token rows, layers of GroupedAttention and gated FeedForward, and a last norm, as Qwen and Gemma
    name them; `norms`: the norms of a layer, each with the checkpoint's name for it.
    """
    size, wide = config["hidden_size"], config["intermediate_size"]
    found = {
        "words/embedding": Weight(("embed_tokens.weight",), (config["vocab_size"], size)),
        **norm("last_norm", "norm", size, bias=False),
    }
    for i in range(config["num_hidden_layers"]):
        here, there = f"layer_{i}", f"layers.{i}"
        found |= grouped_attention(f"{here}/attention", f"{there}.self_attn", config)
        up = (f"{there}.mlp.gate_proj", f"{there}.mlp.up_proj")
        found |= dense(f"{here}/feed_forward/wide", up, (wide, size), bias=False)
        found |= dense(f"{here}/feed_forward/narrow", (f"{there}.mlp.down_proj",), (size, wide), bias=False)
        for ours, theirs in norms.items():
            found |= norm(f"{here}/{ours}", f"{there}.{theirs}", size, bias=False)
    return found
