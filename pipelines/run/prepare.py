"""Before any work: a run's recipe is written, once what can be checked is checked."""

import contextlib
import os
from typing import Any

import yaml

from sluice.models.embedders import describe
from sluice.pipelines.recipe import plain_yaml
from sluice.pipelines.recipe.changes import find_changes
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.finished import RECIPE, read_recipe
from sluice.pipelines.run.first_look import look
from sluice.pipelines.run.holding import holding
from sluice.pipelines.run.run import Run
from sluice.transforms import storage
from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.storage import committing, filesystems


def prepare(recipe: Recipe, url: str) -> tuple[Run, list[str]]:
    """Check what can be checked before any work and write recipe.yaml: the run, and how the recipe differs from before.

    Raises FileNotFoundError for inputs or a model that are not there, ValueError for files of unknown kind.
    """
    run = checked(recipe, url)
    with holding(run.url, recipe):
        return run, write_recipe(run)


def checked(recipe: Recipe, url: str) -> Run:
    """A run whose inputs, model and files are there. Raises as `prepare` does; writes nothing."""
    run = Run(url, recipe)
    check(run)
    return run


def write_recipe(run: Run) -> list[str]:
    """Write recipe.yaml unless it is there; how the recipe differs from the one before."""
    recipe = run.recipe
    place = storage.join(run.url, RECIPE)
    text = b""
    before: Any = None
    # Half of a file, which a store may show after a failed write, is none; nor is one that Sluice cannot have written.
    with contextlib.suppress(FileNotFoundError, ValueError, yaml.YAMLError):
        text = storage.read_bytes(place)
        before = plain_yaml.load(text, most=plain_yaml.MOST_RECIPE_BYTES)
    now = yaml.safe_load(recipe.to_yaml())
    differences = find_changes(before, now) if isinstance(before, dict) else []
    if text != recipe.to_yaml().encode():
        committing.replace_bytes(place, recipe.to_yaml().encode())
    changed = [f"changed since the last time: {difference}" for difference in differences]
    listed = find_manifest(run.inventory.url)
    if listed is not None and listed["key"] != run.inventory.key:
        changed.append("changed since the last time: the input files, or how they are cut; everything is done again")
    if not any(difference.startswith("embedding.model:") for difference in differences) and _other_weights(run):
        changed.append("changed since the last time: the model's files; documents are embedded again")
    return changed


def _other_weights(run: Run) -> bool:
    """Whether the embeddings that are there come from other files of the model."""
    if not run.recipe.needs_vectors or run.embedder is None:
        return False
    found = find_manifest(storage.join(run.url, "embeddings"))
    before = {} if found is None else found["config"].get("embedder", {})
    now = run.embedding_recipe["model_digest"]
    return before.get("model_digest", now) != now


def check(run: Run) -> None:
    """Look at the inputs, the model and the files that steps name. Raises as `prepare` does."""
    recipe = run.recipe
    if not run.units:
        raise ValueError("the inputs hold no units")
    _check_apart(run)
    if recipe.input.max_reject_share < 1 and not run.inventory.finished:
        _look(run)
    if recipe.needs_vectors and run.embedder is not None:
        describe.check_model(run.model)
        describe.check_options(run.embedder)
    for step in recipe.steps:
        step.check(run)
    kind, name = recipe.counting
    if kind == "tokenizer":
        try:
            storage.info(name)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"--tokens {name}: no such file; it takes none, model, column:NAME or a tokenizer.json"
            ) from None


def _look(run: Run) -> None:
    source, (kind, name) = run.recipe.input.source, run.recipe.counting
    options = {source: f"--source {source}"} if source else {}
    whole = run.units == len(run.some_units)
    options |= {name: f"--tokens column:{name}"} if kind == "column" else {}
    look(run.some_units, run.fields, options, whole=whole)


def _check_apart(run: Run) -> None:
    """Raises ValueError where a folder holds both: what a run writes would be read as its own input."""
    place = _real(run.url)
    for path in run.recipe.input.paths:
        # What ** stands for may be below any folder.
        folder = _real(path.partition("**")[0].rpartition("/")[0] if "**" in path else path)
        below = place.removeprefix(folder).split("/")
        if place.startswith(folder) and not any(name.startswith((".", "_")) for name in below):
            raise ValueError(f"the run directory {run.url} is inside of the input {path}: name another --run")
        if folder.startswith(place):
            raise ValueError(f"the input {path} is inside of the run directory {run.url}: name another --run")


def _real(url: str) -> str:
    """Where a path leads, with a slash at its end."""
    path = os.path.realpath(filesystems.filesystem(url)[1]) if filesystems.is_local(url) else url
    return path.rstrip("/") + "/"


def open_run(url: str) -> Run:
    """The run in a directory, with the recipe it was made with. Raises FileNotFoundError."""
    return Run(url, read_recipe(url))
