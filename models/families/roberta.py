"""RoBERTa (arXiv:1907.11692) and XLM-R (arXiv:1911.02116): BERT whose positions are counted from the padding id.

multilingual-E5, all-distilroberta's teachers, BGE-M3's dense vectors.
"""

from collections.abc import Mapping
from typing import Any

from sluice.models.checkpoints import Weight
from sluice.models.families import bert

MODEL_TYPES = ("roberta", "xlm-roberta", "camembert")
PREFIX = "roberta."
HARMLESS = (r"embeddings\.position_ids$", r"pooler\.", r"lm_head\.")
POOLING = "mean"


def _offset(config: Mapping[str, Any]) -> int:
    return config["pad_token_id"] + 1


def encoder(config: Mapping[str, Any], dtype: Any) -> bert.Encoder:
    """The module that config.json describes. Raises ValueError naming what it asks for and is not supported."""
    return bert.encoder(config, dtype, offset=_offset(config))


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest sequence the position embeddings allow, special tokens included."""
    return config["max_position_embeddings"] - _offset(config)


def weights(config: Mapping[str, Any]) -> dict[str, Weight]:
    """Where each parameter comes from: the names are BERT's."""
    return bert.weights(config)
