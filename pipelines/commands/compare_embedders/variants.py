"""Variants of an embedder, to compare with the whole one: options as the command line gives them, or usual ones."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sluice.models.embedders import layer_subset
from sluice.models.embedders.config import DTYPES, EmbedderConfig

SHORTEST = 16  # tokens
NUMBERS = ("max_tokens", "dimensions")
OF_WHOLE = ("prompt", "prompt_name", "convention", "long_documents")
VARIED = ("model", *NUMBERS, "dtype", "layers", "pooling", *OF_WHOLE)


def parse_variant(text: str) -> dict[str, Any]:
    """ "layers=1-8 prompt='passage: '" -> fields of an EmbedderConfig, values as a shell reads them.

    Raises ValueError naming what it cannot read.
    """
    options: dict[str, Any] = {}
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"--variant {text!r}: {error}") from None
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in VARIED:
            raise ValueError(f"--variant {text!r}: {part!r} is not one of {', '.join(VARIED)} with =value")
        if name in NUMBERS and not value.isdigit():
            raise ValueError(f"--variant {text!r}: {name} must be a whole number, not {value!r}")
        options[name] = int(value) if name in NUMBERS else value
    if not options:
        raise ValueError("--variant is empty")
    return options


def variant_of(whole: EmbedderConfig, options: Mapping[str, Any]) -> EmbedderConfig:
    """What a variant loads. Another model has the whole one's max_tokens, and no other option of it."""
    if "model" in options:
        whole = EmbedderConfig(options["model"], whole.max_tokens, cache=whole.cache)
    if options.keys() & {"prompt", "prompt_name"}:  # one takes the place of the other
        whole = replace(whole, prompt=None, prompt_name=None)
    return replace(whole, **options)


def usual_variants(whole: EmbedderConfig, embedder: Any) -> list[dict[str, Any]]:
    """bfloat16, fewer tokens, fewer dimensions."""
    layers = getattr(embedder, "layers", 0)
    dtypes = [name for name in DTYPES if layers and name not in ("auto", whole.dtype)]
    lengths = [whole.max_tokens // part for part in (2, 4) if whole.max_tokens // part >= SHORTEST]
    dimensions = [embedder.dimension // part for part in (2, 4) if embedder.dimension >= 2 * part]
    return [
        *({"dtype": name} for name in dtypes),
        *({"max_tokens": tokens} for tokens in lengths),
        *({"dimensions": dimension} for dimension in dimensions),
    ]


def least_blocks(embedder: Any, texts: Sequence[str], drop: Sequence[int] | None) -> Iterator[dict[str, Any]]:
    """For each number of layers to drop, the block that changes the direction of its input least."""
    layers = getattr(embedder, "layers", 0)
    if drop is None:
        drop = sorted({count for part in (6, 3, 2) if 1 <= (count := layers // part) < layers})
    if not drop:
        return
    angles = embedder.layer_angles(texts)
    for count in drop:
        first = layer_subset.choose_block(angles, count)
        kept = [layer for layer in range(layers) if not first <= layer < first + count]
        yield {
            "drop": count,
            "first": first + 1,
            "last": first + count,
            "of": layers,
            "angle": float(angles[first, first + count]),
            "layers": layer_subset.shown_layers(kept),
        }
