"""Centroids of another run: nothing is trained, their files are copied into this run, so that it needs no other."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.models.clustering.assign import choose_method
from sluice.transforms.clusters.centroids import save_index
from sluice.transforms.clusters.members import OF_PARTS, load_array, save_array
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import to_fixed
from sluice.transforms.stages.stage import OnePart
from sluice.transforms.storage import sealed


@dataclass
class AdoptCentroids(OnePart):
    """pipeline -> centroids/ with those of another run; `method` as models.clustering.assign.METHODS.

    Its one part has a row for each centroid. settings: what the manifest says of the other run.
    """

    version = 3

    source: Artifact
    method: str = "auto"
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        return self.settings

    def write(self) -> dict[str, Any]:
        totals = {name: value for name, value in self.source.manifest["totals"].items() if name not in OF_PARTS}
        centroids = load_array(self.source, "centroids")
        save_array(self.target, "centroids", centroids)
        if totals.get("splits"):
            save_array(self.target, "splits", load_array(self.source, "splits"))
        chosen = choose_method(self.method, len(centroids))
        if chosen == "scann" and totals["method"] == "scann":
            # Two builds of an index differ: the same centroids assign as they did there.
            with self.source.opened("index", ".tar") as path:
                sealed.copy(path, self.target.file("index", ".tar"))
        else:
            save_index(self.target, centroids.astype(np.float32), chosen)
        table = pa.table([to_fixed(centroids)], names=["vector"])
        self.target.write(0, [table], table.schema, {})
        return totals | {"method": chosen, "adopted": self.source.url}
