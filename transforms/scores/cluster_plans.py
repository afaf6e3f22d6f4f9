"""What Density-Based Pruning and SCIP want of each cluster, from tables as long as there are clusters."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.models.cut.groups import Narrowing
from sluice.models.methods import density, scip
from sluice.transforms.clusters.members import load_array, save_array
from sluice.transforms.stages.artifacts import Artifact

QUOTAS = "quotas"


@dataclass(frozen=True)
class DensityPlan:
    """Removable documents by cluster -> every cluster a group of its own with its quota; the table is saved beside the
    scores (quotas-KEY.npy, rows of density.QUOTA)."""

    centroids: Artifact
    clusters: Artifact
    scores: Artifact
    target: int
    rule: density.Rule

    def __call__(self, removable: np.ndarray) -> Narrowing:
        statistics = load_array(self.clusters, "statistics")
        protected = statistics[0] - removable
        centroids, final = final_centroids(self.centroids)
        table = np.zeros(len(final), density.QUOTA)
        table[final] = density.quota_table(
            centroids[final],
            statistics[:, final],
            protected=protected[final],
            target=self.target,
            rule=self.rule,
        )
        save_array(self.scores, QUOTAS, table)
        return Narrowing.start(np.arange(len(table)), table["quota"] - protected)

    def totals(self, planned: Narrowing) -> dict[str, Any]:
        return density.extremes(load_quotas(self.scores))


def final_centroids(centroids: Artifact) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [k, d], bool [k]): centroids by cluster, and False for clusters that were split into later ones."""
    splits = centroids.manifest["totals"].get("splits") or []
    found = [load_array(centroids, name) for name in ("centroids", *(["splits"] if splits else []))]
    final = np.ones(sum(map(len, found)), bool)
    final[[cluster for cluster, _ in splits]] = False
    return np.concatenate(found).astype(np.float32), final


@dataclass(frozen=True)
class ScipPlan:
    """Removable documents by cluster -> two groups: clusters that go whole, and those of the size at which it ends."""

    clusters: Artifact
    remove: int

    def __call__(self, removable: np.ndarray) -> Narrowing:
        sizes = load_array(self.clusters, "statistics")[0]
        small = scip.small_clusters(sizes, removable, min(self.remove, int(removable.sum())))
        group = np.where(small.whole, 0, np.where(small.rim, 1, -1))
        return Narrowing.start(group, np.array([0, small.keep], np.int64))

    def totals(self, planned: Narrowing) -> dict[str, Any]:
        filled = load_array(self.clusters, "statistics")[0] > 0
        return {"filled_clusters": int(filled.sum()), "small_clusters": int((filled & (planned.group == 0)).sum())}


def load_quotas(scores: Artifact) -> np.ndarray:
    """The quota table of finished density scores."""
    return load_array(scores, QUOTAS)
