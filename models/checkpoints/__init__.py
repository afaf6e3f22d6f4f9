"""Weights of a local Hugging Face directory as a Flax parameter tree. Strict.

A family says which parameter comes from which checkpoint tensors; every tensor must then be used, and no parameter may
be left without one.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sluice.models.checkpoints import config_bounds, plain_json, tensors

CONFIG = "config.json"


class Weight(NamedTuple):
    """Where a parameter comes from: tensors, each of `shape`, transposed if asked, joined on the last axis."""

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    transpose: bool = False


def read_config(directory: str) -> config_bounds.Config:
    """config.json. Raises FileNotFoundError saying what a model directory holds, ValueError if it is no JSON object or
    has a number out of bounds.
    """
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"no {CONFIG} in {directory}: a model directory holds {CONFIG}, {tensors.SAFETENSORS}, a vocabulary"
        )
    return config_bounds.bounded(read_json(path), path)


def read_json(path: Path, kind: type = dict) -> Any:
    """A file's object, or its list. Raises ValueError naming the file if it holds anything else."""
    found = plain_json.read(path)
    if not isinstance(found, kind):
        raise ValueError(f"{path} holds {type(found).__name__}, not {'an object' if kind is dict else kind.__name__}")
    return found


@contextlib.contextmanager
def reading(model: str) -> Iterator[None]:
    """Around what reads a model's files: where they hold something else than expected, ValueError names the model."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{model}: the configuration has no {error}") from error
    except (AttributeError, IndexError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"{model}: a setting of its files makes no sense: {error}") from error


class Checkpoint:
    """The tensors of a model directory that stand for parameters; `weights` is keyed by path ("layer_0/query/kernel").

    `prefix` may stand before every tensor's name; tensors that match a `harmless` pattern from their start are left
    out; an alias may stand in for the tensor it names, or repeat it. Raises FileNotFoundError, and ValueError listing
    every missing tensor, extra tensor and wrong shape: `read` is only for the numbers.
    """

    def __init__(
        self,
        directory: str,
        weights: Mapping[str, Weight],
        *,
        prefix: str = "",
        harmless: Iterable[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        opened = tensors.open_tensors(directory)
        opened = {_renamed(name): tensor for name, tensor in opened.items()}
        stored = {name.removeprefix(prefix): tensor for name, tensor in opened.items()}
        if len(stored) < len(opened):
            twice = sorted(name for name in opened if name.startswith(prefix) and name.removeprefix(prefix) in opened)
            raise ValueError(f"{directory} has tensors both with and without {prefix!r}: {', '.join(twice)}")
        for alias, name in (aliases or {}).items():
            if alias in stored:
                other = stored.pop(alias)
                tensor = stored.setdefault(name, other)
                if tensor is not other and not np.array_equal(tensor.read(), other.read()):
                    raise ValueError(f"{directory}: {alias} and {name} should be one tensor, and differ")
        expected = {source: weight.shape for weight in weights.values() for source in weight.sources}
        shapes = {name: tensor.shape for name, tensor in stored.items()}
        _check(directory, expected, shapes, re.compile("|".join(harmless) or r"(?!)"))
        self._weights, self._stored = weights, stored

    def read(self, held: Callable[[str], Any] = lambda path: np.float32) -> dict[str, Any]:
        """Parameters in nested dictionaries, each in the type that `held` names for its path."""
        tree: dict[str, Any] = {}
        for target, weight in self._weights.items():
            parts = [_float32(self._stored[source].read(), source) for source in weight.sources]
            parts = [part.astype(held(target), copy=False) for part in parts]
            parts = [part.T for part in parts] if weight.transpose else parts
            *folders, leaf = target.split("/")
            node = tree
            for folder in folders:
                node = node.setdefault(folder, {})
            node[leaf] = np.ascontiguousarray(np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0])
        return tree


def read_parameters(directory: str, weights: Mapping[str, Weight], **options: Any) -> dict[str, Any]:
    """What `Checkpoint` reads, with its options."""
    return Checkpoint(directory, weights, **options).read()


def digest(directory: str, files: Iterable[str]) -> str:
    """blake2b (hexadecimal, 128 bits) of the names and bytes of those of the files that exist."""
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(files):
        path = Path(directory) / name
        if path.is_file():
            with path.open("rb") as file:
                total.update(f"{name} {hashlib.file_digest(file, hashlib.blake2b).hexdigest()}\n".encode())
    return total.hexdigest()


def _renamed(name: str) -> str:
    """Layer normalisations of checkpoints that came from TensorFlow, bert-base-uncased for one, call theirs so."""
    return re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda found: {"gamma": "weight", "beta": "bias"}[found[1]], name)


def _check(
    directory: str,
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
        raise ValueError(f"{directory}: the weights do not fit {CONFIG}: {listed}")


def _float32(tensor: np.ndarray, name: str) -> np.ndarray:
    # bfloat16 arrives as ml_dtypes' type, whose kind is not "f"
    if tensor.dtype.kind != "f" and tensor.dtype.name != "bfloat16":
        raise ValueError(f"{name} has type {tensor.dtype}, not a floating point one")
    return tensor.astype(np.float32, copy=False)
