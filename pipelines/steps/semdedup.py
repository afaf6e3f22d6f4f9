"""semdedup: semantic duplicates."""

from collections.abc import Generator
from dataclasses import asdict
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from sluice.models.arrays.vectors import scale_for
from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.cuts import Cut, OrderOption, to_order
from sluice.pipelines.base.layout import COPIES, KEEP, Condition, Find, Slot
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.clusters.bins import plan_bins
from sluice.transforms.clusters.members import Members
from sluice.transforms.clusters.sorted_records import most_in_bin
from sluice.transforms.stages.artifacts import Artifact

MOST_SPLITS = 6


class SemDeDup(Clustered):
    """Semantic duplicates: documents too similar to an earlier one of their cluster (arXiv 2303.09540).

    bin_bytes: the most vectors that a worker scores at a time; a larger cluster is split.
    """

    names_neighbours: ClassVar[bool] = True
    scores_cosines: ClassVar[bool] = True
    examples: ClassVar[int] = 3

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

    def layout(self) -> tuple[Slot, ...]:
        splits: list[Slot] = []
        for number in range(1, MOST_SPLITS + 1):
            needed = Condition(f"steps/{{step}}/{_split(number - 1)}clusters", "too_large", absent=True)
            splits += [Slot(_split(number) + name, repeat=number, only_if=needed) for name in ("centroids", "clusters")]
        return (COPIES, *self.clustering(), *splits, Slot("scores", law="pairs", shuffled=20), KEEP)

    def needed(self, find: Find) -> tuple[Slot, ...]:
        splits = 0
        while splits < MOST_SPLITS and self._too_large(find, _split(splits)):
            splits += 1
        return tuple(slot for slot in self.layout() if slot.repeat <= splits)

    def _too_large(self, find: Find, folder: str) -> bool:
        """Whether a clustering is finished, and a cluster of it has more than a worker scores at a time."""
        centroids, clusters = find(f"{folder}centroids"), find(f"{folder}clusters")
        if centroids is None or clusters is None:
            return False
        largest = clusters.manifest["totals"]["largest_representatives"]
        return largest > most_in_bin(self.bin_bytes, centroids.manifest["totals"]["dimension"])

    def most_in_cluster(self, dimension: int) -> int:
        return most_in_bin(self.bin_bytes, dimension)

    @property
    def vector_scale(self) -> int:
        # heavy: Beam

        return scale_for(None if self.cut.limit is None else float(self.cut.limit))

    @property
    def binding_rule(self) -> str | None:
        return None if self.rule == "official" else self.rule

    def bins(self, counts: np.ndarray, dimension: int) -> dict[int, float]:
        records = most_in_bin(self.bin_bytes, dimension)
        planned = plan_bins(counts.astype(np.int64), records_per_bin=records)
        pairs = counts * (counts - 1) / 2
        # A bin of single documents compares nothing and is work all the same.
        return {one.id: float(pairs[one.first : one.last].sum()) + one.records for one in planned}

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.clusters.splits import SplitClusters, plan_splits

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
            folder = _split(number)
            finer = work.artifact(f"{folder}centroids", SplitClusters, asdict(plan), centroids, clusters)
            split = SplitClusters(work.inventory, finer, members, clusters, centroids, plan)
            yield work.stage(f"{folder}centroids", finer, split)
            centroids = finer
            clusters, stage = self.assign(
                work, members, centroids, order=order, bin_bytes=self.bin_bytes, folder=folder
            )
            yield stage
        dimension = centroids.manifest["totals"]["dimension"]
        return (yield from self._score(work, members, clusters, copies, dimension))

    def _score(
        self, work: Work, members: Members, clusters: Artifact, copies: Artifact, dimension: int
    ) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores import semdedup

        limit, scale = self.cut.limit, self.vector_scale
        # A whole number is above limit * scale**2 just when it is above its floor.
        threshold = None if limit is None else int(limit * scale**2 // 1)
        rule = semdedup.Rule(self.rule, threshold if self.rule != "official" else None, scale)
        config = [asdict(rule), asdict(self.guard), self.bin_bytes]
        scores = work.artifact("scores", semdedup.ScoreSemDeDup, config, clusters, copies)
        score = semdedup.ScoreSemDeDup(
            work.inventory,
            scores,
            members,
            clusters,
            rule,
            self.guard,
            dimension=dimension,
            bin_bytes=self.bin_bytes,
        )
        yield work.stage("scores", scores, score)
        return Scored(scores, threshold, scale**2, clusters)


def _split(number: int) -> str:
    """The folder of the clustering after so many splits."""
    return f"split-{number}/" if number else ""
