"""What all steps of a recipe share: how they cut, in which order they prefer documents, whom they leave alone."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sluice.pipelines.base.layout import SCORED, Find, Slot
from sluice.transforms.scores.base import Guard
from sluice.transforms.stages.order import Order

if TYPE_CHECKING:
    from sluice.pipelines.base.work import Stage, Work
    from sluice.pipelines.run.finished import Finished
    from sluice.pipelines.run.run import Run
    from sluice.transforms.audit.views import AuditedStep


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
    """A step of a recipe: its options, and the stages that score the documents still in; the cut is the same for all.

    only, protect: sources that the step may remove from, or never removes from.
    A file in pipelines/steps/ defines one subclass, with a field `step` that holds its name.
    """

    # What it needs to be there: vectors (given or from a model), the text itself, hashes of the texts.
    needs_vectors: ClassVar[bool] = False
    needs_texts: ClassVar[bool] = False
    needs_text_hashes: ClassVar[bool] = False
    # Whether a removed document has another of the corpus that it resembles.
    names_neighbours: ClassVar[bool] = False
    # Whether its scores are cosines, of which people know what they mean.
    scores_cosines: ClassVar[bool] = False
    # Of its removed documents, so many are shown at the end of a run.
    examples: ClassVar[int] = 1

    step: str
    only: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()

    def layout(self) -> tuple[Slot, ...]:
        """Its stages in order, with all that the data may make necessary; `stages` makes them, or some of them."""
        return SCORED

    def needed(self, find: Find) -> tuple[Slot, ...]:
        """Those of the layout that a run has, as far as its finished stages tell; find: by their folder."""
        return self.layout()

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(slot.folder for slot in self.layout() if not slot.repeat)

    @property
    def over_clusters(self) -> bool:
        """Whether it clusters the documents for itself."""
        return False

    @property
    def vector_scale(self) -> int | None:
        """Where it scores pairs of documents within clusters: what vectors are scaled by, whose products are scores."""
        return None

    @property
    def binding_rule(self) -> str | None:
        """The rule by which its scores hold for its own threshold only; None where they hold for any."""
        return None

    @property
    def other_runs(self) -> tuple[str, ...]:
        """Earlier runs that documents are compared with."""
        return ()

    @property
    def asked(self) -> Cut | None:
        """Its cut, of steps that have one."""
        return getattr(self, "cut", None)

    @property
    def guard(self) -> Guard:
        return Guard(self.only, self.protect)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric columns of the input that the step looks at."""
        order = getattr(self, "order", None)
        return (order.column,) if isinstance(order, ColumnOrder) else ()

    @property
    def named_sources(self) -> tuple[str, ...]:
        """Every source that an option names."""
        order = getattr(self, "order", None)
        return (*self.only, *self.protect, *(order.sources if isinstance(order, SourceOrder) else ()))

    @property
    def needs_source(self) -> bool:
        return bool(self.named_sources)

    @property
    def needs_tokens(self) -> bool:
        return self.asked is not None and self.asked.tokens is not None

    def bins(self, counts: np.ndarray, dimension: int) -> dict[int, float]:
        """What each bin of its scores weighs, by number, where it makes bins of its clusters.

        counts: documents of each cluster, int [k]; dimension: of their vectors.
        """
        return {}

    def notes(self, totals: dict[str, Any]) -> list[str]:
        """Sentences for the summary, from the totals in the manifest of the finished scores."""
        return []

    def not_compared(self, step: "AuditedStep") -> list[str]:
        """Sentences for the summary about texts and items that the finished step could not look at."""
        return []

    def check(self, run: "Run") -> None:
        """Look at the files that the step names, before any work. Raises ValueError or FileNotFoundError."""

    def stages(self, work: "Work") -> Iterator["Stage"]:
        """The stages up to the scores, which must be in work.scores when the last one is asked for."""
        raise TypeError(f"{type(self).__name__} must define stages")

    def matched(self, run: "Finished", name: str, row: dict[str, Any]) -> dict[str, Any] | None:
        """What outside the run a document resembles, from its row of scores/: where, id, text and problem."""
        return None

    def rules(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The rules that cost a document most, from its row of scores/: rule, and cost as a share of the best score."""
        return []

    def details(self, step: "AuditedStep") -> dict[str, Any] | None:
        """What the report says about the finished step that no other step has."""
        return None


def only_targets(step: str, cut: Cut) -> None:
    """Raises ValueError for a threshold, where scores have no meaning of their own."""
    if cut.limit is not None:
        raise ValueError(f"{step} takes a ratio or tokens, not a threshold: its scores mean nothing by themselves")


def only_ratio(step: str, cut: Cut) -> None:
    """Raises ValueError for any cut but a share of documents, where scores are made for a number of documents."""
    if cut.ratio is None or cut.tokens is not None:
        raise ValueError(f"{step} takes a ratio of documents only: its quotas are numbers of documents")
