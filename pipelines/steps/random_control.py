"""random: the control."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

from pydantic import model_validator

from sluice.pipelines.step import Cut, Step, only_targets
from sluice.pipelines.work import Stage, Work
from sluice.transforms.simple_scores import RandomScores


class Random(Step):
    """A uniform sample by a hash of the id: the control for any other recipe."""

    step: Literal["random"] = "random"
    cut: Cut

    @model_validator(mode="after")
    def _targets(self) -> "Random":
        only_targets(self.step, self.cut)
        return self

    def stages(self, work: Work) -> Iterator[Stage]:
        scores = work.artifact("scores", asdict(self.guard), work.documents, work.before)
        yield work.score_units(RandomScores(scores, work.documents, work.before, self.guard, work.seed))
