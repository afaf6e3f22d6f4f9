"""random: the control."""

from collections.abc import Generator
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sluice.pipelines.base.cuts import Cut, only_targets
from sluice.pipelines.base.layout import SCORED, Slot
from sluice.pipelines.base.places import absolute_path
from sluice.pipelines.base.runs import CurrentRun, FinishedRun
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.stages.order import Order


class Random(Step):
    """A uniform sample by a hash of the id: the control for any other recipe.

    One of these says how much. cut: a ratio or tokens. like: the directory of a finished run; as many documents of
    every length stay as it kept (lengths in tokens, or characters where none are counted, in bins an eighth wide).
    epochs and share: RS2 (arXiv 2305.18424), a fresh share of the documents for each of so many epochs, without
    replacement until all are used; the plan is in epochs/, and what no epoch reads goes.
    """

    step: Literal["random"] = "random"
    like: str | None = Field(default=None, min_length=1)
    epochs: int | None = Field(default=None, ge=1, le=1000)
    share: Decimal | None = Field(default=None, gt=0, le=1)
    cut: Cut | None = None

    @field_validator("like")
    @classmethod
    def _absolute(cls, url: str | None) -> str | None:
        return None if url is None else absolute_path(url).rstrip("/")

    @model_validator(mode="after")
    def _targets(self) -> "Random":
        given = [name for name in ("cut", "like", "epochs") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"random takes one of cut, like, and epochs with share; given: {', '.join(given) or 'none'}"
            )
        if (self.epochs is None) != (self.share is None):
            raise ValueError(
                "epochs and share go together: how many epochs, and which share of the documents each reads"
            )
        if self.cut is not None:
            only_targets(self.step, self.cut)
        return self

    def layout(self) -> tuple[Slot, ...]:
        if self.like is not None:
            return (Slot("quotas", "other units"), *SCORED)
        return SCORED if self.epochs is None else (Slot("epochs"), *SCORED)

    def check(self, run: CurrentRun) -> None:
        if self.like is None:
            return
        if absolute_path(run.url) == self.like:
            raise ValueError(f"step random: {run.url} is this run itself")
        other = run.open(self.like)
        other.artifact(f"steps/{other.steps[-1]}/keep")
        if other.recipe.counting != run.recipe.counting:
            raise ValueError(
                f"step random: {other.url} counts tokens by {' '.join(other.recipe.counting)}, this run by "
                f"{' '.join(run.recipe.counting)}: lengths cannot be compared"
            )
        if run.recipe.counting[0] == "none" and None in (run.recipe.input.text, other.recipe.input.text):
            raise ValueError("step random: lengths are not known without texts or tokens: give input.tokens")

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.simple import RandomScores

        if self.like is not None:
            return (yield from self._like(work, work.run.open(self.like)))
        if self.epochs is not None:
            return (yield from self._epochs(work))
        scores = work.artifact("scores", RandomScores, asdict(self.guard), work.documents, work.before)
        yield work.score_units(RandomScores(scores, work.documents, work.before, self.guard, work.seed))
        return Scored(scores)

    def _like(self, work: Work, other: FinishedRun) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.random_plans import CountLengths, quotas_of
        from sluice.transforms.scores.ranks import Groups, RankWithinGroups
        from sluice.transforms.stages.stage import WriteUnits

        length = "characters" if work.run.recipe.counting[0] == "none" else "tokens"
        documents, keep = other.artifact("documents"), other.artifact(f"steps/{other.steps[-1]}/keep")
        inventory = other.artifact("inventory")
        quotas = work.artifact("quotas", CountLengths, length, documents, keep)
        count = CountLengths(quotas, documents, keep, length)
        yield work.stage("quotas", quotas, WriteUnits(inventory, quotas, count))
        inputs = quotas, work.documents, work.before
        scores = work.artifact("scores", RankWithinGroups, asdict(self.guard), *inputs)
        groups = Groups(work.documents, work.before, ("length",), Order("random"), work.seed, length=length)
        rank = RankWithinGroups(work.inventory, scores, groups, self.guard, work.alive, quotas=quotas_of(quotas))
        yield work.stage("scores", scores, rank)
        return Scored(scores, threshold=0)

    def _epochs(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.random_plans import Epochs, EpochScores, WriteEpochs
        from sluice.transforms.stages.stage import WriteUnits

        assert self.epochs is not None and self.share is not None
        epochs = Epochs(self.epochs, Fraction(self.share), work.seed)
        config = [self.epochs, str(self.share)]
        plan = work.artifact("epochs", WriteEpochs, config, work.documents, work.before)
        write = WriteEpochs(plan, work.documents, work.before, epochs)
        yield work.stage("epochs", plan, WriteUnits(work.inventory, plan, write))
        scores = work.artifact("scores", EpochScores, asdict(self.guard), plan)
        yield work.score_units(EpochScores(scores, work.documents, work.before, self.guard, plan))
        return Scored(scores, threshold=0)

    def notes(self, totals: dict[str, Any]) -> list[str]:
        wanted, found = totals.get("max_wanted") or 0, totals.get("within_quota", 0)
        if found >= wanted:
            return []
        return [f"only {found:,} of {wanted:,} documents have the lengths that {self.like} kept."]
