"""A recipe: what is read, how it is embedded, the steps that score and cut. Checked whole before any work."""

import math
from decimal import Decimal
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sluice.transforms.order import Order
from sluice.transforms.scores import Guard


class Strict(BaseModel):
    """Unknown names and wrong types are errors; values do not change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cut(Strict):
    """How much of the corpus is left after a step: one of these.

    ratio: share of the valid documents before any step; tokens: a budget; threshold: scores above it go; eps: the same
    as threshold = 1 - eps, as the SemDeDup paper has it. ratio and tokens together: that share of all tokens, or the
    budget where it is more.
    """

    ratio: Decimal | None = Field(default=None, gt=0, le=1)
    tokens: int | None = Field(default=None, gt=0)
    threshold: Decimal | None = None
    eps: Decimal | None = Field(default=None, ge=0, le=2)

    @model_validator(mode="after")
    def _one(self) -> "Cut":
        given = [name for name in ("ratio", "tokens", "threshold", "eps") if getattr(self, name) is not None]
        if len(given) != 1 and given != ["ratio", "tokens"]:
            raise ValueError(f"a cut is one of ratio, tokens, threshold, eps; given: {', '.join(given) or 'none'}")
        return self

    @property
    def limit(self) -> Decimal | None:
        """The threshold, also when it was given as eps."""
        return self.threshold if self.eps is None else 1 - self.eps

    def target(self, *, documents: int, tokens: int) -> tuple[Literal["documents", "tokens"], int]:
        """What to keep, of a corpus that had so many valid documents and tokens: ceil(ratio * documents), or tokens."""
        if self.ratio is not None and self.tokens is None:
            return "documents", math.ceil(self.ratio * documents)
        return "tokens", max(self.tokens or 0, math.ceil((self.ratio or 0) * tokens))


class ColumnOrder(Strict):
    """The documents with the largest (or smallest) number in a column come first."""

    column: str
    descending: bool = True


class SourceOrder(Strict):
    """Sources, best first; `source` of the input says which field names them."""

    sources: tuple[str, ...] = Field(min_length=1)


OrderOption = Literal["hard", "easy", "random"] | ColumnOrder | SourceOrder


def to_order(option: OrderOption) -> Order:
    if isinstance(option, ColumnOrder):
        return Order("column", column=option.column, descending=option.descending)
    return Order("sources", sources=option.sources) if isinstance(option, SourceOrder) else Order(option)


class Step(Strict):
    """only, protect: sources that the step may remove from, or never removes from."""

    only: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()

    @property
    def guard(self) -> Guard:
        return Guard(self.only, self.protect)


class Exact(Step):
    """Documents whose texts are equal but for case, white space and Unicode form: all but the first go."""

    step: Literal["exact"] = "exact"
    order: Literal["random"] | ColumnOrder | SourceOrder = "random"


class Clustered(Step):
    """clusters: how many, `auto` is the square root of the documents still in; assignment: as models.assign.METHODS."""

    clusters: int | Literal["auto"] = "auto"
    iterations: int = Field(default=20, ge=1, le=1000)
    sample_per_cluster: int = Field(default=256, ge=1)
    max_sample: int = Field(default=1_000_000, ge=1)
    assignment: Literal["auto", "exact", "scann"] = "auto"

    @field_validator("clusters")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 10_000_000:
            raise ValueError(f"clusters must be from 1 to 10000000, not {value}")
        return value


class SemDeDup(Clustered):
    """Semantic duplicates: documents too similar to an earlier one of their cluster (arXiv 2303.09540).

    bin_bytes: the most vectors that a worker scores at a time; a larger cluster is split.
    """

    step: Literal["semdedup"] = "semdedup"
    order: OrderOption = "hard"
    rule: Literal["official", "greedy", "components"] = "official"
    bin_bytes: int = Field(default=256 << 20, ge=1)
    cut: Cut

    @model_validator(mode="after")
    def _threshold_rules(self) -> "SemDeDup":
        if self.rule != "official" and self.cut.limit is None:
            raise ValueError(f"rule {self.rule} takes a threshold or eps only: its kept sets are not nested")
        if self.cut.limit is not None and not -1 <= self.cut.limit <= 1:
            raise ValueError(f"a semdedup threshold is a cosine from -1 to 1, not {self.cut.limit}")
        return self


class Prototypes(Clustered):
    """The most prototypical documents, nearest to their centroid, go (arXiv 2206.14486); `near` keeps those instead.

    scope: over the whole corpus, or the same share of every cluster.
    """

    step: Literal["prototypes"] = "prototypes"
    direction: Literal["far", "near"] = "far"
    scope: Literal["corpus", "cluster"] = "corpus"
    cut: Cut

    @model_validator(mode="after")
    def _targets(self) -> "Prototypes":
        if self.cut.limit is not None:
            raise ValueError("prototypes takes a ratio or tokens: its scores mean nothing outside one clustering")
        return self


class Random(Step):
    """A uniform sample by a hash of the id: the control for any other recipe."""

    step: Literal["random"] = "random"
    cut: Cut

    @model_validator(mode="after")
    def _targets(self) -> "Random":
        if self.cut.limit is not None:
            raise ValueError("random takes a ratio or tokens, not a threshold")
        return self


AnyStep = Annotated[Exact | SemDeDup | Prototypes | Random, Field(discriminator="step")]
TEXT_STEPS = (Exact,)


class Input(Strict):
    """Where documents are and how a record becomes one. tokens: none, model, column:NAME or a tokenizer.json file."""

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


class Embedding(Strict):
    """The model directory (default: all-MiniLM-L6-v2 as installed) and how many tokens of a text it sees."""

    model: str | None = None
    max_tokens: int = Field(default=256, ge=3)
    pooling: str = "auto"


class Recipe(Strict):
    """Everything that decides which documents are kept."""

    name: str = "custom"
    seed: int = Field(default=0, ge=0, lt=2**63)
    input: Input
    embedding: Embedding = Embedding()
    steps: tuple[AnyStep, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        text_after_vectors = False
        for step in self.steps:
            if isinstance(step, Exact) and self.input.text is None:
                raise ValueError("step exact needs text, and input.text is null")
            if isinstance(step, Exact) and text_after_vectors:
                raise ValueError("step exact must come before the steps that need vectors: it spares embedding copies")
            text_after_vectors |= isinstance(step, Clustered)
            if (
                step.only or step.protect or isinstance(getattr(step, "order", None), SourceOrder)
            ) and not self.input.source:
                raise ValueError(
                    f"step {step.step} tells sources apart: say with input.source (--source) which field names them"
                )
        if self.input.text is None and self.input.vector is None:
            raise ValueError("neither a text field nor a vector field is given")
        cuts = [(step.step, getattr(step, "cut", None)) for step in self.steps]
        budget = next((name for name, cut in cuts if cut is not None and cut.tokens), None)
        if budget and self.counting[0] == "none":
            raise ValueError(
                f"step {budget} has a token budget and nothing counts tokens: give input.tokens (--tokens) as "
                "model, column:NAME or a tokenizer.json"
            )
        return self

    @property
    def clustered(self) -> bool:
        return any(isinstance(step, Clustered) for step in self.steps)

    @property
    def counting(self) -> tuple[str, str]:
        """How tokens are counted, as transforms.documents.Reading has it; the model's directory is filled in later."""
        tokens = self.input.tokens
        if tokens == "auto":
            embeds = self.clustered and self.input.vector is None and self.input.text is not None
            return ("model", "") if embeds else ("none", "")
        if tokens in ("none", "model"):
            return tokens, ""
        if tokens.startswith("column:"):
            return "column", tokens.removeprefix("column:")
        return "tokenizer", tokens

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric columns that steps order by."""
        orders = [getattr(step, "order", None) for step in self.steps]
        return tuple(dict.fromkeys(order.column for order in orders if isinstance(order, ColumnOrder)))

    def to_yaml(self) -> str:
        return yaml.safe_dump(_plain(self.model_dump(mode="python")), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value
