"""The whole curation as one call: documents in; decisions, a curated corpus and a report out.

from sluice.pipelines.curate import curate

report = curate(["corpus/*.jsonl.zst"], "runs/first", recipe="d4", keep="0.5")
"""

from collections.abc import Sequence
from typing import Any

from sluice.pipelines.recipe.options import Paths, build_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.report.report import make_report, read_report
from sluice.pipelines.run.holding import holding
from sluice.pipelines.run.prepare import checked, write_recipe
from sluice.pipelines.run.run import Run
from sluice.pipelines.run.runner import Timing, run_stages
from sluice.transforms.storage.filesystems import WriteFailed


def curate(
    inputs: Paths, run: str, *, recipe: str = "d4", beam_args: Sequence[str] = (), **options: Any
) -> dict[str, Any]:
    """Curate `inputs` into the run directory `run`; returns the report. Options are the command line's, by name.

    Going on after a crash, or with another target, is the same call again: what is finished is not done twice.
    Raises ValueError for options that are wrong, StageFailed when a stage fails.
    """
    return run_recipe(build_recipe(inputs=inputs, recipe=recipe, **options), run, beam_args)[0]


def run_recipe(recipe: Recipe, url: str, beam_args: Sequence[str] = ()) -> tuple[dict[str, Any], list[Timing]]:
    """Every stage of a recipe in a run directory, and the report."""
    run = checked(recipe, url)
    with holding(run.url, recipe):
        write_recipe(run)
        return run_all(run, beam_args)


def run_all(run: Run, beam_args: Sequence[str] = ()) -> tuple[dict[str, Any], list[Timing]]:
    """Every stage of a prepared run, and its report."""
    with holding(run.url, run.recipe):
        timings = run_stages(run, beam_args)
        try:
            return make_report(run, timings), timings
        except WriteFailed:
            # A finished run may lie where nothing can be written; what it says is there.
            if not all(timing.skipped for timing in timings):
                raise
            return read_report(run.url), timings
