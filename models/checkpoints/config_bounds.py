"""What config.json of a network may say: counts and numbers within bounds, before anything is made out of them.

Bounds lie tens of times above any model there is; what they keep out is a file that takes all memory or all day.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LAYERS, HEADS, WIDTH, TOKENS = 1_000, 4_096, 1 << 20, 1 << 24
# The least and the most of each count, in whichever family it is.
COUNTS = {
    "num_hidden_layers": (1, LAYERS),
    "num_layers": (1, LAYERS),
    "max_window_layers": (0, LAYERS),
    "global_attn_every_n_layers": (1, LAYERS),
    "sliding_window_pattern": (1, LAYERS),
    "num_attention_heads": (1, HEADS),
    "num_key_value_heads": (1, HEADS),
    "num_heads": (1, HEADS),
    "head_dim": (1, WIDTH),
    "d_kv": (1, WIDTH),
    "hidden_size": (1, WIDTH),
    "d_model": (1, WIDTH),
    "word_embed_proj_dim": (1, WIDTH),
    "intermediate_size": (1, WIDTH),
    "d_ff": (1, WIDTH),
    "ffn_dim": (1, WIDTH),
    "vocab_size": (1, TOKENS),
    "max_position_embeddings": (1, TOKENS),
    "type_vocab_size": (1, TOKENS),
    "pad_token_id": (0, TOKENS),
    "sliding_window": (1, TOKENS),
    "local_attention": (1, TOKENS),
    "relative_attention_num_buckets": (4, WIDTH),
    "relative_attention_max_distance": (2, TOKENS),
}
EPSILONS = ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_eps")
POSITIVE = ("query_pre_attn_scalar", "rope_theta", "rope_local_base_freq", "global_rope_theta", "local_rope_theta")


class Config(dict[str, Any]):
    """config.json, whose settings that are wanted and not there, or null, are a ValueError naming the file."""

    def __init__(self, settings: Mapping[str, Any], path: Path | str):
        super().__init__(settings)
        self.path = path

    def __getitem__(self, name: str) -> Any:
        found = self.get(name)
        if found is None:
            raise ValueError(f"{self.path} has no {name}")
        return found


def bounded(settings: Mapping[str, Any], path: Path | str) -> Config:
    """config.json whose numbers are ones. Raises ValueError: MODEL/config.json: num_hidden_layers is 1000000000; ..."""
    for name, (least, most) in COUNTS.items():
        value = settings.get(name)
        # what is null is not said
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise ValueError(f"{path}: {name} is {_short(value)}; it is a whole number from {least:,} to {most:,}")
    for name in EPSILONS:
        _check_number(settings, name, path, most=1.0)
    for name in POSITIVE:
        _check_number(settings, name, path, most=1e15)
    return Config(settings, path)


def _check_number(settings: Mapping[str, Any], name: str, path: Path | str, *, most: float) -> None:
    value = settings.get(name)
    if value is not None and not (type(value) in (int, float) and math.isfinite(value) and 0 < value <= most):
        raise ValueError(f"{path}: {name} is {_short(value)}; it is a number above 0, at most {most:g}")


def _short(value: Any) -> str:
    """Of what a file holds, as much as a line has room for."""
    text = (
        repr(value) if not isinstance(value, int) or abs(value) < 1 << 256 else f"a number of {value.bit_length()} bits"
    )
    return text if len(text) <= 60 else text[:59] + "…"
