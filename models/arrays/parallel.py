"""Work spread over the cores by threads that each compute alone: matrix products, and texts for a tokenizer.

A BLAS that splits every product over all cores waits for the slowest one each time; on a machine with anything else
to do, small products become tens of times slower (measured: 22 ms instead of 0.8 ms for 200 x 384). So products run on
one core each, several at a time; NumPy releases the interpreter's lock meanwhile. So do TensorFlow Text's tokenizers,
which run on one core a call.
"""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")
CHARACTERS_PER_CALL = 500_000  # what a tokenizer's call holds does not grow with the corpus


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix=name)


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """function(item) of every item, in order, computed on all cores. Not to be nested."""
    with _controller().limit(limits=1, user_api="blas"):
        yield from _pool("sluice").map(function, items)


def by_batches(
    function: Callable[[list[str]], Result], texts: Iterable[str], *, characters: int = CHARACTERS_PER_CALL
) -> Iterator[Result]:
    """function(consecutive texts) of all texts, in order, computed on all cores."""
    yield from _pool("tokenize").map(function, batches(texts, characters))


def batches(texts: Iterable[str], characters: int = CHARACTERS_PER_CALL) -> Iterator[list[str]]:
    """Consecutive texts, about so many characters together.

    >>> list(batches(["a", "bc", "def", "g"], 3))
    [['a', 'bc'], ['def'], ['g']]
    """
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
