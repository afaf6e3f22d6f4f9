"""What steps over clusters share: how many clusters, k-means over the documents still in, and their assignment."""

import json
from collections.abc import Generator
from dataclasses import asdict
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sluice.models.clustering import kmeans
from sluice.models.clustering.assign import choose_method
from sluice.models.clustering.two_level import plan_levels
from sluice.pipelines.base.layout import SCORED, Clustering, Slot
from sluice.pipelines.base.places import absolute_path
from sluice.pipelines.base.runs import CurrentRun
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Stage, Work
from sluice.transforms.clusters.fit import check_embedding, content_digest
from sluice.transforms.clusters.members import Members
from sluice.transforms.stages import memory
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.order import Order


class Clustered(Step):
    """clusters: how many, `auto` is the square root of the documents still in; assignment: as assign.METHODS.

    They are trained on sample_per_cluster documents each, at most max_sample in all. A worker that trains holds at most
    trainer_bytes: where that is too little for all clusters at once, they are trained in two levels. refine: iterations
    over all documents after that. centroids: a finished run, or a step or centroids folder of one: its centroids are
    taken, and none are trained.
    """

    needs_vectors: ClassVar[bool] = True

    clusters: int | Literal["auto"] = "auto"
    iterations: int = Field(default=20, ge=1, le=1000)
    sample_per_cluster: int = Field(default=256, ge=1)
    max_sample: int | None = Field(default=None, ge=1)
    trainer_bytes: int = Field(default=2 << 30, ge=1)
    refine: int = Field(default=0, ge=0, le=100)
    centroids: str | None = Field(default=None, min_length=1)
    assignment: Literal["auto", "exact", "scann"] = "auto"

    @field_validator("centroids")
    @classmethod
    def _absolute(cls, url: str | None) -> str | None:
        return None if url is None else absolute_path(url)

    @field_validator("clusters")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 10_000_000:
            raise ValueError(f"clusters must be from 1 to 10000000, not {value}")
        return value

    def auto_clusters(self, documents: int) -> int:
        """How many clusters `auto` makes of so many documents."""
        return kmeans.choose_k(documents)

    @model_validator(mode="after")
    def _one_source(self) -> "Clustered":
        if self.centroids is not None:
            for name in ("clusters", "iterations", "sample_per_cluster", "max_sample", "trainer_bytes"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} has no meaning beside centroids: those of {self.centroids} are taken")
        return self

    @property
    def over_clusters(self) -> bool:
        return True

    @property
    def clustering_iterations(self) -> int:
        return self.iterations

    def clustering(self) -> tuple[Slot, ...]:
        """Its stages up to the documents' clusters."""
        centroids = Slot("centroids", law="train") if self.centroids is None else Slot("centroids", "one", law="fixed")
        refined = (Slot(f"refine-{number}/centroids", law="assign") for number in range(1, self.refine + 1))
        return (centroids, *refined, Slot("clusters", law="assign"))

    def layout(self) -> tuple[Slot, ...]:
        return (*self.clustering(), *SCORED)

    def check(self, run: CurrentRun) -> None:
        """Look for the centroids of another run; those of an earlier step of the run itself are not there yet."""
        if self.centroids is not None and not self.centroids.startswith(f"{run.url}/"):
            described = json.loads(json.dumps(run.embedding_recipe, default=str))
            check_embedding(run.centroids_at(self.centroids, self.step), described)

    def members(self, work: Work, copies: Artifact | None = None) -> Members:
        """The documents that are clustered: all that are still in, or only the first of equal ones."""
        return Members(work.documents, work.embeddings, work.before, copies)

    def train(self, work: Work, members: Members) -> Generator[Stage, None, Artifact]:
        """The stages that make the step's centroids, which are what the generator returns.

        k-means over a sample of the members, in two levels where one is too large, or the centroids of another run;
        then the refinements. Raises ValueError for more clusters than there are documents, and for centroids that do
        not fit.
        """
        # heavy: Beam
        from sluice.transforms.clusters.refine import RefineCentroids

        centroids, stage = self._trained(work, members) if self.centroids is None else self._adopted(work)
        yield stage
        for number in range(1, self.refine + 1):
            folder = f"refine-{number}/centroids"
            refined = work.artifact(folder, RefineCentroids, None, centroids, *inputs(members))
            yield work.stage(folder, refined, RefineCentroids(work.inventory, refined, members, centroids))
            centroids = refined
        return centroids

    def _trained(self, work: Work, members: Members) -> tuple[Artifact, Stage]:
        # heavy: Beam
        from sluice.transforms.clusters.centroids import MakeCentroids, Training
        from sluice.transforms.clusters.two_level import MakeTwoLevels

        population = work.alive
        if members.copies is not None:
            population = members.copies.manifest["totals"]["distinct"]
        k = self._cluster_count(population)
        if k > population:
            raise ValueError(
                f"step {work.name}: {k} clusters for {population} documents; give --clusters a smaller number"
            )
        sample = self._sample(k, population)
        dimension = members.embeddings.manifest["totals"]["max_dimension"]
        levels = plan_levels(k=k, sample=sample, dimension=dimension, trainer_bytes=self.trainer_bytes)
        training = Training(
            k,
            sample,
            population,
            work.seed,
            self.step,
            iterations=self.iterations,
            method=self.assignment,
            levels=levels,
        )
        maker = MakeCentroids if levels is None else MakeTwoLevels
        centroids = work.artifact("centroids", maker, asdict(training), *inputs(members))
        make: MakeCentroids | MakeTwoLevels = MakeCentroids(work.inventory, centroids, members, training)
        if levels is not None:
            make = MakeTwoLevels(work.inventory, centroids, members, training, dimension, self.trainer_bytes)
        return centroids, work.stage("centroids", centroids, make)

    def _cluster_count(self, documents: int) -> int:
        return self.auto_clusters(documents) if self.clusters == "auto" else self.clusters

    def _sample(self, k: int, documents: int) -> int:
        return min(max(self.sample_per_cluster * k, 1), self.max_sample or documents, documents)

    def planned_clustering(self, documents: int, dimension: int) -> Clustering | None:
        if not self.over_clusters or self.centroids is not None:
            return None
        k = self._cluster_count(documents)
        sample = self._sample(k, documents)
        levels = plan_levels(k=k, sample=sample, dimension=dimension, trainer_bytes=self.trainer_bytes)
        if levels is None:
            needs = memory.training(sample=sample, dimension=dimension, k=k)
        else:
            needs = memory.training_in_two_levels(trainer_bytes=self.trainer_bytes, dimension=dimension, k=k)
        searched = choose_method(self.assignment, k) == "scann"
        return Clustering(k, sample, self.iterations, levels is not None, searched, needs)

    def _adopted(self, work: Work) -> tuple[Artifact, Stage]:
        # heavy: Beam
        from sluice.transforms.clusters.adopted import AdoptCentroids

        assert self.centroids is not None
        source = work.run.centroids_at(self.centroids, self.step)
        members = self.members(work)
        check_embedding(source, members.embedding, members.embeddings.manifest["totals"]["max_dimension"])
        centroids = work.artifact("centroids", AdoptCentroids, ["adopted", content_digest(source), self.assignment])
        adopt = AdoptCentroids(centroids, source, self.assignment, settings={"centroids": source.url})
        return centroids, work.stage("centroids", centroids, adopt)

    def assign(
        self,
        work: Work,
        members: Members,
        centroids: Artifact,
        *,
        order: Order | None = None,
        bin_bytes: int = 0,
        folder: str = "",
    ) -> tuple[Artifact, Stage]:
        """Every member's cluster; where an order is given, the vectors as well, sorted for bins of that size."""
        # heavy: Beam
        from sluice.transforms.clusters.assign import AssignClusters, run_bytes

        # A unit's files must be of one run length, also where its worker died between them.
        described = None if order is None else [asdict(order), run_bytes(bin_bytes)]
        clusters = work.artifact(f"{folder}clusters", AssignClusters, described, centroids, *inputs(members))
        assign = AssignClusters(work.inventory, clusters, members, centroids, order, work.seed, bin_bytes)
        return clusters, work.stage(f"{folder}clusters", clusters, assign)


def inputs(members: Members) -> tuple[Artifact | None, ...]:
    return members.documents, members.embeddings, members.keep, members.copies
