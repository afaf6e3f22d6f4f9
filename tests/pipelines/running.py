"""Runs a list of steps over rows of tests.pipelines.corpora."""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sluice.pipelines.curate import run_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.prepare import prepare
from sluice.pipelines.run.runner import run_stage

INPUT = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "source": "source"}


def run_steps(source: str, steps: list[dict[str, Any]], run: Path | str, *, seed: int = 0, **input: Any) -> dict:
    """The report of a run of `steps` over `source`; further arguments are options of the recipe's input."""
    return run_recipe(_recipe(source, steps, seed, input), str(run))[0]


def decide(
    source: str,
    steps: list[dict[str, Any]],
    run: Path | str,
    *,
    seed: int = 0,
    until: str | None = "decisions",
    start: Path | None = None,
    beam_args: Sequence[str] = (),
    **input: Any,
) -> None:
    """The same without a report, and no further than the stage `until`.

    start: a run over the same source, of which a copy goes on; what its finished stages hold is not done again.
    """
    if start:
        shutil.copytree(start, run)
    opened, _ = prepare(_recipe(source, steps, seed, input), str(run))
    for stage in opened.stages():
        if not stage.finished:
            run_stage(stage, opened, beam_args)
        if stage.name == until:
            return
    if until:
        raise ValueError(f"a run of {steps} has no stage {until}")


def _recipe(source: str, steps: list[dict[str, Any]], seed: int, input: dict[str, Any]) -> Recipe:
    given = {"paths": [source], **INPUT, **input}
    return Recipe.model_validate({"seed": seed, "input": given, "steps": steps})


def twice_at_once(work: Callable[[], object]) -> None:
    """Call it in two threads at the same time. Raises what the first that fails raises."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work) for _ in range(2)]:
            done.result()
