"""The whole curation as one call: documents in; decisions, a curated corpus and a report out.

    from sluice.pipelines.curate import curate

    report = curate(["corpus/*.jsonl.zst"], "runs/first", recipe="d4", keep="0.5")
"""

from collections.abc import Sequence
from typing import Any

from sluice.pipelines.options import build_recipe
from sluice.pipelines.recipe import Recipe
from sluice.pipelines.report import make_report
from sluice.pipelines.runner import Timing, run_stages
from sluice.pipelines.stages import Run
from sluice.transforms import storage

RECIPE = "recipe.yaml"


def curate(
    inputs: Sequence[str], run: str, *, recipe: str = "d4", beam_args: Sequence[str] = (), **options: Any
) -> dict[str, Any]:
    """Curate `inputs` into the run directory `run`; returns the report. Options are the command line's, by name.

    Going on after a crash, or with another target, is the same call again: what is finished is not done twice.
    Raises ValueError for options that are wrong, StageFailed when a stage fails.
    """
    return run_recipe(build_recipe(inputs=tuple(inputs), recipe=recipe, **options), run, beam_args)[0]


def run_recipe(recipe: Recipe, url: str, beam_args: Sequence[str] = ()) -> tuple[dict[str, Any], list[Timing]]:
    """Every stage of a recipe in a run directory, and the report."""
    run = Run(url, recipe)
    storage.replace_bytes(storage.join(run.url, RECIPE), recipe.to_yaml().encode())
    timings = run_stages(run, beam_args)
    return make_report(run, timings), timings


def open_run(url: str) -> Run:
    """The run in a directory, with the recipe it was made with. Raises FileNotFoundError."""
    import yaml

    try:
        text = storage.read_bytes(storage.join(url, RECIPE))
    except FileNotFoundError:
        raise FileNotFoundError(f"{url} is not a run directory: it has no {RECIPE}") from None
    return Run(url, Recipe.model_validate(yaml.safe_load(text)))
