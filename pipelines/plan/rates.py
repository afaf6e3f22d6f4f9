"""What each kind of stage cost where it was measured, as rates: constants.json, which benchmarks/ write.

`measured` holds D4 with given vectors at several dimensions (benchmarks/scale), `steps` every other step
(benchmarks/plan), each with the machine it was measured on.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.models.forecast import growth
from sluice.models.forecast.ranges import Range

CONSTANTS = Path(__file__).with_name("constants.json")
# Half of the documents are kept in what was measured, so that a step after semdedup saw three quarters of them.
ALIVE = {"semdedup": 1.0, "prototypes": 0.75}
# Their work beside products is moving vectors.
VECTOR_PARTS = ("centroids", "clusters")
VECTOR_STAGES = ("semdedup/scores", "target/scores", "target/classifier", "contamination/matches", "reference/scores")
# Their work is reading texts.
TEXT_STAGES = ("minhash/signatures", "quality/scores", "contamination/matches")
# Their work is that of a sample of so many documents (the step's `sample`), or of the items given.
SAMPLED, ITEMS = ("quality/weights", "target/classifier"), ("contamination/items", "target/items")
# What a unit's part is on its way to the manifest, in bytes.
PART_SHUFFLED = 900
# A stage of which nothing is known: core-seconds, bytes stored and shuffled a document.
UNKNOWN = 10e-6, 10.0, 20.0
SAMPLE, MEASURED, ELSEWHERE, NOT_MEASURED = "sample", "measured", "measured on another step", "not measured"
# What the likely time is multiplied with: processor time of one stage differs that much from run to run and corpus to
# corpus (docs/plan.md).
SPREAD = {
    SAMPLE: Range(0.7, 1.0, 1.5),
    MEASURED: Range(0.6, 1.0, 1.8),
    ELSEWHERE: Range(0.5, 1.0, 2.5),
    NOT_MEASURED: Range(0.2, 1.0, 5.0),
}


@dataclass(frozen=True)
class Rate:
    """A stage's work beside products and beside starting a job. Per document still in: core-seconds, bytes stored and
    shuffled. basis: where it is from.
    """

    seconds: float
    stored: float
    shuffled: float
    basis: str


class Rates:
    """The rates for vectors of one dimension, from those measured at the nearest one."""

    def __init__(self, constants: dict[str, Any], dimension: int):
        measured = {int(name): found for name, found in constants["measured"].items()}
        nearest = min(measured, key=lambda one: (abs(math.log(one / dimension)), -measured[one]["documents"]))
        self._d4, self._steps = measured[nearest], constants.get("steps", {})
        self._dimension, self.machine = dimension, self._d4["machine"]
        self.reference_gflops = self._d4["gemm_per_core"] / 1e9

    @property
    def job_seconds(self) -> float:
        """Core-seconds of a job that does next to nothing."""
        return self._d4["stages"]["inventory"]["core_seconds"]

    def reached(self, kind: str) -> float:
        """The rate of a kind of product (assign, pairs, train) beside a plain one."""
        found = [stage["products"][kind] for stage in self._d4["stages"].values() if kind in stage["products"]]
        return (
            sum(one["flops"] for one in found) / sum(one["core_seconds"] for one in found) / self._d4["gemm_per_core"]
        )

    @property
    def sample_share(self) -> float:
        """Of the documents that were clustered, how many trained the centroids."""
        documents = self._d4["documents"] * ALIVE["semdedup"]
        return growth.sample_for(int(documents), self._d4["clusters"]) / documents

    @property
    def skew(self) -> float:
        """Operations on pairs beside those of clusters of equal size."""
        stage, n = self._d4["stages"]["01-semdedup/scores"], self._d4["documents"]
        equal = growth.pair_flops(n, n / self._d4["clusters"], self._d4["dimension"])
        return stage["products"]["pairs"]["flops"] / equal

    def stage(self, kind: str, *, characters: float = 0.0) -> Rate:
        """The rate of a kind of stage, as semdedup/scores; characters: mean length of a text."""
        _, _, part = kind.partition("/")
        named = {name.split("-", 1)[-1]: name for name in self._d4["stages"]}
        if kind in named:
            return self._of_d4(named[kind], kind, MEASURED)
        if kind in self._steps.get("stages", {}):
            return self._of_step(kind, characters)
        if part.rpartition("/")[2] in ("centroids", "clusters"):
            return self._of_d4(named[f"prototypes/{part.rpartition('/')[2]}"], kind, ELSEWHERE)
        if part in ("copies", "keep"):
            return self._of_d4(named[f"semdedup/{part}"], kind, ELSEWHERE)
        return Rate(*UNKNOWN, NOT_MEASURED)

    def _of_d4(self, name: str, kind: str, basis: str) -> Rate:
        stage, constants = self._d4["stages"][name], self._d4
        documents = constants["documents"] * ALIVE.get(name.partition("/")[0].split("-")[-1], 1.0)
        products = sum(
            stage["products"][one]["core_seconds"] for one in ("assign", "pairs", "train") if one in stage["products"]
        )
        seconds = max(stage["core_seconds"] - products - self.job_seconds, 0.0) / documents
        scale = self._scale(kind, constants["dimension"])
        return Rate(
            seconds * scale, stage["stored_bytes"] / documents, _sent(stage, constants, kind) / documents, basis
        )

    def _of_step(self, kind: str, characters: float) -> Rate:
        stage, documents = self._steps["stages"][kind], self._steps["stages"][kind]["documents"]
        # The cheapest of the jobs measured with it did next to nothing.
        job = min(one["core_seconds"] for one in self._steps["stages"].values())
        seconds = (stage["core_seconds"] - job) / documents
        scale = self._scale(kind, self._steps["dimension"])
        if kind in TEXT_STAGES:
            scale *= max(characters, 1.0) / self._steps["characters"]
        sent = _sent(stage, self._steps, kind)
        return Rate(seconds * scale, stage["stored_bytes"] / documents, sent / documents, MEASURED)

    def _scale(self, kind: str, dimension: int) -> float:
        vectors = kind.rpartition("/")[2] in VECTOR_PARTS or (kind in VECTOR_STAGES and kind not in TEXT_STAGES)
        return self._dimension / dimension if vectors else 1.0


def _sent(stage: dict[str, Any], run: dict[str, Any], kind: str) -> float:
    """Bytes shuffled that grow with the documents: without those of each unit, and the arrays of counts."""
    counts = growth.shuffled_counts(
        kind.rpartition("/")[2], clusters=run["clusters"], bundles=1, documents=run["documents"]
    )
    return max(stage["shuffled_bytes"] - PART_SHUFFLED * run["units"] - counts, 0.0)


def load_constants() -> dict[str, Any]:
    """Everything that was measured."""
    return json.loads(CONSTANTS.read_text(encoding="utf-8"))
