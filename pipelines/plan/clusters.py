"""How many clusters a recipe's steps make, how they are trained, and how large the largest one may be."""

from dataclasses import dataclass

from sluice.models.clustering import two_level
from sluice.models.forecast import growth
from sluice.models.forecast.clusters import largest_cluster
from sluice.models.forecast.ranges import Range
from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.step import Step
from sluice.pipelines.plan.work import Facts
from sluice.pipelines.steps.semdedup import SemDeDup
from sluice.transforms.clusters.assign import most_in_bin


def clusters_of(step: Step, alive: float) -> int:
    """How many clusters a step makes of so many documents; 0 where it has none, or takes those of another run."""
    if not isinstance(step, Clustered) or "centroids" not in step.folders:
        return 0
    return step.auto_clusters(max(int(alive), 1)) if step.clusters == "auto" else step.clusters


def sample_of(step: Clustered, alive: float) -> int:
    """Documents that a step's centroids are trained on."""
    count = max(int(alive), 1)
    k = clusters_of(step, count)
    return growth.sample_for(count, k, per_cluster=step.sample_per_cluster, most=step.max_sample)


def levels_of(step: Clustered, alive: float, dimension: int) -> two_level.Levels | None:
    """The levels that training needs; None for one. Raises ValueError where two are not enough."""
    k = clusters_of(step, alive)
    return two_level.plan_levels(
        k=k, sample=sample_of(step, alive), dimension=dimension, trainer_bytes=step.trainer_bytes
    )


@dataclass(frozen=True)
class Largest:
    """The forecast of a step's largest cluster: documents, and how many a bin holds (None: it has no bins)."""

    step: str
    clusters: int
    documents: Range
    most_in_bin: int | None


def largest_clusters(facts: Facts) -> list[Largest]:
    """For each step over clusters of its own."""
    found = []
    for name, (step, alive) in facts.steps.items():
        k = clusters_of(step, alive.before.likely)
        if k:
            most = most_in_bin(step.bin_bytes, facts.dimension) if isinstance(step, SemDeDup) else None
            found.append(Largest(name, k, largest_cluster(facts.skew, alive.before.likely, k), most))
    return found
