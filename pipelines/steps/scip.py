"""scip: what lies where corrupted code lies."""

from collections.abc import Generator
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, model_validator

from sluice.models.arrays.vectors import COARSE
from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.cuts import Cut, only_ratio
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.stages.order import Order


class Scip(Clustered):
    """Small clusters go first, then documents far from their centroid, as corrupted code is (arXiv 2312.02418).

    alpha: the share of what goes that small clusters give; direction: `far` keeps documents far from their centroid
    instead; clusters: `auto` is at most the paper's 100. `python -m benchmarks.scip` in Sluice's
    repository shows whether it holds for a model.
    """

    step: Literal["scip"] = "scip"
    alpha: Decimal = Field(default=Decimal("0.8"), ge=0, le=1)
    direction: Literal["far", "near"] = "near"
    cut: Cut

    @model_validator(mode="after")
    def _ratio(self) -> "Scip":
        only_ratio(self.step, self.cut)
        return self

    def auto_clusters(self, documents: int) -> int:
        return min(super().auto_clusters(documents), 100)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.cluster_plans import ScipPlan
        from sluice.transforms.scores.groups import ClusterMembers, ScoreByGroups, WriteScipScores

        members = self.members(work)
        centroids = yield from self.train(work, members)
        clusters, stage = self.assign(work, members, centroids)
        yield stage
        first = int(self.alpha * max(work.alive - work.target, 0))
        config = [first, self.direction, asdict(self.guard)]
        scores = work.artifact("scores", WriteScipScores, config, clusters)
        order = Order("easy" if self.direction == "near" else "hard")
        listed = ClusterMembers(work.documents, clusters, work.before, self.guard, order, work.seed)
        score = ScoreByGroups(
            work.inventory,
            scores,
            listed,
            ScipPlan(clusters, first),
            groups=2,
            write=WriteScipScores(scores, listed),
            clusters=clusters.manifest["totals"]["clusters"],
            population=work.alive,
        )
        yield work.stage("scores", scores, score)
        return Scored(scores, scale=COARSE**2, clusters=clusters)

    def notes(self, totals: dict[str, Any]) -> list[str]:
        small, filled = totals["small_clusters"], totals["filled_clusters"]
        return [f"the {small:,} smallest of {filled:,} clusters went whole."] if small else []
