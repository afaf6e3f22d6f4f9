"""What the benchmarks of plans run in processes of their own: making a corpus, a plan, stages of the run."""

import time
from typing import Any

from benchmarks.scale.stages import measure_next

KEEP = "0.5"


def make_vectors(path: str, documents: int, dimension: int, *, template: bool) -> None:
    from benchmarks import corpora

    made = corpora.Vectors(documents, dimension, **(corpora.TEMPLATED if template else {}))
    corpora.write_vectors(path, made, type="float16", sources=True, files=4)


def make_texts(path: str, documents: int) -> None:
    from sluice.pipelines.commands.sample_corpus.command import write_sample_corpus

    write_sample_corpus(path, limit=documents)


def forecast(inputs: dict[str, Any], steps: list[dict[str, Any]] | None, sample: int | None) -> dict[str, Any]:
    """The plan, and the seconds it took."""
    from sluice.pipelines.plan.plan import plan
    from sluice.pipelines.plan.prices import read_prices

    started = time.monotonic()
    found = plan(recipe_of(inputs, steps), prices=read_prices(), sample=sample)
    return {"plan": found, "seconds": time.monotonic() - started}


def recipe_of(inputs: dict[str, Any], steps: list[dict[str, Any]] | None) -> Any:
    """D4 at half, or the steps given."""
    from sluice.pipelines.recipe.presets import steps_of
    from sluice.pipelines.recipe.recipe import Recipe

    if steps is None:
        steps = steps_of("d4", target={"ratio": KEEP}, text=inputs.get("text", "text") is not None)
    return Recipe.model_validate({"input": inputs, "steps": steps})


def next_stage(inputs: dict[str, Any], steps: list[dict[str, Any]] | None, run: str) -> dict[str, Any] | None:
    """measure_next of D4 at half, or of the steps given."""
    return measure_next(recipe_of(inputs, steps), run)


def all_stages(inputs: dict[str, Any], steps: list[dict[str, Any]], run: str) -> list[dict[str, Any]]:
    """Every stage in this one process."""
    found = []
    while stage := next_stage(inputs, steps, run):
        found.append(stage)
    return found
