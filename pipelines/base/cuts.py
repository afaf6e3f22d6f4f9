"""Options that many steps have: how much is left after the step, and which documents come first."""

import math
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sluice.transforms.stages.order import Order


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


def only_targets(step: str, cut: Cut) -> None:
    """Raises ValueError for a threshold, where scores have no meaning of their own."""
    if cut.limit is not None:
        raise ValueError(f"{step} takes a ratio or tokens, not a threshold: its scores mean nothing by themselves")


def only_ratio(step: str, cut: Cut) -> None:
    """Raises ValueError for any cut but a share of documents, where scores are made for a number of documents."""
    if cut.ratio is None or cut.tokens is not None:
        raise ValueError(f"{step} takes a ratio of documents only: its quotas are numbers of documents")
