"""The named arrays of a model directory: safetensors, in one file or in shards, or Flax's msgpack. Never pickle.

All three formats hold arrays and nothing else: reading them runs no code.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sluice.models.checkpoints import plain_json

SAFETENSORS = "model.safetensors"
FLAX = "flax_model.msgpack"
INDEX = ".index.json"
LFS = b"version https://git-lfs"
# Flax stores a dense layer's kernel as (in, out), PyTorch its weight as (out, in)
FLAX_NAMES = {"kernel": "weight", "embedding": "weight", "scale": "weight"}


class Tensor(NamedTuple):
    """An array that is read when asked for."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def weight_files(directory: str) -> list[str]:
    """Names of the files that hold the weights: the index of the shards first, where there is one.

    Raises FileNotFoundError saying what was looked for, ValueError for an index that is not one.
    """
    folder = Path(directory)
    for name in (SAFETENSORS, FLAX):
        if (folder / name).is_file():
            return [name]
        if (folder / (name + INDEX)).is_file():
            return [name + INDEX, *_shards(folder / (name + INDEX))]
    message = f"no weights in {directory}: looked for {SAFETENSORS} and {FLAX}, whole or with {INDEX}"
    if pickles := sorted(path.name for path in folder.glob("*.bin")):
        message += f"; {', '.join(pickles)} would run code when read: save the model as safetensors"
    raise FileNotFoundError(message)


def open_tensors(directory: str) -> dict[str, Tensor]:
    """Every array of a model directory under PyTorch's name for it, read when asked for.

    Raises FileNotFoundError, and ValueError for a file that is damaged or shards that do not match their index.
    """
    files = weight_files(directory)
    open_file = _open_safetensors if files[0].startswith(SAFETENSORS) else _open_flax
    index = Path(directory) / files[0] if files[0].endswith(INDEX) else None
    found: dict[str, Tensor] = {}
    for name in files[1:] if index else files:
        path = Path(directory) / name
        if not path.is_file():
            raise FileNotFoundError(f"{index} names {name}, which is not there")
        here = open_file(path)
        if twice := sorted(found.keys() & here.keys()):
            raise ValueError(f"{path} has tensors that another shard has too: {', '.join(twice)}")
        found |= here
    if index is not None and open_file is _open_safetensors:
        named = _weight_map(index).keys()
        if different := sorted(named ^ found.keys()):
            raise ValueError(f"{index} and its shards differ in: {', '.join(different)}")
    return found


def _weight_map(index: Path) -> dict[str, str]:
    try:
        found = plain_json.read(index)["weight_map"]
        if not all(isinstance(name, str) and Path(name).name == name for name in found.values()):
            raise ValueError("a shard lies outside of the directory")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index} is not an index of shards: {error!r}") from error
    return found


def _shards(index: Path) -> list[str]:
    return sorted(set(_weight_map(index).values()))


def _open_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="np")
        names = list(file.keys())
    except (SafetensorError, OSError) as error:
        _check_pointer(path)
        raise ValueError(f"{path} is not a safetensors file: {error}") from error

    def tensor(name: str) -> Tensor:
        return Tensor(tuple(file.get_slice(name).get_shape()), lambda: file.get_tensor(name))

    return {name: tensor(name) for name in names}


def _check_pointer(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise ValueError(f"{path} is a pointer of Git LFS, not the weights: fetch them with `git lfs pull`")


def _open_flax(path: Path) -> dict[str, Tensor]:
    from flax import serialization

    try:
        tree = serialization.msgpack_restore(path.read_bytes())
    except Exception as error:  # whatever a damaged file makes of msgpack and NumPy
        _check_pointer(path)
        raise ValueError(f"{path} is not a Flax checkpoint: {error!r}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds {type(tree).__name__}, not named arrays")
    found: dict[str, Tensor] = {}
    for names, array in _leaves(tree, ()):
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{path}: {'.'.join(names)} is {type(array).__name__}, not an array")
        if names[-1] == "kernel":
            array = array.T
        name = ".".join((*names[:-1], FLAX_NAMES.get(names[-1], names[-1])))
        if name in found:
            raise ValueError(f"{path} has two arrays for {name}")
        found[name] = Tensor(array.shape, lambda array=array: array)  # type: ignore[misc]
    return found


def _leaves(tree: Mapping[Any, Any], names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*names, str(name)))
        else:
            yield (*names, str(name)), value
