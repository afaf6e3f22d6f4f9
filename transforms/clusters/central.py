"""The most central documents of clusters, as the stage that assigned documents left them."""

from typing import NamedTuple

import numpy as np

from sluice.models.arrays.vectors import COARSE
from sluice.transforms.clusters.members import load_array
from sluice.transforms.stages.artifacts import Artifact

CENTRAL = 3


class Central(NamedTuple):
    """A document by its address, and its cosine to the centroid of its cluster."""

    unit: int
    row: int
    similarity: float


def read_central(clusters: Artifact, groups: list[list[int]]) -> list[list[Central]]:
    """The CENTRAL most central documents of each group of clusters; none where an earlier version made the artifact."""
    if "central" not in clusters.manifest["totals"]:
        return [[] for _ in groups]
    array = load_array(clusters, "central")
    return [_of_group(array, group) for group in groups]


def _of_group(array: np.ndarray, group: list[int]) -> list[Central]:
    bounds = (np.searchsorted(array[:, 0], [cluster, cluster + 1]) for cluster in group)
    found = np.concatenate([array[start:stop] for start, stop in bounds])
    chosen = found[np.argsort(-found[:, 1], kind="stable")[:CENTRAL]]
    return [Central(int(unit), int(row), float(dot / COARSE**2)) for _, dot, unit, row in chosen]
