"""Which texts go through the model together: fixed shapes, so that XLA compiles a handful of programs.

A text is padded to a length that depends on its own alone (its bucket), and a bucket always runs with one number of
rows, or with some halvings of it; the last batch of a bucket is filled up with empty rows.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """How much goes through a model at once: about `tokens` a batch, halved up to `halvings` times for texts that do
    not fill one; `window`: texts whose lengths are sorted together before batches are cut.
    """

    tokens: int
    halvings: int
    window: int


# On a CPU a batch's activations should stay in cache, and a second batch uses the cores that the first leaves idle
# between its products. An accelerator wants few large batches, and the next one there when one is done.
# Halving: at 65,536 tokens padding is 4.9 % with and 12.0 % without (benchmarks/embed/packing.py); at 512 tokens it
# saves 0.2 %, and makes twice the programs.
# A larger window wastes less padding; a smaller one is done, and kept when the worker is stopped, sooner.
CPU = Sizes(tokens=512, halvings=0, window=1024)
ACCELERATOR = Sizes(tokens=65536, halvings=3, window=8192)


class Batch(NamedTuple):
    """Rows [n] of the texts, and the program they need: n <= `size` rows of `length` tokens."""

    rows: np.ndarray
    size: int
    length: int


def bucket_lengths(longest: int, *, step: int = 16, ratio: float = 8.0) -> list[int]:
    """Ascending lengths up to `longest`: multiples of `step`, growing so that a step is about 1/ratio of the length.

    >>> bucket_lengths(300)
    [16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 300]
    """
    lengths: list[int] = []
    length = 0
    while length < longest:
        length += max(step, int(length / ratio) // step * step)
        lengths.append(min(length, longest))
    return lengths


def plan_batches(
    lengths: np.ndarray, buckets: Sequence[int], *, tokens: int, devices: int = 1, halvings: int = 0
) -> Iterator[Batch]:
    """Batches of about `tokens` tokens that hold every text once, longest first; equal input, equal batches.

    Each of the `devices` gets so many tokens of a batch. If a bucket has fewer texts left than a batch has rows, the
    batch may have half as many rows, and so on, `halvings` times; the smallest is filled up with the longest texts of
    the buckets below, because its rows are computed anyway.

    Raises ValueError for a text longer than the last bucket.
    """
    if len(lengths) and lengths.max() > buckets[-1]:
        raise ValueError(f"a text of {lengths.max()} tokens, the longest bucket has {buckets[-1]}")
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    # Where the texts of each bucket end in `order`, which has the longest texts first.
    ends = len(lengths) - np.searchsorted(ordered[::-1], [0, *buckets[:-1]], side="right")
    start = 0
    for end, length in zip(ends[::-1].tolist(), buckets[::-1]):
        whole = max(1, tokens // length)
        sizes = [devices * max(1, whole >> times) for times in range(halvings + 1)]
        while start < end:
            size = next((size for size in sizes if size <= end - start), sizes[-1])
            yield Batch(order[start : start + size], size, length)
            start += size
