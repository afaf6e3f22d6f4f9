"""Counting tokens for budgets: with an embedder's own tokenizer, or any tokenizer.json."""

from collections.abc import Callable, Sequence

import numpy as np

TokenCounter = Callable[[Sequence[str]], np.ndarray]


def token_counter(kind: str, name: str) -> TokenCounter:
    """texts -> int32 [n] tokens of each whole text, without special tokens.

    kind `model`: the tokenizer of a model directory; `tokenizer`: a tokenizer.json file of the tokenizers library.
    """
    if kind == "model":
        from sluice.models.embedders.describe import load_tokenizer

        return load_tokenizer(name).count
    if kind == "tokenizer":
        from sluice.models.tokenizers.library import from_file

        return from_file(name).count
    raise ValueError(f"tokens are counted by a model or a tokenizer, not by {kind!r}")
