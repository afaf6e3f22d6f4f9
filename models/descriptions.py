"""What an embedder's vectors and token counts depend on, told from the model's files without loading its weights."""

import functools
import importlib
import os
from pathlib import Path
from typing import Any

from sluice.models import checkpoints, embedder


def _family(directory: str) -> Any:
    return embedder.family(checkpoints.read_config(directory).get("model_type"))


def check_model(directory: str) -> None:
    """Raises ValueError or FileNotFoundError unless a directory looks like a model that can be loaded."""
    _family(directory)
    weights = Path(directory) / checkpoints.WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f"{directory} is not a model directory: it has no {checkpoints.WEIGHTS}")


def load_tokenizer(directory: str) -> Any:
    """The tokenizer of a model directory: tokenize, count, recipe."""
    return importlib.import_module(f"sluice.models.tokenizers.{_family(directory).TOKENIZER}").load(directory)


@functools.lru_cache(maxsize=8)
def tokenizer_recipe(directory: str) -> dict[str, Any]:
    """What decides the token counts of a model directory: its tokenizer's rules and files."""
    module = importlib.import_module(f"sluice.models.tokenizers.{_family(directory).TOKENIZER}")
    return {**load_tokenizer(directory).recipe(), "digest": checkpoints.digest(directory, module.FILES)}


@functools.lru_cache(maxsize=8)
def describe(config: embedder.EmbedderConfig) -> dict[str, Any]:
    """The recipe of the embedder that a configuration loads."""
    return embedder.Embedder(config, weights=False).recipe()


def default_cache() -> str:
    """Where compiled programs are kept between processes: $XDG_CACHE_HOME/sluice/xla."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(root) / "sluice" / "xla")
