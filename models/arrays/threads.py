"""TensorFlow Text's tokenizers run on one core a call and let go of the interpreter: several calls at once."""

import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sluice.models.arrays.parallel import cores

Result = TypeVar("Result")
CHARACTERS_PER_CALL = 500_000  # a call's memory does not grow with the corpus


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="tokenize")


def by_batches(
    function: Callable[[list[str]], Result], texts: Iterable[str], *, characters: int = CHARACTERS_PER_CALL
) -> Iterator[Result]:
    """function(consecutive texts) of all texts, in order, computed on all cores."""
    yield from _pool().map(function, batches(texts, characters))


def batches(texts: Iterable[str], characters: int = CHARACTERS_PER_CALL) -> Iterator[list[str]]:
    """Consecutive texts, about so many characters together."""
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
