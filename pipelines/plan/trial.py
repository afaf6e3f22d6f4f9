"""The recipe's own stages on parts of the sample, each a real run in a temporary directory: what each one took."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.models.forecast.laws import Size
from sluice.pipelines.base.layout import Clustering
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Stage
from sluice.pipelines.recipe.recipe import Losses, Recipe
from sluice.pipelines.run.layout import Listed, recipe_stages
from sluice.pipelines.run.run import Run
from sluice.pipelines.run.runner import readable_errors, start_job
from sluice.pipelines.steps import find_steps
from sluice.transforms.stages import memory

log = logging.getLogger("sluice")
# Where no vectors are looked at, as many numbers as the default model's have.
USUAL_DIMENSION = 384
UNIT_BYTES = 128 << 20


@dataclass(frozen=True)
class Tried:
    """A stage of a trial. size: what it worked on; stored: bytes; transform: of its job."""

    listed: Listed
    size: Size
    core_seconds: float
    stored: int
    transform: Any

    def memory(self, planned: Clustering | None) -> int:
        """What its worker needs where the step's clustering is as planned. The trial's files must still be there."""
        if planned and self.listed.slot.law == "train":
            return planned.memory
        if planned and hasattr(self.transform, "memory_with"):
            return self.transform.memory_with(planned.clusters)
        return self.transform.worker_memory if hasattr(type(self.transform), "worker_memory") else memory.PROCESS


@dataclass
class Trial:
    """stages: by name; dimension: of the vectors; largest: of a step's clusters, the largest beside the mean one;
    clusters, kept: of each step, how many, and the share of the documents before it. stopped: why there are no more.
    """

    stages: dict[str, Tried] = field(default_factory=dict)
    dimension: int = USUAL_DIMENSION
    largest: dict[str, float] = field(default_factory=dict)
    clusters: dict[str, int] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)
    documents: float = 0.0
    stopped: str | None = None


def try_recipe(recipe: Recipe, corpus: str, folder: str, *, share: float) -> Trial:
    """Run the recipe over a corpus that is `share` of the documents."""
    run = Run(folder, _for_trial(recipe, corpus, share))
    listed = {one.name: one for one in recipe_stages(run.recipe)}
    found, alive = Trial(), 0.0
    # A trial is no news.
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        for stage in run.stages():
            started = time.process_time()
            with readable_errors(stage.name):
                start_job(stage.transform, stage.name).wait_until_finish()
            seconds = time.process_time() - started
            one, totals = listed[stage.name], stage.artifacts[-1].manifest["totals"]
            if stage.name == "embeddings":
                found.dimension = totals["max_dimension"] or USUAL_DIMENSION
            if stage.name == "documents":
                alive = found.documents = float(totals["documents"])
            if "k" in totals and one.step_name and not one.slot.repeat:
                found.clusters[one.step_name] = totals["k"]
            size = size_of(one.step, alive, found.dimension, found.clusters.get(one.step_name or ""))
            found.stages[stage.name] = Tried(one, size, seconds, _bytes(stage), stage.transform)
            if "largest" in totals and one.step_name and not one.slot.repeat:
                found.largest[one.step_name] = totals["largest"] * totals["clusters"] / max(alive, 1.0)
            if one.slot.law == "cut" and one.step_name:
                found.kept[one.step_name] = totals["kept"] / max(alive, 1.0)
                alive = float(totals["kept"])
    except (RuntimeError, ValueError, OSError) as error:
        found.stopped = str(error)
    finally:
        log.setLevel(level)
    return found


def size_of(step: Step | None, documents: float, dimension: int, adopted: int | None = None) -> Size:
    """What a stage of a step works on. adopted: clusters that it takes from another run."""
    planned = step.planned_clustering(max(int(documents), 1), dimension) if step else None
    k = float(planned.clusters if planned else adopted or 1)
    cluster = documents / k
    if step and (most := step.most_in_cluster(dimension)):
        # One that no bin holds is split into parts that are half full on average.
        cluster = min(cluster, most / 2)
    if planned is None:
        return Size(documents, 0.0, k, cluster, dimension)
    return Size(documents, planned.sample, k, cluster, dimension, planned.iterations)


def _for_trial(recipe: Recipe, corpus: str, share: float) -> Recipe:
    source = recipe.input.model_copy(
        update={"paths": (corpus,), "max_reject_share": 1.0, "unreadable": "reject", "unit_bytes": UNIT_BYTES}
    )
    steps = tuple(_step_for_trial(step, share) for step in recipe.steps)
    changed = {"input": source, "steps": steps, "losses": Losses(), "training_tokens": None}
    return recipe.model_copy(update=changed)


def _step_for_trial(step: Step, share: float) -> Step:
    """The step as it is, with its budget and its clusters for a smaller corpus. A step that reads other runs, which are
    as large as they are, gives its place to another that needs what it needs."""
    if any(slot.parts == "other units" for slot in step.layout()):
        stand_in = find_steps()["prototypes" if step.needs_vectors else "random"]
        return stand_in.model_validate({"cut": {"ratio": 1}})
    changed: dict[str, Any] = {}
    if step.asked is not None and step.asked.tokens is not None:
        changed["cut"] = step.asked.model_copy(update={"tokens": max(int(step.asked.tokens * share), 1)})
    if step.planned_clustering(1, USUAL_DIMENSION) is not None:
        changed["clusters"] = "auto"
    return step.model_copy(update=changed)


def _bytes(stage: Stage) -> int:
    """What the stage left in its folders."""
    files = (file for artifact in stage.artifacts for file in Path(artifact.url).rglob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())
