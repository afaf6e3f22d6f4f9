"""Runs a list of steps over rows of tests.pipelines.corpora."""

from pathlib import Path
from typing import Any

from sluice.pipelines.curate import run_recipe
from sluice.pipelines.recipe import Recipe

INPUT = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "source": "source"}


def run_steps(source: str, steps: list[dict[str, Any]], run: Path | str, *, seed: int = 0, **input: Any) -> dict:
    """The report of a run of `steps` over `source`; further arguments are options of the recipe's input."""
    recipe = {"seed": seed, "input": {"paths": [source], **INPUT, **input}, "steps": steps}
    return run_recipe(Recipe.model_validate(recipe), str(run))[0]
