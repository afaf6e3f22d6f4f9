"""cap and balance: no source or cluster too large."""

from collections.abc import Generator
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from sluice.pipelines.base.cuts import Cut, only_targets
from sluice.pipelines.base.grouped import Grouped
from sluice.pipelines.base.work import Scored, Stage, Work


class Cap(Grouped):
    """At most so many documents (or tokens) of every group; what comes later in a group's order goes.

    most: of each group, exactly, or the longest prefix of its order within so many tokens. Kept sets are nested in it.
    """

    step: Literal["cap"] = "cap"
    most: int = Field(ge=1)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        scored = yield from super().stages(work)
        return replace(scored, threshold=self.most)


class Balance(Grouped):
    """A target for the corpus, shared out evenly: one cap for all groups, as low as the target asks (arXiv 2405.15613).

    A group smaller than the cap keeps everything; the ones it leaves over go at random to the others. With two groups
    the same is done inside each outer group. Kept sets are nested in the target.
    """

    step: Literal["balance"] = "balance"
    cut: Cut

    @model_validator(mode="after")
    def _targets(self) -> "Balance":
        only_targets(self.step, self.cut)
        return self
