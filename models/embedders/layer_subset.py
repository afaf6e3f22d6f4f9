"""Embedders without some of their deeper layers, and which block of layers is the one to drop.

"The Unreasonable Ineffectiveness of the Deeper Layers" (arXiv:2403.17887): the states that enter a layer are compared
with those that leave a later one; where they point almost the same way, the layers between did little.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sluice.models.checkpoints import Weight

LAYER = re.compile(r"layer_(\d+)/")
RANGE = re.compile(r"(\d+)(?:-(\d+))?")
# What a family's module says of every layer: how many there are, or one value each.
PER_LAYER = ("windows", "rotaries")


def parse_layers(text: str | int) -> list[tuple[int, int]]:
    """ "8" (the first 8) or "1-6,10-12" -> the layers to keep as ranges, first and last, counted from 1.

    Raises ValueError for anything else: they ascend, and the first layer is always kept.
    """
    parts = [RANGE.fullmatch(part.strip()) for part in str(text).split(",")]
    ranges = [(int(part[1]), int(part[2] or part[1])) for part in parts if part]
    if len(ranges) == 1 and parts[0] and parts[0][2] is None:
        ranges = [(1, ranges[0][1])]
    flat = [number for pair in ranges for number in pair]
    ascending = all(low <= high for low, high in ranges) and all(
        before[1] < after[0] for before, after in itertools.pairwise(ranges)
    )
    if len(ranges) < len(parts) or not ascending or flat[0] != 1:
        raise ValueError(
            f"layers must be a number of layers, or ascending ranges that begin at 1, as 1-6,10-12; got {text!r}"
        )
    return ranges


def kept_layers(text: str | int, layers: int) -> list[int]:
    """The layers to keep of so many, counted from 0. Raises ValueError for layers that the model does not have."""
    ranges = parse_layers(text)
    if not layers:
        raise ValueError(f"layers {text!r}: this kind of model has no layers to choose from")
    if ranges[-1][1] > layers:
        raise ValueError(f"layers {text!r}: the model has {layers}")
    return [number - 1 for first, last in ranges for number in range(first, last + 1)]


def shown_layers(kept: Sequence[int]) -> str:
    """What parse_layers reads: layers counted from 0 -> "1-6,10-12"."""
    starts = [i for i in range(len(kept)) if i == 0 or kept[i] != kept[i - 1] + 1]
    stops = [*(start - 1 for start in starts[1:]), len(kept) - 1]
    return ",".join(f"{kept[start] + 1}-{kept[stop] + 1}" for start, stop in zip(starts, stops))


def find_layers(weights: Mapping[str, Weight]) -> int:
    """How many layers a family's weights are for."""
    return len({match[1] for name in weights if (match := LAYER.match(name))})


def subset_module(module: Any, kept: Sequence[int]) -> Any:
    """A family's Flax module with only those layers, each as it was: its window and rotary positions stay."""
    changes: dict[str, Any] = {
        name: tuple(getattr(module, name)[i] for i in kept) for name in PER_LAYER if hasattr(module, name)
    }
    if hasattr(module, "layers"):
        changes["layers"] = len(kept)
    if not changes:
        raise ValueError(f"{type(module).__module__} does not say where its layers are")
    return module.clone(**changes)


def subset_weights(weights: Mapping[str, Weight], kept: Sequence[int]) -> tuple[dict[str, Weight], list[str]]:
    """The weights of those layers under their new numbers, and patterns of the tensors that are not needed any more."""
    place = {number: i for i, number in enumerate(kept)}
    found: dict[str, Weight] = {}
    dropped: set[str] = set()
    for name, weight in weights.items():
        match = LAYER.match(name)
        if match is None:
            found[name] = weight
        elif int(match[1]) in place:
            found[f"layer_{place[int(match[1])]}/{name[match.end() :]}"] = weight
        else:
            dropped.update(weight.sources)
    needed = {source for weight in found.values() for source in weight.sources}
    return found, [re.escape(name) + "$" for name in sorted(dropped - needed)]


def choose_block(distances: np.ndarray, drop: int) -> int:
    """The first layer, counted from 0, of the block of `drop` layers that change their input's direction least.

    distances [n + 1, n + 1]: between the inputs of all n layers and the last one's output. The first layer stays. Ties
    go to the deeper block. Raises ValueError unless 1 <= drop < n.
    """
    layers = len(distances) - 1
    if not 1 <= drop < layers:
        raise ValueError(f"{drop} of {layers} layers cannot be dropped: at least the first is kept")
    starts = np.arange(1, layers - drop + 1)
    found = distances[starts, starts + drop]
    return int(starts[np.flatnonzero(found == found.min())[-1]])
