"""How many documents are still in before each step of a recipe, as far as that can be told before anything has run."""

from dataclasses import dataclass

from sluice.models.forecast.ranges import Range
from sluice.pipelines.base.cuts import Cut
from sluice.pipelines.base.step import Step
from sluice.pipelines.plan.measure import Counted
from sluice.pipelines.recipe.recipe import Recipe

# Shares kept where only the data decide.
COPIES_GO, NEAR_COPIES_GO, THRESHOLD, OTHER = 0.6, Range(0.5, 0.85, 1.0), Range(0.5, 0.85, 1.0), Range(0.1, 0.6, 1.0)


@dataclass(frozen=True)
class Alive:
    """Documents before a step and after it."""

    before: Range
    after: Range


def survivors(recipe: Recipe, counted: Counted, *, everything: bool) -> list[Alive]:
    """For each step of the recipe. Shares and budgets of a cut are exact, in documents or in mean tokens."""
    alive, found = counted.documents, []
    for step in recipe.steps:
        after = _after(step, alive, counted, everything)
        found.append(Alive(alive, after))
        alive = after
    return found


def _after(step: Step, alive: Range, counted: Counted, everything: bool) -> Range:
    cut: Cut | None = getattr(step, "cut", None)
    if cut is not None and (cut.ratio is not None or cut.tokens is not None):
        return alive.at_most(_target(cut, counted))
    if step.step == "exact":
        # A sample finds few of the copies: each needs its other one in the sample too.
        share = 1 - (counted.equal_texts or 0.0)
        kept = Range.exactly(share) if everything else Range(min(COPIES_GO, share), share, 1.0)
        return alive.times(kept)
    if step.step == "minhash":
        return alive.times(NEAR_COPIES_GO)
    if step.step == "random" and getattr(step, "epochs", None):
        share = min(float(step.epochs * step.share), 1.0)  # type: ignore[attr-defined]
        return alive.times(Range.around(share, 0.02)).at_most(alive)
    return alive.times(THRESHOLD if cut is not None else OTHER)


def _target(cut: Cut, counted: Counted) -> Range:
    share = counted.documents.times(float(cut.ratio)) if cut.ratio is not None else None
    if cut.tokens is None:
        assert share is not None
        return share
    if counted.tokens is None or counted.tokens.low <= 0:
        return counted.documents
    budget = Range.exactly(float(cut.tokens)).over(counted.tokens)
    return budget if share is None else budget.at_least(share)
