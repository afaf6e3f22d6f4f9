"""length: the longest documents."""

from collections.abc import Generator
from dataclasses import asdict
from typing import Literal

from pydantic import model_validator

from sluice.pipelines.base.cuts import Cut
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work


class Length(Step):
    """The longest documents go: Brevity is the soul of wit (arXiv 2407.00434), made for files of code.

    by: tokens, or characters where nothing counts tokens. The cut is a ratio, tokens, or a threshold: the greatest
    length that stays. A document whose tokens are not known stays.
    """

    step: Literal["length"] = "length"
    by: Literal["tokens", "characters"] = "tokens"
    cut: Cut

    @model_validator(mode="after")
    def _lengths(self) -> "Length":
        if self.cut.eps is not None:
            raise ValueError("length takes a ratio, tokens or a threshold; eps is for similarities")
        if self.cut.threshold is not None and not 0 <= self.cut.threshold < 2**32:
            raise ValueError(f"a length threshold is a number of {self.by}, not {self.cut.threshold}")
        return self

    @property
    def needs_tokens(self) -> bool:
        return self.by == "tokens" or super().needs_tokens

    @property
    def needs_texts(self) -> bool:  # type: ignore[override]
        return self.by == "characters"

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.simple import LengthScores

        scores = work.artifact("scores", LengthScores, [self.by, asdict(self.guard)], work.documents, work.before)
        yield work.score_units(LengthScores(scores, work.documents, work.before, self.guard, self.by))
        # A whole number is above a threshold just when it is above its floor.
        return Scored(scores, None if self.cut.threshold is None else int(self.cut.threshold // 1))
