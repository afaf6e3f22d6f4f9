"""The accelerators of this machine: which there are, how they are shared with other processes, how work gets there."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
# A worker is rarely alone on its machine: Beam starts several processes, and TensorFlow, which only tokenizes here,
# would take a whole accelerator for itself. All of them then take memory as they need it.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


# What the drivers of GPUs put into /dev.
GPUS = ("nvidia*", "dxg", "kfd")


def set_environment() -> None:
    """Set ENVIRONMENT where nothing else is set; of use before JAX or TensorFlow first touch an accelerator.

    TensorFlow's start-up notes are no news to anybody, nor is, where there is no GPU, its error that it found none.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    gpu = any(next(Path("/dev").glob(pattern), None) for pattern in GPUS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if gpu else "3")


def on_cpu() -> bool:
    """Whether JAX has no accelerator here."""
    import jax

    return jax.default_backend() == "cpu"


def chosen_dtype(dtype: str) -> str:
    """`auto` is bfloat16 on accelerators and float32 on CPUs."""
    if dtype != "auto":
        return dtype
    return "float32" if on_cpu() else "bfloat16"


def shardings() -> tuple[int, Any, Any]:
    """(devices of this host, how to place weights, how to place a batch): every device has all weights and its rows."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    devices = jax.local_devices()
    mesh = jax.sharding.Mesh(devices, ("rows",))
    return len(devices), NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("rows"))


def run_threads(
    start: Callable[[Item], Any], items: Iterable[Item], *, wait: Callable[[Any], Any], threads: int
) -> Iterator[Any]:
    """wait(start(item)) for all items, in order, several at a time: for CPUs, where a computation needs a thread."""
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda item: wait(start(item)), items)


def run_ahead(
    start: Callable[[Item], Any], items: Iterable[Item], *, wait: Callable[[Any], Any], ahead: int
) -> Iterator[Any]:
    """The same by one thread that starts up to `ahead` items before it waits for the first: an accelerator computes one
    while the next is being sent and the one before fetched.
    """
    started: deque[Any] = deque()
    for item in items:
        started.append(start(item))
        if len(started) > ahead:
            yield wait(started.popleft())
    while started:
        yield wait(started.popleft())
