"""The whole curation as one call: documents in; decisions, a curated corpus and a report out.

from sluice.pipelines.curate import curate

report = curate(["corpus/*.jsonl.zst"], "runs/first", recipe="d4", keep="0.5")
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import yaml

from sluice.models import descriptions
from sluice.pipelines.finished import RECIPE, read_recipe
from sluice.pipelines.first_look import look
from sluice.pipelines.options import Paths, build_recipe
from sluice.pipelines.places import absolute_path
from sluice.pipelines.recipe import Recipe
from sluice.pipelines.report import make_report
from sluice.pipelines.runner import Timing, run_stages
from sluice.pipelines.stages import Run
from sluice.transforms import committing, storage


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
    run, _ = prepare(recipe, url)
    return run_all(run, beam_args)


def run_all(run: Run, beam_args: Sequence[str] = ()) -> tuple[dict[str, Any], list[Timing]]:
    """Every stage of a prepared run, and its report."""
    timings = run_stages(run, beam_args)
    return make_report(run, timings), timings


def prepare(recipe: Recipe, url: str) -> tuple[Run, list[str]]:
    """Check what can be checked before any work and write recipe.yaml: the run, and how the recipe differs from before.

    Raises FileNotFoundError for inputs or a model that are not there, ValueError for files of unknown kind.
    """
    run = Run(url, recipe)
    check(run)
    place = storage.join(run.url, RECIPE)
    before = {}
    # Half of a file, which a store may show after a failed write, is none.
    with contextlib.suppress(FileNotFoundError, yaml.YAMLError):
        before = _flat(yaml.safe_load(storage.read_bytes(place)))
    now = _flat(yaml.safe_load(recipe.to_yaml()))
    committing.replace_bytes(place, recipe.to_yaml().encode())
    changed = [name for name in {**before, **now} if before and before.get(name) != now.get(name)]
    return run, [f"changed since the last time: {name}: {before.get(name)} -> {now.get(name)}" for name in changed]


def check(run: Run) -> None:
    """Look at the inputs, the model and the files that steps name. Raises as `prepare` does."""
    recipe = run.recipe
    if not run.units:
        raise ValueError("the inputs hold no units")
    _check_apart(run)
    if not run.inventory.finished:
        look(run.some_units, run.fields)
    if recipe.needs_vectors and run.embedder is not None:
        descriptions.check_model(run.model)
        descriptions.check_options(run.embedder)
    for step in recipe.steps:
        step.check(run)
    kind, name = recipe.counting
    if kind == "tokenizer":
        storage.info(name)


def _check_apart(run: Run) -> None:
    """Raises ValueError where a folder holds both: what a run writes would be read as its own input."""
    place = absolute_path(run.url) + "/"
    for path in run.recipe.input.paths:
        folder = path.rstrip("/") + "/"
        if place.startswith(folder) or folder.startswith(place):
            raise ValueError(f"the run directory {run.url} and the input {path} lie in each other: name another --run")


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings and lists -> {dotted name: plain value}."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value, start=1)
        return {key: leaf for part, item in items for key, leaf in _flat(item, f"{name}.{part}".strip(".")).items()}
    return {name: value}


def open_run(url: str) -> Run:
    """The run in a directory, with the recipe it was made with. Raises FileNotFoundError."""
    return Run(url, read_recipe(url))
