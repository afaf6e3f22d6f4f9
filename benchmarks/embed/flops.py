"""What a model computes for a text, and how fast the machine computes: the two sides of a share of peak."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

# Rows, inner size and columns of the products that bound the speed: the widest layer of MiniLM, and squares.
CPU_SHAPES = ((512, 384, 1536), (1024, 1024, 1024), (2048, 2048, 2048))
ACCELERATOR_SHAPES = ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 16384, 16384))


class Spent(NamedTuple):
    """Wall-clock seconds, and core-seconds of the whole process."""

    seconds: float
    core_seconds: float


def spend(work: Callable[[], Any]) -> Spent:
    start, cores = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - start, time.process_time() - cores)


def best_seconds(work: Callable[[], Any], rounds: int) -> float:
    return min(spend(work).seconds for _ in range(rounds))


class Peak(NamedTuple):
    """FLOP/s, and FLOP for each core-second; the latter holds on a busy machine too."""

    speed: float
    of_core: float


def product_peak(dtype: str, *, seconds: float = 0.5) -> Peak:
    """The fastest product found, each tried for `seconds`: what MFU is a share of.

    Accelerators: JAX's products in `dtype`, times the devices of this host. CPUs: the best of NumPy, JAX and TensorFlow
    in float32, and of JAX in `dtype`.
    """
    import jax

    on_cpu = jax.default_backend() == "cpu"
    best = Peak(0.0, 0.0)
    for shape in CPU_SHAPES if on_cpu else ACCELERATOR_SHAPES:
        for product in _products(*shape, dtype, on_cpu=on_cpu):
            product()
            end, found = time.perf_counter() + seconds, [spend(product)]
            while time.perf_counter() < end:
                found.append(spend(product))
            fastest = (2 * math.prod(shape) / min(values) for values in zip(*found))
            best = Peak(*map(max, best, fastest))
    return best if on_cpu else best._replace(speed=best.speed * jax.local_device_count())


def _products(rows: int, inner: int, columns: int, dtype: str, *, on_cpu: bool) -> Iterator[Callable[[], Any]]:
    """A product of random matrices by every library that may have the fastest; each returns when it is computed."""
    import jax
    import jax.numpy as jnp

    random = np.random.default_rng(0)
    left = random.standard_normal((rows, inner), np.float32)
    right = random.standard_normal((inner, columns), np.float32)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision="highest"))
    for name in {dtype, "float32"} if on_cpu else {dtype}:
        there = jnp.asarray(left, name), jnp.asarray(right, name)
        yield lambda there=there: product(*there).block_until_ready()
    if on_cpu:
        import tensorflow as tf

        constants = tf.constant(left), tf.constant(right)
        yield lambda: left @ right
        yield lambda: tf.matmul(*constants)


def model_work(model: str, lengths: np.ndarray) -> float:
    """FLOPs that embedding texts of `lengths` tokens takes, padding not counted.

    For each token, 2 for every weight of the family's dense layers: all weights but token and position rows, biases and
    norms. For each token and layer 4 L D besides, the products of attention in a text of L tokens, its heads D wide
    together; causal and sliding attention count as whole, as they are computed. What follows pooling is left out.
    """
    from sluice.models import checkpoints, families
    from sluice.models.checkpoints.files import local_directory
    from sluice.models.embedders.chain import read_chain

    directory = read_chain(local_directory(model)).network
    config = checkpoints.read_config(directory)
    weights = families.family(config["model_type"], directory).weights(config)
    kernels = {name: weight for name, weight in weights.items() if weight.transpose}
    dense = sum(len(weight.sources) * math.prod(weight.shape) for weight in kernels.values())
    wide = sum(weight.shape[1] for name, weight in kernels.items() if name.endswith("attention/output/kernel"))
    tokens, squares = float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
    return 2 * dense * tokens + 4 * wide * squares
