"""The network of a model directory, as its files describe it and a configuration changes it; no weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from sluice.models import checkpoints
from sluice.models.checkpoints import Weight
from sluice.models.checkpoints.files import local_directory
from sluice.models.embedders import layer_subset
from sluice.models.embedders.chain import Chain, Pool, PoolingStep, dimension_of, read_chain
from sluice.models.embedders.config import EmbedderConfig
from sluice.models.families import family


@dataclass(frozen=True)
class Architecture:
    """What decides token states and vectors, apart from the numbers in the weights.

    `family`: the file of models/families; `description`: config.json; `module`: the family's Flax module, of the kept
    layers alone; `weights`: where its parameters come from; `unneeded`: patterns of tensors that left-out layers had;
    `layers`: how many the model has, before any are left out; `kept`: those kept, as "1-6,10-12", None for all;
    `steps`: from token states to a vector, of `dimension` numbers.
    """

    family: ModuleType
    description: Mapping[str, Any]
    chain: Chain
    convention: str
    module: Any
    weights: dict[str, Weight]
    unneeded: list[str]
    layers: int
    kept: str | None
    steps: tuple[PoolingStep, ...]
    dimension: int

    @property
    def directory(self) -> str:
        """Of config.json and the weights."""
        return self.chain.network

    @property
    def name(self) -> str:
        """The family's."""
        return self.family.__name__.rpartition(".")[2]

    def checkpoint(self) -> checkpoints.Checkpoint:
        """The tensors of the parameters, names and shapes checked. Raises ValueError where they do not fit."""
        return checkpoints.Checkpoint(
            self.directory,
            self.weights,
            prefix=self.family.PREFIX,
            harmless=(*self.family.HARMLESS, *self.unneeded),
            aliases=getattr(self.family, "ALIASES", None),
        )

    def parameter_type(self, path: str, dtype: str) -> np.dtype:
        """The type in which a parameter, "layer_0/query/kernel", is held for arithmetic in `dtype`.

        Flax converts kernels and embeddings to that type in every call, unless they are held in it already: half the
        memory, and the same bits. What Flax uses in float32 stays so: norms, biases, positions, and the layers that
        the family names in FLOAT32.
        """
        layer, _, name = path.rpartition("/")
        converted = name in ("kernel", "embedding") and layer not in getattr(self.family, "FLOAT32", ())
        return np.dtype(dtype if converted else np.float32)


def read_architecture(config: EmbedderConfig) -> Architecture:
    """Raises ValueError for what the files ask for and this project lacks, and for options the model does not have."""
    chain = read_chain(local_directory(config.model))
    description = checkpoints.read_config(chain.network)
    known = family(description.get("model_type"), chain.network)
    convention = _convention(config, known, chain)
    module, weights = _make_module(config, known, description, convention), known.weights(description)
    layers, kept = layer_subset.find_layers(weights), None
    unneeded: list[str] = []
    if config.layers is not None:
        chosen = layer_subset.kept_layers(config.layers, layers)
        if len(chosen) < layers:
            kept = layer_subset.shown_layers(chosen)
            module = layer_subset.subset_module(module, chosen)
            weights, unneeded = layer_subset.subset_weights(weights, chosen)
    steps = _steps(config, known, chain)
    return Architecture(
        family=known,
        description=description,
        chain=chain,
        convention=convention,
        module=module,
        weights=weights,
        unneeded=unneeded,
        layers=layers,
        kept=kept,
        steps=steps,
        dimension=dimension_of(steps, module.size, config.dimensions),
    )


def _make_module(config: EmbedderConfig, known: ModuleType, description: Mapping[str, Any], convention: str) -> Any:
    import jax.numpy as jnp  # heavy: a token table never needs it

    dtype = jnp.dtype("float32" if config.dtype == "auto" else config.dtype)
    if hasattr(known, "CONVENTIONS"):
        return known.encoder(description, dtype, convention=convention)
    return known.encoder(description, dtype)


def _convention(config: EmbedderConfig, known: ModuleType, chain: Chain) -> str:
    conventions = getattr(known, "CONVENTIONS", ("huggingface",))
    if config.convention == "auto":
        # sentence-transformers knows no other
        return "huggingface" if chain.steps else conventions[0]
    if config.convention not in conventions:
        raise ValueError(f"{config.model}: convention {config.convention!r} is not one of this family's, {conventions}")
    return config.convention


def _steps(config: EmbedderConfig, known: ModuleType, chain: Chain) -> tuple[PoolingStep, ...]:
    """The chain's steps with the configured pooling, or the family's own pooling."""
    if not chain.steps:
        return (Pool((known.POOLING if config.pooling == "auto" else config.pooling,)),)
    if config.pooling == "auto":
        return chain.steps
    return tuple(step._replace(modes=(config.pooling,)) if isinstance(step, Pool) else step for step in chain.steps)
