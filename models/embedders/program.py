"""A model as compiled programs on this machine's devices: token ids to vectors, to states, to angles between layers."""

import contextlib
import hashlib
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sluice.models.arrays import device
from sluice.models.arrays.parallel import cores
from sluice.models.embedders import batches, pooling
from sluice.models.embedders.chain import Pool, PoolingStep
from sluice.models.layers.blocks import Layout

Item = TypeVar("Item")
# Batches on their way at a time: on a CPU one a thread; an accelerator computes one, the next is being sent to it.
MOST_THREADS, AHEAD = 8, 2


class Program:
    """Runs a family's `module` and the pooling `steps` after it.

    `parameters` are the module's, `heads` those of each step, {} for a step without weights; `sizes` of batches: those
    of this machine unless given. Batches are int32 ids [B, L], right padded, and lengths [B]. With several devices
    every one holds all weights and computes its share of the rows: B must then be a multiple of `devices` in `run`.
    Batches are not donated: nothing that a program returns has their type, so XLA could not reuse their memory.
    """

    def __init__(
        self,
        module: Any,
        steps: Sequence[PoolingStep],
        *,
        parameters: Any,
        heads: Any,
        prompt: int = 0,
        dimensions: int | None = None,
        sizes: batches.Sizes | None = None,
    ) -> None:
        self.devices, whole, self._by_row = device.shardings()
        self._cpu = device.on_cpu()
        self.sizes = sizes or (batches.CPU if self._cpu else batches.ACCELERATOR)
        self._weights = jax.device_put((parameters, heads), whole if self.devices > 1 else None)
        pooled = next((step.modes[0] for step in steps if isinstance(step, Pool)), "mean")

        def hidden(weights: Any, ids: jax.Array, lengths: jax.Array) -> jax.Array:
            # TensorFloat-32, an accelerator's default for float32, would cost three digits
            with jax.default_matmul_precision("highest"):
                layout = Layout.padded(lengths, ids.shape[1])
                return module.apply({"params": weights[0]}, ids, layout).astype(jnp.float32)

        def vectors(weights: Any, ids: jax.Array, lengths: jax.Array) -> jax.Array:
            states = hidden(weights, ids, lengths)
            with jax.default_matmul_precision("highest"):
                found = pooling.vectors(steps, weights[1], states, lengths, prompt=prompt)
            return found if dimensions is None else pooling.normalise(found[:, :dimensions])

        def angles(weights: Any, ids: jax.Array, lengths: jax.Array) -> jax.Array:
            return angles_between(layer_states(lambda: hidden(weights, ids, lengths)), lengths, pooled)

        self._hidden, self._vectors, self._angles = jax.jit(hidden), jax.jit(vectors), jax.jit(angles)

    def hidden_states(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """float32 [B, L, D] before pooling; what stands at padded positions means nothing."""
        return np.asarray(self._hidden(self._weights, ids, lengths))

    def angles(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """float32 [B, n + 1, n + 1]: see angles_between."""
        return np.asarray(self._angles(self._weights, ids, lengths))

    def run(self, items: Iterable[Item], to_arrays: Callable[[Item], tuple[np.ndarray, np.ndarray]]) -> Iterator[Any]:
        """(item, its vectors) for all items, in order, with several of them on their way at a time.

        to_arrays: an item to the ids and lengths of a batch.
        """

        def start(item: Item) -> tuple[Item, jax.Array]:
            arrays: Any = to_arrays(item)
            if self.devices > 1:
                arrays = jax.device_put(arrays, self._by_row)
            found = self._vectors(self._weights, *arrays)
            if not self._cpu:
                found.copy_to_host_async()
            return item, found

        def wait(started: tuple[Item, jax.Array]) -> tuple[Item, np.ndarray]:
            return started[0], np.asarray(started[1])

        if self._cpu and self.devices == 1:
            return device.run_threads(start, items, wait=wait, threads=min(MOST_THREADS, cores()))
        return device.run_ahead(start, items, wait=wait, ahead=AHEAD)


def layer_states(compute: Callable[[], jax.Array]) -> jax.Array:
    """float32 [n + 1, B, L, D]: what enters each of a module's layers as it is computed, and what leaves the last."""
    states: list[jax.Array] = []

    def look(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        result = call(*args, **kwargs)
        # The layers themselves, not what is inside them: their names follow one another.
        if context.method_name == "__call__" and context.module.name == f"layer_{max(len(states) - 1, 0)}":
            states.extend([args[0], result] if not states else [result])
        return result

    with nn.intercept_methods(look):
        compute()
    if not states:
        raise ValueError("this kind of model has no layers to compare")
    return jnp.stack([state.astype(jnp.float32) for state in states])


def angles_between(states: jax.Array, lengths: jax.Array, mode: str) -> jax.Array:
    """float32 [B, n + 1, n + 1] of states [n + 1, B, L, D]: arccos of their cosines over pi (arXiv:2403.17887, 4).

    At the token that `mode` pools, the last (as in the paper) or the first, or the mean over all of a text's tokens.
    """
    unit = states / jnp.maximum(jnp.linalg.norm(states, axis=-1, keepdims=True), 1e-12)
    with jax.default_matmul_precision("highest"):
        cosines = jnp.einsum("nbld,mbld->blnm", unit, unit)
    found = jnp.arccos(jnp.clip(cosines, -1.0, 1.0)) / jnp.pi
    if mode == "last":
        return found[jnp.arange(found.shape[0]), lengths - 1]
    if mode == "cls":
        return found[:, 0]
    valid = (jnp.arange(found.shape[1])[None, :] < lengths[:, None])[:, :, None, None]
    return jnp.where(valid, found, 0.0).sum(axis=1) / lengths[:, None, None]


def keep_programs(folder: str) -> None:
    """Keep compiled programs in a folder of their own for this kind of processor, for later processes."""
    from jax.experimental.compilation_cache import compilation_cache

    place = str(Path(folder).expanduser() / _processor())
    if jax.config.values["jax_compilation_cache_dir"] != place:
        jax.config.update("jax_compilation_cache_dir", place)
        compilation_cache.reset_cache()  # JAX settles at its first compilation whether there is a cache
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _processor() -> str:
    """A name for this kind of processor: programs compiled for another kind may use instructions it lacks."""
    name = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
