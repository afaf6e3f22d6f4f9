"""semdedup: semantic duplicates."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.step import Cut, OrderOption, to_order
from sluice.pipelines.base.work import Stage, Work
from sluice.transforms.clusters.assign import most_in_bin
from sluice.transforms.clusters.centroids import Members
from sluice.transforms.clusters.splits import SplitClusters, plan_splits
from sluice.transforms.scores import semdedup
from sluice.transforms.stages.artifacts import Artifact

MOST_SPLITS = 6


class SemDeDup(Clustered):
    """Semantic duplicates: documents too similar to an earlier one of their cluster (arXiv 2303.09540).

    bin_bytes: the most vectors that a worker scores at a time; a larger cluster is split.
    """

    names_neighbours: ClassVar[bool] = True
    folders: ClassVar[tuple[str, ...]] = ("copies", "centroids", "clusters", "scores", "keep")

    step: Literal["semdedup"] = "semdedup"
    order: OrderOption = "hard"
    rule: Literal["official", "greedy", "components"] = "official"
    bin_bytes: int = Field(default=256 << 20, ge=1)
    cut: Cut

    @model_validator(mode="after")
    def _threshold_rules(self) -> "SemDeDup":
        if self.rule != "official" and self.cut.limit is None:
            raise ValueError(f"rule {self.rule} takes a threshold or eps only: its kept sets are not nested")
        if self.cut.limit is not None and not -1 <= self.cut.limit <= 1:
            raise ValueError(f"a semdedup threshold is a cosine from -1 to 1, not {self.cut.limit}")
        return self

    def stages(self, work: Work) -> Iterator[Stage]:
        order = to_order(self.order)
        copies, stage = work.find_copies(work.embeddings, "digest", order)
        yield stage
        members = self.members(work, copies)
        centroids = yield from self.train(work, members)
        clusters, stage = self.assign(work, members, centroids, order=order, bin_bytes=self.bin_bytes)
        yield stage
        for number in range(1, MOST_SPLITS + 2):
            most = most_in_bin(self.bin_bytes, centroids.manifest["totals"]["dimension"])
            plan = plan_splits(clusters, centroids, most=most, seed=work.seed)
            if plan is None:
                break
            if number > MOST_SPLITS:
                raise ValueError(
                    f"step {work.name}: a cluster has more than bin_bytes {self.bin_bytes} after {MOST_SPLITS} splits"
                )
            folder = f"split-{number}/"
            finer = work.artifact(f"{folder}centroids", SplitClusters, asdict(plan), centroids, clusters)
            split = SplitClusters(work.inventory, members, clusters, centroids, finer, plan, work.units)
            yield work.stage(f"{folder}centroids", finer, split)
            centroids = finer
            clusters, stage = self.assign(
                work, members, centroids, order=order, bin_bytes=self.bin_bytes, folder=folder
            )
            yield stage
        yield self._score(work, members, clusters, copies, centroids.manifest["totals"]["dimension"])

    def _score(self, work: Work, members: Members, clusters: Artifact, copies: Artifact, dimension: int) -> Stage:
        limit = self.cut.limit
        scale = semdedup.scale_for(None if limit is None else float(limit))
        # A whole number is above limit * scale**2 just when it is above its floor.
        work.threshold = None if limit is None else int(limit * scale**2 // 1)
        work.scale = scale**2
        rule = semdedup.Rule(self.rule, work.threshold if self.rule != "official" else None, scale)
        config = [asdict(rule), asdict(self.guard), self.bin_bytes]
        work.scores = work.artifact("scores", semdedup.ScoreSemDeDup, config, clusters, copies)
        score = semdedup.ScoreSemDeDup(
            work.inventory,
            members,
            clusters,
            work.scores,
            rule,
            self.guard,
            dimension=dimension,
            units=work.units,
            bin_bytes=self.bin_bytes,
        )
        return work.stage("scores", work.scores, score)
