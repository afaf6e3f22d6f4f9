"""What an embedder's vectors and token counts depend on, read from the model's files without loading its weights."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models import checkpoints, families
from sluice.models.checkpoints import tensors
from sluice.models.checkpoints.files import local_directory
from sluice.models.embedders.chain import read_chain
from sluice.models.embedders.config import EmbedderConfig
from sluice.models.embedders.load import load
from sluice.models.tokenizers import chosen, library

TokenCounter = Callable[[Sequence[str]], np.ndarray]


def network(model: str) -> str:
    """The directory of a model's config.json, weights and vocabulary."""
    directory = local_directory(model)
    # a token table's modules.json says nothing that config.json does not
    return directory if chosen.is_table(directory) else read_chain(directory).network


def check_model(model: str) -> None:
    """Raises ValueError or FileNotFoundError unless a model looks like one that can be loaded."""
    with checkpoints.reading(model):
        directory = network(model)
        if not chosen.is_table(directory):
            families.family(checkpoints.read_config(directory).get("model_type"), directory)
        tensors.weight_files(directory)
        chosen.kind(directory)


def check_options(config: EmbedderConfig) -> None:
    """Raises ValueError for options that the model does not have, as a prompt's name, layers or dimensions."""
    describe(config)


def load_tokenizer(model: str) -> chosen.Tokenizer:
    """The tokenizer of a model: tokenize, count, recipe."""
    with checkpoints.reading(model):
        return chosen.load(network(model))


def token_counter(kind: str, name: str) -> TokenCounter:
    """texts -> int32 [n] tokens of each whole text, without special tokens.

    kind `model`: the tokenizer of a model directory; `tokenizer`: a tokenizer.json file of the tokenizers library.
    """
    if kind == "model":
        return load_tokenizer(name).count
    if kind == "tokenizer":
        return library.from_file(name).count
    raise ValueError(f"tokens are counted by a model or a tokenizer, not by {kind!r}")


@functools.lru_cache(maxsize=8)
def tokenizer_recipe(model: str) -> dict[str, Any]:
    """What decides the token counts of a model: its tokenizer's rules and files."""
    with checkpoints.reading(model):
        directory = network(model)
        module = chosen.kind(directory)
        return {**module.load(directory).recipe(), "digest": checkpoints.digest(directory, module.FILES)}


@functools.lru_cache(maxsize=8)
def describe(config: EmbedderConfig) -> dict[str, Any]:
    """The recipe of the embedder that a configuration loads. Raises as load does."""
    return load(config, weights=False).recipe()


def default_cache() -> str:
    """Where compiled programs are kept between processes: $XDG_CACHE_HOME/sluice/xla."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(root) / "sluice" / "xla")
