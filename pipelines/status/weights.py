"""What the units and bins of a run weigh, so that a share of them can be told; read from its manifests alone."""

from collections import defaultdict
from functools import cached_property

import numpy as np
import pyarrow as pa

from sluice.pipelines.run.finished import Finished
from sluice.transforms.clusters.members import load_array
from sluice.transforms.storage.damage import ArtifactError

# What a file that is damaged, half written or gone raises.
UNREADABLE = (ArtifactError, OSError, ValueError, EOFError, KeyError, pa.ArrowException)


class Weights:
    """Of the units: their documents, or before those are known the bytes of input. Empty where neither can be read."""

    def __init__(self, run: Finished):
        self.run = run

    @property
    def measure(self) -> str:
        return "documents" if self.documents else "bytes"

    @property
    def units(self) -> dict[int, float]:
        return self.documents or self.input_bytes

    @cached_property
    def documents(self) -> dict[int, float]:
        found = self.run.find("documents")
        return {} if found is None else {part["unit"]: part["rows"] for part in found.manifest["parts"]}

    @cached_property
    def input_bytes(self) -> dict[int, float]:
        """Bytes of the input for each unit; a file that is cut by something else than bytes is divided evenly by it."""
        inventory = self.run.find("inventory")
        if inventory is None:
            return {}
        try:
            spans = inventory.read(0, ["unit", "path", "start", "stop", "size"]).to_pylist()
        except UNREADABLE:
            return {}
        whole: dict[str, int] = defaultdict(int)
        for span in spans:
            whole[span["path"]] += span["stop"] - span["start"]
        found: dict[int, float] = defaultdict(float)
        for span in spans:
            total = whole[span["path"]]
            found[span["unit"]] += span["size"] * ((span["stop"] - span["start"]) / total if total else 1)
        return dict(found)

    def bins(self, step: str) -> dict[int, float]:
        """What each bin of a step weighs whose clusters are finished; empty where it makes no bins of them."""
        options = self.run.options(step)
        embeddings = self.run.find("embeddings")
        clusters = self.run.find(self.run.last(step, "clusters")) if options.over_clusters else None
        if embeddings is None or clusters is None:
            return {}
        try:
            counts = load_array(clusters, "statistics")[1].astype(np.float64)
            dimension = embeddings.manifest["totals"]["max_dimension"]
        except UNREADABLE:
            return {}
        return options.bins(counts, dimension)
