"""Counts what one stage does in this process: bytes that cross a shuffle, and the two products that cost n**1.5.

    with counted() as counts:
        run_stages(run, only="documents")
    counts.shuffled, counts.products

Nothing is estimated. Every element that a GroupByKey, a Reshuffle or a combiner receives passes the in-process runner's
grouping buffer as encoded bytes (after combiners were lifted, as on any runner), and is counted there, by key too.
"""

import contextlib
import importlib
import inspect
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Product:
    """Multiplications and additions of one kind of product, and the core-seconds that they took."""

    flops: float = 0.0
    core_seconds: float = 0.0


@dataclass
class Counts:
    """shuffled: for every shuffle by name, its bytes, elements and the bytes of its largest key.

    products: `assign` (documents x centroids), `train` (sample x centroids), `pairs` (documents of a cluster);
    core_seconds of `training` are k-means as a whole.
    """

    shuffled: dict[str, dict[str, int]] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=lambda: defaultdict(Product))
    lock: Any = field(default_factory=threading.Lock)

    def add(self, kind: str, flops: float, core_seconds: float) -> None:
        with self.lock:
            self.products[kind].flops += flops
            self.products[kind].core_seconds += core_seconds


@contextlib.contextmanager
def counted() -> Iterator[Counts]:
    """Counts until the block ends; one at a time, and only for jobs on the FnApiRunner in this process."""
    from apache_beam.runners.portability.fn_api_runner import execution

    from sluice.models.arrays import products
    from sluice.models.clustering import kmeans
    from sluice.models.methods import semdedup

    # Everything that calls the products must be imported before they are replaced.
    importlib.import_module("sluice.pipelines.curate")
    counts = Counts()
    with contextlib.ExitStack() as undo:

        def replace(owner: Any, name: str, value: Any) -> None:
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

        buffers: dict[str, list[dict[bytes, list[int]]]] = defaultdict(list)
        replace(execution.GroupingBuffer, "append", _counting_append)
        replace(
            execution.BundleContextManager, "get_buffer", _naming(execution.BundleContextManager.get_buffer, buffers)
        )
        training = threading.local()
        swapped = {
            products.nearest: _timed_nearest(products.nearest, counts, training),
            kmeans.train: _timed_train(kmeans.train, counts, training),
        }
        for module in [module for name, module in sys.modules.items() if name.startswith("sluice.")]:
            for name, value in list(vars(module).items()):
                if inspect.isfunction(value) and value in swapped:
                    replace(module, name, swapped[value])
        replace(semdedup, "score", _timed_score(semdedup.score, counts))
        yield counts
    for name, tables in buffers.items():
        keys: dict[bytes, int] = defaultdict(int)
        elements = 0
        for table in tables:
            for key, (size, number) in table.items():
                keys[key] += size
                elements += number
        counts.shuffled[name] = {
            "bytes": sum(keys.values()),
            "elements": elements,
            "keys": len(keys),
            "largest_key": max(keys.values(), default=0),
        }


# Shuffles -------------------------------------------------------------------------------------------------------


def _counting_append(buffer: Any, elements_data: bytes) -> None:
    """GroupingBuffer.append of Beam 2.77, which also notes what each key received."""
    from apache_beam.coders.coder_impl import create_InputStream

    stream = create_InputStream(elements_data)
    values, keys = buffer._pre_grouped_coder.get_impl(), buffer._key_coder.get_impl()
    # A Reshuffle has windows of its own, and values keep theirs.
    plain = buffer._windowing.is_default()
    sizes = buffer.__dict__.setdefault("_sluice_sizes", {})
    before = stream.size()
    while before:
        windowed = values.decode_from_stream(stream, True)
        key, value = windowed.value
        encoded = keys.encode(key)
        buffer._table[encoded].append(value if plain else windowed.with_value(value))
        before, size = stream.size(), before - stream.size()
        found = sizes.setdefault(encoded, [0, 0])
        found[0] += size
        found[1] += 1


def _naming(get_buffer: Callable, buffers: dict[str, list]) -> Callable:
    """Notes each grouping buffer's sizes under the name of its transform when the buffer is made."""
    from apache_beam.runners.portability.fn_api_runner.translations import split_buffer_id

    def get(self: Any, buffer_id: bytes, transform_id: str) -> Any:
        buffer = get_buffer(self, buffer_id, transform_id)
        kind, name = split_buffer_id(buffer_id)
        if kind == "group" and "_sluice_sizes" not in buffer.__dict__:
            buffer.__dict__["_sluice_sizes"] = {}
            transform = self.execution_context.pipeline_components.transforms[name]
            buffers[transform.unique_name or name].append(buffer.__dict__["_sluice_sizes"])
        return buffer

    return get


# Products -------------------------------------------------------------------------------------------------------


def _timed_nearest(nearest: Callable, counts: Counts, training: threading.local) -> Callable:
    def timed(points: np.ndarray, centroids: np.ndarray, **options: Any) -> Any:
        # It runs on all cores, and nothing else does meanwhile.
        started = time.process_time()
        found = nearest(points, centroids, **options)
        flops = 2.0 * len(points) * centroids.shape[0] * centroids.shape[1]
        counts.add(
            "train" if getattr(training, "on", False) else "assign", flops, core_seconds=time.process_time() - started
        )
        return found

    return timed


def _timed_train(train: Callable, counts: Counts, training: threading.local) -> Callable:
    def timed(*arguments: Any, **options: Any) -> Any:
        training.on, started = True, time.process_time()
        try:
            return train(*arguments, **options)
        finally:
            training.on = False
            counts.add("training", 0, time.process_time() - started)

    return timed


def _timed_score(score: Callable, counts: Counts) -> Callable:
    def timed(points: np.ndarray, **options: Any) -> Any:
        # On one core each: it is called from threads that limit the BLAS to their own.
        started = time.thread_time()
        found = score(points, **options)
        # Each pair once: a product of two vectors is 2 d operations.
        size, dimension = points.shape
        counts.add("pairs", float(dimension) * size * (size - 1), time.thread_time() - started)
        return found

    return timed
