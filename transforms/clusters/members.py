"""The documents that a clustering is made of, and its arrays, as finished stages left them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import read_not_null, survivors
from sluice.transforms.storage import sealed

# Totals that were added up from the parts of centroids: they are not those of others that are made of them.
OF_PARTS = ("sampled", "assigned", "checked", "agreed")


@dataclass(frozen=True)
class Members:
    """What a clustering is made of: the documents still in, of equal vectors only the first if `copies` is given."""

    documents: Artifact
    embeddings: Artifact
    keep: Artifact | None
    copies: Artifact | None = None

    @property
    def embedding(self) -> dict[str, Any]:
        """How the vectors were made, as the manifest of the finished embeddings says."""
        return self.embeddings.manifest["config"]["embedder"]

    def alive(self, unit: int) -> np.ndarray:
        """bool [rows of documents/]: still in."""
        return survivors(self.keep, unit, self.documents.part(unit)["rows"])

    def representatives(self, unit: int) -> np.ndarray:
        """bool [rows of documents/]: still in, and no copy of an earlier one."""
        alive = self.alive(unit)
        if self.copies is not None:
            alive &= ~read_not_null(self.copies, unit, "first_row")
        return alive


def save_array(artifact: Artifact, name: str, array: np.ndarray) -> None:
    sealed.save_array(artifact.file(name, ".npy"), array)


def load_array(artifact: Artifact, name: str) -> np.ndarray:
    """An array of an artifact, copied into memory. Raises Damaged, for a missing one too."""
    with artifact.opened(name, ".npy") as path:
        return np.load(path, allow_pickle=False)


def all_centroids(centroids: Artifact) -> np.ndarray:
    """float32 [k, d]: the centroids of all clusters, those of the parts of split clusters after the others."""
    found = [load_array(centroids, "centroids")]
    if centroids.manifest["totals"].get("splits"):
        found.append(load_array(centroids, "splits"))
    return np.concatenate(found).astype(np.float32)
