"""What stands behind a model's token states: its convention and steps, as family, directory and configuration say."""

from collections.abc import Sequence
from typing import Any

from sluice.models import checkpoints
from sluice.models.checkpoints import tensors
from sluice.models.embedders.chain import Chain, Dense, Pool, Step
from sluice.models.embedders.config import EmbedderConfig


def chosen_convention(config: EmbedderConfig, family: Any, chain: Chain) -> str:
    known = getattr(family, "CONVENTIONS", ("huggingface",))
    if config.convention == "auto":
        return "huggingface" if chain.steps else known[0]
    if config.convention not in known:
        raise ValueError(f"{config.model}: convention {config.convention!r} is not one of this family's, {known}")
    return config.convention


def chosen_steps(config: EmbedderConfig, family: Any, chain: Chain) -> tuple[Step, ...]:
    """The chain's steps with the configured pooling, or the family's own pooling."""
    if not chain.steps:
        return (Pool((family.POOLING if config.pooling == "auto" else config.pooling,)),)
    if config.pooling == "auto":
        return chain.steps
    return tuple(step._replace(modes=(config.pooling,)) if isinstance(step, Pool) else step for step in chain.steps)


def dimension_of(steps: Sequence[Step], size: int, dimensions: int | None) -> int:
    """How long the vectors are that steps make of states of `size`, cut to `dimensions` where given.

    Raises ValueError where a layer does not fit, or there are fewer.
    """
    for step in steps:
        if isinstance(step, Pool):
            size *= len(step.modes)
        elif isinstance(step, Dense):
            if step.inputs != size:
                raise ValueError(f"{step.folder} takes {step.inputs} numbers, what comes before it gives {size}")
            size = step.outputs
    if dimensions is not None and dimensions > size:
        raise ValueError(f"dimensions {dimensions}: the model's vectors have {size}")
    return dimensions or size


def described(step: Step) -> dict[str, Any]:
    """A step in JSON, its weights by content: a moved directory changes nothing."""
    found = {"kind": type(step).__name__.lower(), **step._asdict()}
    if isinstance(step, Pool):
        found["modes"] = list(step.modes)
    if isinstance(step, Dense):
        found["folder"] = checkpoints.digest(step.folder, tensors.weight_files(step.folder))
    return found
