"""score: any numeric column of the input."""

from collections.abc import Generator
from dataclasses import asdict
from typing import Literal

from pydantic import Field, model_validator

from sluice.pipelines.base.cuts import Cut
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work


class Score(Step):
    """A numeric column as the score: a quality classifier, CLIP similarity (DataComp), EL2N (Paul et al. 2021).

    keep: `top` keeps large values, `bottom` small ones, `window` those from low to high, both included. A threshold is
    a value of the column: top keeps values of at least that, bottom of at most that. A window without a cut removes
    what is outside; with ratio or tokens it keeps those nearest to its inside, the middle first.
    missing: documents without a finite number there are all kept (`keep`), or go before all others (`remove`).
    """

    step: Literal["score"] = "score"
    column: str = Field(min_length=1)
    keep: Literal["top", "bottom", "window"] = "top"
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    missing: Literal["keep", "remove"] = "keep"
    cut: Cut | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Score":
        if self.keep == "window":
            if self.low is None or self.high is None or self.low > self.high:
                raise ValueError(f"a window needs low and high, low at most high; given: {self.low} and {self.high}")
            if self.cut is not None and self.cut.limit is not None:
                raise ValueError("a window takes ratio or tokens, or no cut at all: low and high are its thresholds")
        elif self.low is not None or self.high is not None:
            raise ValueError(f"low and high belong to keep: window, not to keep: {self.keep}")
        elif self.cut is None:
            raise ValueError(f"score with keep: {self.keep} needs a cut")
        if self.cut is not None and self.cut.eps is not None:
            raise ValueError("score takes ratio, tokens or a threshold; eps is for similarities")
        return self

    @property
    def numbers(self) -> tuple[str, ...]:
        return (self.column,)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.column import Column, ColumnScores

        how = Column(self.column, self.keep, self.low, self.high, self.missing)
        scores = work.artifact("scores", ColumnScores, [asdict(how), asdict(self.guard)], work.documents, work.before)
        yield work.score_units(ColumnScores(scores, work.documents, work.before, self.guard, how))
        return Scored(scores, self._limit())

    def _limit(self) -> float | None:
        if self.cut is None:
            return 0.0
        if self.cut.limit is None:
            return None
        return -float(self.cut.limit) if self.keep == "top" else float(self.cut.limit)

    def notes(self, totals: dict) -> list[str]:
        without = totals.get("missing", 0)
        fate = "are kept" if self.missing == "keep" else "go first"
        return [f"{without:,} documents have no number in {self.column!r}: they {fate}."] if without else []
