"""Runs a list of steps over rows of tests.pipelines.corpora."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sluice.pipelines.curate import run_recipe
from sluice.pipelines.recipe.recipe import Recipe

INPUT = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "source": "source"}


def run_steps(source: str, steps: list[dict[str, Any]], run: Path | str, *, seed: int = 0, **input: Any) -> dict:
    """The report of a run of `steps` over `source`; further arguments are options of the recipe's input."""
    recipe = {"seed": seed, "input": {"paths": [source], **INPUT, **input}, "steps": steps}
    return run_recipe(Recipe.model_validate(recipe), str(run))[0]


def twice_at_once(work: Callable[[], object]) -> None:
    """Call it in two threads at the same time. Raises what the first that fails raises."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work) for _ in range(2)]:
            done.result()
