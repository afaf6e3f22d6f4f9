"""What steps over clusters share: how many clusters, k-means over the documents still in, and their assignment."""

from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from sluice.models import kmeans
from sluice.pipelines.step import Step
from sluice.transforms.artifacts import Artifact
from sluice.transforms.centroids import MakeCentroids, Members, Training
from sluice.transforms.clusters import AssignClusters
from sluice.transforms.order import Order

if TYPE_CHECKING:
    from sluice.pipelines.work import Stage, Work


class Clustered(Step):
    """clusters: how many, `auto` is the square root of the documents still in; assignment: as models.assign.METHODS."""

    needs_vectors: ClassVar[bool] = True
    folders: ClassVar[tuple[str, ...]] = ("centroids", "clusters", "scores", "keep")

    clusters: int | Literal["auto"] = "auto"
    iterations: int = Field(default=20, ge=1, le=1000)
    sample_per_cluster: int = Field(default=256, ge=1)
    max_sample: int = Field(default=1_000_000, ge=1)
    assignment: Literal["auto", "exact", "scann"] = "auto"

    @field_validator("clusters")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 10_000_000:
            raise ValueError(f"clusters must be from 1 to 10000000, not {value}")
        return value

    def members(self, work: "Work", copies: Artifact | None = None) -> Members:
        """The documents that are clustered: all that are still in, or only the first of equal ones."""
        return Members(work.documents, work.embeddings, work.before, copies)

    def train(self, work: "Work", members: Members) -> tuple[Artifact, "Stage"]:
        """k-means over a sample of the members. Raises ValueError for more clusters than there are documents."""
        population = work.alive
        if members.copies is not None:
            population = members.copies.manifest["totals"]["distinct"]
        k = kmeans.choose_k(population) if self.clusters == "auto" else self.clusters
        if k > population:
            raise ValueError(
                f"step {work.name}: {k} clusters for {population} documents; give --clusters a smaller number"
            )
        training = Training(
            k,
            min(max(self.sample_per_cluster * k, 1), self.max_sample, population),
            population,
            work.seed,
            self.step,
            iterations=self.iterations,
            method=self.assignment,
        )
        centroids = work.artifact("centroids", asdict(training), *inputs(members))
        transform = MakeCentroids(work.inventory, members, centroids, training, work.units)
        return centroids, work.stage("centroids", centroids, transform)

    def assign(
        self, work: "Work", members: Members, centroids: Artifact, *, order: Order | None = None, folder: str = ""
    ) -> tuple[Artifact, "Stage"]:
        """Every member's cluster; inside a cluster documents lie in the order, where one is given."""
        described = None if order is None else asdict(order)
        clusters = work.artifact(f"{folder}clusters", described, centroids, *inputs(members))
        work.clusters = clusters
        assign = AssignClusters(work.inventory, members, centroids, clusters, order, work.seed, work.units)
        return clusters, work.stage(f"{folder}clusters", clusters, assign)


def inputs(members: Members) -> tuple[Artifact | None, ...]:
    return members.documents, members.embeddings, members.keep, members.copies
