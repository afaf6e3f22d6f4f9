"""Weights of a local Hugging Face directory (config.json, model.safetensors) as a Flax parameter tree. Strict.

A family says which parameter comes from which checkpoint tensors; every tensor must then be used, and no parameter may
be left without one. Safetensors holds arrays and nothing else: reading it runs no code.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


class Weight(NamedTuple):
    """Where a parameter comes from: tensors, each of `shape`, transposed if asked, joined on the last axis."""

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    transpose: bool = False


def read_config(directory: str) -> dict[str, Any]:
    """config.json. Raises FileNotFoundError saying what a model directory holds, ValueError if it is no JSON object."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"no {CONFIG} in {directory}: a model directory holds {CONFIG}, {WEIGHTS}, a vocabulary"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds {type(config).__name__}, not an object")
    return config


def read_parameters(
    directory: str, weights: Mapping[str, Weight], *, prefix: str = "", harmless: Iterable[str] = ()
) -> dict[str, Any]:
    """Parameters as float32 arrays in nested dictionaries; `weights` is keyed by path ("layer_0/query/kernel").

    `prefix` may stand before every tensor's name; tensors that match a `harmless` pattern from their start are left
    out. Raises FileNotFoundError, and ValueError listing every missing tensor, extra tensor and wrong shape.
    """
    from safetensors import safe_open

    path = Path(directory) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"no {WEIGHTS} in {directory}")
    with safe_open(path, framework="np") as file:
        names = list(file.keys())
        stored = {name.removeprefix(prefix): name for name in names}
        if twice := sorted(set(names) - set(stored.values())):
            raise ValueError(f"{path} has tensors both with and without {prefix!r}: {', '.join(twice)}")
        expected = {source: weight.shape for weight in weights.values() for source in weight.sources}
        shapes = {name: tuple(file.get_slice(stored[name]).get_shape()) for name in stored}
        _check(path, expected, shapes, re.compile("|".join(harmless) or r"(?!)"))
        tree: dict[str, Any] = {}
        for target, weight in weights.items():
            parts = [_float32(file.get_tensor(stored[source])) for source in weight.sources]
            parts = [part.T for part in parts] if weight.transpose else parts
            *folders, leaf = target.split("/")
            node = tree
            for folder in folders:
                node = node.setdefault(folder, {})
            node[leaf] = np.ascontiguousarray(np.concatenate(parts, axis=-1))
    return tree


def digest(directory: str, files: Iterable[str]) -> str:
    """blake2b (hexadecimal, 128 bits) of the names and bytes of those of the files that exist."""
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(files):
        path = Path(directory) / name
        if path.is_file():
            with path.open("rb") as file:
                total.update(f"{name} {hashlib.file_digest(file, hashlib.blake2b).hexdigest()}\n".encode())
    return total.hexdigest()


def _check(
    path: Path,
    expected: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    harmless: re.Pattern[str],
) -> None:
    missing = sorted(expected.keys() - shapes.keys())
    extra = sorted(name for name in shapes.keys() - expected.keys() if not harmless.match(name))
    wrong = sorted(
        f"{name} is {shapes[name]}, {CONFIG} says {shape}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    )
    problems = {"missing": missing, "extra": extra, "wrong shape": wrong}
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names)
        raise ValueError(f"{path} does not fit {CONFIG}: {listed}")


def _float32(tensor: np.ndarray) -> np.ndarray:
    # bfloat16 arrives as ml_dtypes' type, whose kind is not "f"
    if tensor.dtype.kind != "f" and tensor.dtype.name != "bfloat16":
        raise ValueError(f"a weight has type {tensor.dtype}, not a floating point one")
    return tensor.astype(np.float32, copy=False)
