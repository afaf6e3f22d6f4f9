"""prototypes: what is most like the rest of its cluster."""

from collections.abc import Generator
from dataclasses import asdict
from typing import ClassVar, Literal

from pydantic import model_validator

from sluice.models.arrays.vectors import COARSE
from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.cuts import Cut, only_targets
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.stages.order import Order


class Prototypes(Clustered):
    """The most prototypical documents, nearest to their centroid, go (arXiv 2206.14486); `near` keeps those instead.

    scope: over the whole corpus, or the same share of every cluster.
    """

    scores_cosines: ClassVar[bool] = True

    step: Literal["prototypes"] = "prototypes"
    direction: Literal["far", "near"] = "far"
    scope: Literal["corpus", "cluster"] = "corpus"
    cut: Cut

    @model_validator(mode="after")
    def _targets(self) -> "Prototypes":
        only_targets(self.step, self.cut)
        return self

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.ranks import Groups, RankWithinGroups
        from sluice.transforms.scores.simple import PrototypeScores

        members = self.members(work)
        centroids = yield from self.train(work, members)
        clusters, stage = self.assign(work, members, centroids)
        yield stage
        maker = PrototypeScores if self.scope == "corpus" else RankWithinGroups
        scores = work.artifact("scores", maker, [self.direction, self.scope, asdict(self.guard)], clusters)
        if self.scope == "corpus":
            yield work.score_units(
                PrototypeScores(scores, work.documents, work.before, self.guard, clusters, self.direction)
            )
            return Scored(scores, scale=COARSE**2, clusters=clusters)
        order = Order("hard" if self.direction == "far" else "easy")
        groups = Groups(work.documents, work.before, ("cluster",), order, work.seed, clusters=clusters)
        rank = RankWithinGroups(work.inventory, scores, groups, self.guard, documents=work.alive, relative=True)
        yield work.stage("scores", scores, rank)
        return Scored(scores, clusters=clusters)
