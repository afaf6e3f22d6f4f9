"""density: every cluster keeps a quota, the more the more there is to it."""

from collections.abc import Generator
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, model_validator

from sluice.models.arrays.vectors import COARSE
from sluice.models.methods import density
from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.cuts import Cut, only_ratio
from sluice.pipelines.base.layout import KEEP, Slot
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.stages.order import Order


class Density(Clustered):
    """Clusters that are spread out and far from others keep more of their documents (arXiv 2401.04578).

    neighbours: other centroids that `far` is measured to; temperature: the lower, the more quotas differ; floor: share
    of an equal quota that every cluster keeps; order: which documents of a cluster stay, `hard` are those far from its
    centroid.
    """

    step: Literal["density"] = "density"
    neighbours: int = Field(default=20, ge=1, le=1000)
    temperature: Decimal = Field(default=Decimal("0.1"), ge=Decimal("0.001"), le=1000)
    floor: Decimal = Field(default=Decimal("0.5"), ge=0, le=1)
    order: Literal["hard", "easy", "random"] = "hard"
    cut: Cut

    @model_validator(mode="after")
    def _ratio(self) -> "Density":
        only_ratio(self.step, self.cut)
        return self

    def layout(self) -> tuple[Slot, ...]:
        return (*self.clustering(), Slot("scores", shuffled=28), KEEP)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.cluster_plans import DensityPlan
        from sluice.transforms.scores.groups import ClusterMembers, ScoreByGroups, WriteDensityScores

        members = self.members(work)
        centroids = yield from self.train(work, members)
        clusters, stage = self.assign(work, members, centroids)
        yield stage
        target = work.target
        rule = density.Rule(self.neighbours, self.temperature, self.floor)
        config = [target, asdict(rule), self.order, asdict(self.guard)]
        scores = work.artifact("scores", WriteDensityScores, config, clusters)
        listed = ClusterMembers(work.documents, clusters, work.before, self.guard, Order(self.order), work.seed)
        k = clusters.manifest["totals"]["clusters"]
        score = ScoreByGroups(
            work.inventory,
            scores,
            listed,
            DensityPlan(centroids, clusters, scores, target, rule),
            groups=k,
            write=WriteDensityScores(scores, listed),
            clusters=k,
            population=work.alive,
        )
        yield work.stage("scores", scores, score)
        # Half a product more is what tells documents that go from those of equal similarity that stay.
        return Scored(scores, scale=2 * COARSE**2, clusters=clusters)

    def notes(self, totals: dict[str, Any]) -> list[str]:
        spread = totals["spread"]
        apart = "" if spread is None else f"; the largest share of the softmax is {spread:.1f} times the smallest"
        if not totals["filled_clusters"]:
            return []
        return [
            f"{totals['filled_clusters']:,} clusters keep from {totals['least_kept']:.1%} to {totals['most_kept']:.1%} "
            f"of their documents, {totals['whole_clusters']:,} of them all{apart}."
        ]

    def details(self, step: AuditedStep) -> dict[str, Any]:
        # heavy: Beam
        from sluice.transforms.scores.cluster_plans import load_quotas

        table = load_quotas(step.scores)
        return {"quotas": density.extremes(table) | density.summary(table)}
