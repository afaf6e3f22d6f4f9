"""A recipe: what is read, how it is embedded, the steps that score and cut. Checked whole before any work."""

import functools
import operator
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from sluice.models.embedders.config import EmbedderConfig
from sluice.pipelines.base.cuts import Strict
from sluice.pipelines.base.places import absolute_path, absolute_paths
from sluice.pipelines.base.step import Step
from sluice.pipelines.steps import find_steps

# Whatever pipelines/steps/ has, told apart by the name of the step.
if TYPE_CHECKING:
    AnyStep = Step
else:
    AnyStep = Annotated[functools.reduce(operator.or_, find_steps().values()), Field(discriminator="step")]

# What input.tokens can say beside the name of a file.
WORDS, COLUMN = ("auto", "none", "model"), "column:"


class Input(Strict):
    """Where documents are and how a record becomes one. tokens: none, model, column:NAME or a tokenizer.json file.

    Paths are made absolute, so that a run can be gone on with from any folder.
    """

    paths: tuple[str, ...] = Field(min_length=1)
    format: str | None = None
    text: str | None = "text"
    id: str | None = None
    vector: str | None = None
    tokens: str = "auto"
    source: str | None = None
    max_document_bytes: int = Field(default=10_000_000, gt=0)
    max_reject_share: float = Field(default=0.01, ge=0, le=1)
    unreadable: Literal["fail", "reject"] = "fail"
    unit_bytes: int = Field(default=128 << 20, gt=0)

    _absolute = field_validator("paths")(absolute_paths)

    @field_validator("tokens")
    @classmethod
    def _absolute_tokenizer(cls, tokens: str) -> str:
        if tokens == COLUMN:
            raise ValueError("column: names no field")
        if tokens in WORDS or tokens.startswith(COLUMN):
            return tokens
        return absolute_path(tokens)


class Embedding(Strict):
    """The model (default: all-MiniLM-L6-v2 as installed), how many tokens of a text it sees, and what decides the
    vectors besides: see models.embedders.config.EmbedderConfig. dtype auto is bfloat16 on accelerators.
    """

    model: str | None = None
    max_tokens: int = Field(default=256, ge=3)
    pooling: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    prompt: str | None = None
    prompt_name: str | None = None
    convention: Literal["auto", "d4", "huggingface"] = "auto"
    dimensions: int | None = Field(default=None, ge=1)
    layers: str | None = None
    long_documents: Literal["truncate", "chunk-mean"] = "truncate"

    @field_validator("layers", mode="before")
    @classmethod
    def _layers_as_text(cls, layers: Any) -> Any:
        """YAML reads the first so many layers as a number."""
        return str(layers) if type(layers) is int else layers

    @field_validator("model")
    @classmethod
    def _absolute_model(cls, model: str | None) -> str | None:
        """A directory, which a name on the hub looks like too; what is empty is the default."""
        return os.path.abspath(model) if model and os.path.isdir(model) else model or None

    @model_validator(mode="after")
    def _describes_an_embedder(self) -> "Embedding":
        self.config(self.model or "the default")
        return self

    def config(self, model: str, cache: str | None = None) -> EmbedderConfig:
        """What is to be loaded. Raises ValueError for options that contradict each other."""
        return EmbedderConfig(**self.model_dump(exclude={"model"}), model=model, cache=cache)


class Losses(Strict):
    """What to do about a source that keeps at most `share` of what it would at the corpus's rate, and about a cluster
    of which nothing is left: warn, or refuse to write the corpus. Fewer than 20 documents at that rate say nothing.
    """

    share: float = Field(default=0.1, ge=0, lt=1)
    sources: Literal["warn", "refuse"] = "warn"
    clusters: Literal["warn", "refuse"] = "warn"


class Recipe(Strict):
    """Everything that decides which documents are kept.

    training_tokens: what is to be trained on; where fewer are kept, a plan of how they are repeated is written.
    """

    name: str = "custom"
    seed: int = Field(default=0, ge=0, lt=2**63)
    input: Input
    embedding: Embedding = Embedding()
    losses: Losses = Losses()
    training_tokens: int | None = Field(default=None, gt=0)
    steps: tuple[AnyStep, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        for step in self.steps:
            if (step.needs_texts or step.needs_text_hashes) and self.input.text is None:
                raise ValueError(f"step {step.step} needs text, and input.text is null")
            if step.needs_source and not self.input.source:
                raise ValueError(
                    f"step {step.step} tells sources apart: say with input.source (--source) which field names them"
                )
        if self.input.text is None and self.input.vector is None:
            raise ValueError("neither a text field nor a vector field is given")
        budget = next((step.step for step in self.steps if step.needs_tokens), None)
        if budget and self.counting[0] == "none":
            raise ValueError(
                f"step {budget} has a token budget and nothing counts tokens: give input.tokens (--tokens) as "
                "model, column:NAME or a tokenizer.json"
            )
        if self.training_tokens is not None and self.counting[0] == "none":
            raise ValueError("training_tokens is given and nothing counts tokens: give input.tokens (--tokens)")
        return self

    @property
    def needs_vectors(self) -> bool:
        return any(step.needs_vectors for step in self.steps)

    @property
    def counting(self) -> tuple[str, str]:
        """How tokens are counted, as documents.documents.Reading has it; the model's directory is filled in later."""
        tokens = self.input.tokens
        if tokens == "auto":
            embeds = self.needs_vectors and self.input.vector is None and self.input.text is not None
            return ("model", "") if embeds else ("none", "")
        if tokens in WORDS:
            return tokens, ""
        if tokens.startswith(COLUMN):
            return "column", tokens.removeprefix(COLUMN)
        return "tokenizer", tokens

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric columns that steps look at."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.numbers))

    def to_yaml(self) -> str:
        return yaml.safe_dump(_plain(self.model_dump(mode="python")), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value
