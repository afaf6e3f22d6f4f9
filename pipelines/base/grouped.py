"""What cap and balance share: groups of documents, nested, and each document's place in its group."""

from collections.abc import Generator
from dataclasses import asdict
from typing import Literal

from pydantic import Field, model_validator

from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.cuts import OrderOption, to_order
from sluice.pipelines.base.layout import KEEP, Slot
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.scores.base import Guard
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.order import Order


class Grouped(Clustered):
    """groups: `source`, `cluster`, or both, the outer one first: [source, cluster] is clusters inside each source.

    order: which documents of a group come first; hard and easy go by similarity to the centroid, so they need clusters.
    With two groups an outer group's documents come in turns from its inner ones.
    measure: groups are compared by documents or by tokens.
    """

    groups: tuple[Literal["source", "cluster"], ...] = Field(default=("source",), min_length=1)
    order: OrderOption = "random"
    measure: Literal["documents", "tokens"] = "documents"

    @model_validator(mode="after")
    def _groups(self) -> "Grouped":
        if len(set(self.groups)) != len(self.groups):
            raise ValueError(f"groups names one twice: {', '.join(self.groups)}")
        if "cluster" not in self.groups:
            if self.order in ("hard", "easy"):
                raise ValueError(f"order {self.order} goes by similarity to a centroid: it needs groups with cluster")
            for name in Clustered.model_fields.keys() - Step.model_fields.keys():
                if getattr(self, name) != Clustered.model_fields[name].default:
                    raise ValueError(f"{name} is given, and the groups are no clusters")
        return self

    @property
    def needs_vectors(self) -> bool:  # type: ignore[override]
        return "cluster" in self.groups

    @property
    def over_clusters(self) -> bool:
        return "cluster" in self.groups

    @property
    def needs_source(self) -> bool:
        return "source" in self.groups or super().needs_source

    @property
    def needs_tokens(self) -> bool:
        return self.measure == "tokens" or super().needs_tokens

    def layout(self) -> tuple[Slot, ...]:
        clustering = self.clustering() if self.needs_vectors else ()
        inner = (Slot("inner", shuffled=72),) if len(self.groups) > 1 else ()
        return (*clustering, *inner, Slot("scores", shuffled=72), KEEP)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        clusters = None
        if self.needs_vectors:
            members = self.members(work)
            centroids = yield from self.train(work, members)
            clusters, stage = self.assign(work, members, centroids)
            yield stage
        order = to_order(self.order)
        finer = None
        if len(self.groups) > 1:
            finer = self._artifact(work, "inner", self.groups, clusters, None)
            yield self._rank(work, "inner", finer, self.groups, order=order, clusters=clusters, finer=None)
        outer = self.groups[:1]
        scores = self._artifact(work, "scores", outer, clusters, finer)
        yield self._rank(work, "scores", scores, outer, order=order, clusters=clusters, finer=finer)
        return Scored(scores, clusters=clusters)

    def _artifact(self, work: Work, folder: str, by: tuple[str, ...], *inputs: Artifact | None) -> Artifact:
        # heavy: Beam
        from sluice.transforms.scores.ranks import RankWithinGroups

        guard = asdict(self.guard) if folder == "scores" else None
        config = [by, asdict(to_order(self.order)), self.measure, guard]
        return work.artifact(folder, RankWithinGroups, config, work.documents, work.before, *inputs)

    def _rank(
        self,
        work: Work,
        folder: str,
        target: Artifact,
        by: tuple[str, ...],
        *,
        order: Order,
        clusters: Artifact | None,
        finer: Artifact | None,
    ) -> Stage:
        # heavy: Beam
        from sluice.transforms.scores.ranks import Groups, RankWithinGroups

        groups = Groups(work.documents, work.before, by, order, work.seed, self.measure, clusters, finer)
        guard = self.guard if folder == "scores" else Guard()
        rank = RankWithinGroups(work.inventory, target, groups, guard, work.alive)
        return work.stage(folder, target, rank)
