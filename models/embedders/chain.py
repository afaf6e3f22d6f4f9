"""What a sentence-transformers directory does around its network: modules.json, pooling steps, prompts.

Read from JSON alone; models/embedders/pooling.py computes the steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sluice.models import checkpoints
from sluice.models.checkpoints import read_json, tensors

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
# sentence-transformers' names for a way of pooling, and its older flags in the order in which it joins several
MODES = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")


class Pool(NamedTuple):
    """Token states to one vector: the modes' vectors, joined. `include_prompt`: a prompt's tokens count too."""

    modes: tuple[str, ...]
    include_prompt: bool = True


class Dense(NamedTuple):
    """activation(W x + b), with its weights in a folder of their own."""

    folder: str
    inputs: int
    outputs: int
    bias: bool
    activation: str


class Normalise(NamedTuple):
    """To unit length."""


PoolingStep = Pool | Dense | Normalise


@dataclass(frozen=True)
class Chain:
    """`network`: the directory of config.json and the weights. `steps` is empty where the directory does not say."""

    network: str
    steps: tuple[PoolingStep, ...] = ()
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    def prompt(self, prompt: str | None, name: str | None) -> str:
        """What stands before each text: `prompt` itself, or the one of that name, or the model's default, or nothing.

        Raises ValueError, naming the model's prompts, for another name.
        """
        if prompt is not None:
            return prompt
        name = self.default_prompt if name is None else name
        if name is None:
            return ""
        if name not in self.prompts:
            known = (
                f"it has {', '.join(map(repr, sorted(self.prompts)))}" if self.prompts else "it has no prompts at all"
            )
            raise ValueError(f"{self.network} has no prompt {name!r}: {known}")
        return self.prompts[name]


def read_chain(directory: str) -> Chain:
    """Raises ValueError naming the module or setting that is not supported."""
    root = Path(directory)
    network = root
    steps: list[PoolingStep] = []
    if (root / MODULES).is_file():
        for module in read_json(root / MODULES, list):
            kind = str(module.get("type")).rpartition(".")[2]
            folder = _inside(root, str(module.get("path", "")))
            if kind == "Transformer":
                network = folder
            elif kind in STEPS:
                steps.append(STEPS[kind](folder))
            elif kind != "Dropout":  # which only training has
                known = ", ".join(sorted((*STEPS, "Transformer", "Dropout")))
                raise ValueError(f"{root / MODULES}: module {kind!r} is not supported: there are {known}")
    elif (root / "1_Pooling" / "config.json").is_file():
        steps.append(_pool(root / "1_Pooling"))
    if sum(isinstance(step, Pool) for step in steps) > 1 or (steps and not isinstance(steps[0], Pool)):
        raise ValueError(f"{root / MODULES}: pooling must come once, before dense layers and normalisation")
    prompts: dict[str, Any] = read_json(root / PROMPTS) if (root / PROMPTS).is_file() else {}
    settings = root / "sentence_bert_config.json"
    settings = settings if settings.is_file() else network / "sentence_bert_config.json"
    return Chain(
        network=str(network),
        steps=tuple(steps),
        lower_case=bool(read_json(settings).get("do_lower_case")) if settings.is_file() else False,
        prompts={str(name): str(text) for name, text in (prompts.get("prompts") or {}).items() if text is not None},
        default_prompt=prompts.get("default_prompt_name"),
    )


def _inside(root: Path, path: str) -> Path:
    folder = root / path
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{root / MODULES}: {path!r} leads out of the directory")
    return folder


def _pool(folder: Path) -> Pool:
    path = folder / "config.json"
    config = read_json(path)
    if "pooling_mode" in config:
        named = [config["pooling_mode"]] if isinstance(config["pooling_mode"], str) else list(config["pooling_mode"])
    else:
        set_flags = [key for key in config if key.startswith("pooling_mode_") and config[key]]
        named = [name for key, name in FLAGS.items() if key in set_flags] or ([] if set_flags else ["mean"])
        named += [key for key in set_flags if key not in FLAGS]
    if not named or any(name not in MODES for name in named):
        raise ValueError(f"{path} asks for the pooling {named}: {sorted(MODES)} are supported")
    return Pool(tuple(MODES[name] for name in named), bool(config.get("include_prompt", True)))


def _dense(folder: Path) -> Dense:
    path = folder / "config.json"
    config = read_json(path)
    module, _, activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")
    if not module.startswith("torch.nn") or activation not in ACTIVATIONS:
        raise ValueError(f"{path}: activation_function {activation!r} is not supported, only {ACTIVATIONS}")
    if config.get("use_residual"):
        raise ValueError(f"{path}: use_residual is not supported")
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise ValueError(f"{path}: {key} {config[key]!r} is not supported, only 'sentence_embedding'")
    try:
        sizes = int(config["in_features"]), int(config["out_features"])
    except KeyError as error:
        raise ValueError(f"{path} has no {error}") from error
    return Dense(str(folder), *sizes, bool(config.get("bias", True)), activation)


STEPS: dict[str, Callable[[Path], PoolingStep]] = {
    "Pooling": _pool,
    "Dense": _dense,
    "Normalize": lambda folder: Normalise(),
}


def dimension_of(steps: Sequence[PoolingStep], size: int, dimensions: int | None) -> int:
    """How long the vectors are that steps make of token states of `size` numbers, cut to `dimensions` if given.

    Raises ValueError for a dense layer that takes another length, and for fewer numbers than `dimensions`.

    >>> dimension_of([Pool(("mean", "max"))], 384, None)
    768
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


def described(step: PoolingStep) -> dict[str, Any]:
    """A step in JSON, its weights by content: a moved directory changes nothing."""
    fields = {"kind": type(step).__name__.lower(), **step._asdict()}
    if isinstance(step, Pool):
        fields["modes"] = list(step.modes)
    if isinstance(step, Dense):
        fields["folder"] = checkpoints.digest(step.folder, tensors.weight_files(step.folder))
    return fields
