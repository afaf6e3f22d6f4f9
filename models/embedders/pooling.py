"""Token states to vectors of unit length: pooling, dense layers, normalisation, as a chain.Chain lists them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from sluice.models import checkpoints
from sluice.models.checkpoints import Weight
from sluice.models.embedders import chain
from sluice.models.layers import blocks

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "Identity": lambda x: x,
    "Tanh": jnp.tanh,
    "ReLU": jax.nn.relu,
    "GELU": blocks.ACTIVATIONS["gelu"],
    "SiLU": jax.nn.silu,
    "Sigmoid": jax.nn.sigmoid,
}


def read_dense(step: chain.Dense) -> dict[str, Any]:
    """The weights of a dense layer, float32. Raises as checkpoints.read_parameters does."""
    weights = {"kernel": Weight(("linear.weight",), (step.outputs, step.inputs), transpose=True)}
    if step.bias:
        weights["bias"] = Weight(("linear.bias",), (step.outputs,))
    return checkpoints.read_parameters(step.folder, weights)


def vectors(
    steps: Sequence[chain.PoolingStep],
    parameters: Sequence[Mapping[str, Any]],
    hidden: jax.Array,
    lengths: jax.Array,
    *,
    prompt: int = 0,
) -> jax.Array:
    """float32 [B, L, D] and lengths [B] -> unit vectors; `parameters`: one entry for each step, used by Dense.

    `prompt`: tokens at the start that pooling leaves out if it does not include prompts.
    """
    found = hidden
    for step, parameter in zip(steps, parameters):
        if isinstance(step, chain.Pool):
            start = 0 if step.include_prompt else prompt
            found = jnp.concatenate([pool(hidden, lengths, mode, start=start) for mode in step.modes], axis=-1)
        elif isinstance(step, chain.Dense):
            found = ACTIVATIONS[step.activation](found @ parameter["kernel"] + parameter.get("bias", 0.0))
        else:
            found = normalise(found)
    return normalise(found)


def normalise(vectors: jax.Array) -> jax.Array:
    """[B, D] to unit length; the least norm is PyTorch's, so that a vector of zeros stays one."""
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def pool(hidden: jax.Array, lengths: jax.Array, mode: str, *, start: int = 0) -> jax.Array:
    """[B, L, D] and lengths [B] -> [B, D], of the tokens from `start` to each length; at least the last one counts."""
    start_of = jnp.minimum(start, lengths - 1)[:, None, None]
    if mode == "cls":
        return jnp.take_along_axis(hidden, start_of, axis=1)[:, 0] if start else hidden[:, 0]
    if mode == "last":
        return jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)[:, 0]
    index = jnp.arange(hidden.shape[1])[None, :, None]
    valid = (index < lengths[:, None, None]) & (index >= start_of)
    if mode == "max":
        return jnp.where(valid, hidden, -jnp.inf).max(axis=1)
    weight = valid * (index + 1.0) if mode == "weighted_mean" else valid.astype(jnp.float32)
    total = jnp.where(valid, hidden * weight, 0.0).sum(axis=1)
    count = weight.sum(axis=1)
    return total / (jnp.sqrt(count) if mode == "mean_sqrt" else count)
