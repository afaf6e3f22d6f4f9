"""exact: documents with equal texts."""

from collections.abc import Generator
from dataclasses import asdict
from typing import ClassVar, Literal

from sluice.pipelines.base.cuts import ColumnOrder, SourceOrder, to_order
from sluice.pipelines.base.layout import COPIES, SCORED, Slot
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work


class Exact(Step):
    """Documents whose texts are equal but for case, white space and Unicode form: all but the first go."""

    needs_text_hashes: ClassVar[bool] = True
    names_neighbours: ClassVar[bool] = True

    step: Literal["exact"] = "exact"
    order: Literal["random"] | ColumnOrder | SourceOrder = "random"

    def layout(self) -> tuple[Slot, ...]:
        return (COPIES, *SCORED)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.simple import ExactScores

        copies, stage = work.find_copies(work.documents, "text_hash", to_order(self.order))
        yield stage
        scores = work.artifact("scores", ExactScores, asdict(self.guard), copies)
        yield work.score_units(ExactScores(scores, work.documents, work.before, self.guard, copies))
        return Scored(scores, threshold=0)
