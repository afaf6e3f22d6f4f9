"""What becomes of documents that the model computes no vector for: a step that no recipe names removes them.

It stands before the first step that needs vectors, under that step's number, and only in runs that have such documents;
so they have a fate, a row in decisions/ and a place in the accounts like any other, and no scorer ever meets them.
"""

from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal

from sluice.pipelines.base.layout import Condition, Slot
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work


class Embedded(Step):
    """Documents whose vector is not finite, or zero."""

    needs_vectors: ClassVar[bool] = True

    step: Literal["embedded"] = "embedded"

    def layout(self) -> tuple[Slot, ...]:
        needed = Condition("embeddings", "without_vector", absent=False)
        return tuple(replace(slot, only_if=needed) for slot in super().layout())

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.simple import EmbeddedScores

        inputs = work.documents, work.embeddings, work.before
        scores = work.artifact("scores", EmbeddedScores, asdict(self.guard), *inputs)
        yield work.score_units(
            EmbeddedScores(scores, work.documents, work.before, self.guard, embeddings=work.embeddings)
        )
        return Scored(scores, threshold=0)

    def notes(self, totals: dict[str, Any]) -> list[str]:
        count = totals["removable"]
        what = "1 document has" if count == 1 else f"{count:,} documents have"
        return [f"{what} no vector: what the model computes is not finite, or zero."]


def embedded_name(number: int) -> str:
    """The step's name, before the step of that number."""
    return f"{number:02d}-embedded"


def with_embedded(steps: Sequence[Step]) -> list[tuple[str, Step]]:
    """(name, step) of a recipe's steps and of the one before the first that needs vectors."""
    named = [(f"{number:02d}-{step.step}", step) for number, step in enumerate(steps, start=1)]
    place = next(place for place, (_, step) in enumerate(named) if step.needs_vectors)
    return [*named[:place], (embedded_name(place + 1), Embedded()), *named[place:]]
