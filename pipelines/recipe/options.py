"""The options of a curation, once: for the command line, for Python, and for templates."""

import argparse
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from sluice.pipelines.recipe import presets
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.steps import find_steps

UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Option:
    """name as in Python; on the command line --name-with-dashes. `place`: where a plain value goes in the recipe."""

    name: str
    help: str
    group: str
    place: tuple[str, ...] | None = None
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    many: bool = False
    type: type = str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


OPTIONS = (
    Option("input", "files, directories, globs, any fsspec URL (gs://...); one or several", "input", ("input", "paths"), metavar="PATH", many=True),
    Option("format", "jsonl, parquet, warc or text; default: told by the files' names", "input", ("input", "format")),
    Option("text", "field of the text; dots reach into nested objects; 'none' when vectors are given and there is no text (default: text)", "input", ("input", "text"), metavar="FIELD"),
    Option("id", "field of the identity; default: the place in the input (path and offset or row)", "input", ("input", "id"), metavar="FIELD"),
    Option("vector", "field of ready-made embeddings; no model is run", "input", ("input", "vector"), metavar="FIELD"),
    Option("tokens", "how tokens are counted: model, none, column:NAME, or a tokenizer.json (default: model where one embeds)", "input", ("input", "tokens")),
    Option("source", "field that tells sources apart, for only, protect and source orders in recipe files", "input", ("input", "source"), metavar="FIELD"),
    Option("max_document_bytes", "larger records are rejected (default: 10000000)", "input", ("input", "max_document_bytes"), type=int, metavar="N"),
    Option("max_reject_share", "fail when more than this share of records is bad (default: 0.01, or 10 records where that is more)", "input", ("input", "max_reject_share"), type=float, metavar="SHARE"),
    Option("unreadable", "what to do about a file that is damaged or truncated: fail, or reject its rest (default: fail)", "input", ("input", "unreadable"), choices=("fail", "reject")),
    Option("unit_bytes", "size of the pieces that workers take, in bytes (default: 134217728)", "input", ("input", "unit_bytes"), type=int, metavar="N"),
    Option("model", "Hugging Face model: a directory, a URL of one (gs://...), or organisation/name[@revision] on the hub (default: the installed all-MiniLM-L6-v2)", "embedding", ("embedding", "model"), metavar="MODEL"),
    Option("max_tokens", "tokens of a text that the model sees at a time (default: 256)", "embedding", ("embedding", "max_tokens"), type=int, metavar="N"),
    Option("long_documents", "texts of more tokens: truncate (default), or chunk-mean, the mean over overlapping windows", "embedding", ("embedding", "long_documents"), choices=("truncate", "chunk-mean")),
    Option("pooling", "auto, mean, cls, last, max, mean_sqrt or weighted_mean (default: what the model directory says)", "embedding", ("embedding", "pooling")),
    Option("dtype", "of the model's arithmetic; auto (default): bfloat16 on accelerators, float32 elsewhere", "embedding", ("embedding", "dtype"), choices=("auto", "float32", "bfloat16")),
    Option("prompt", "stands before each text, as 'passage: ' for E5; '' for none (default: the model's own)", "embedding", ("embedding", "prompt"), metavar="TEXT"),
    Option("prompt_name", "a prompt of the model's config_sentence_transformers.json", "embedding", ("embedding", "prompt_name"), metavar="NAME"),
    Option("convention", "OPT: d4 (before the final norm, no special tokens) or huggingface (default: d4)", "embedding", ("embedding", "convention"), choices=("auto", "d4", "huggingface")),
    Option("dimensions", "numbers of a vector that are kept, for models trained to be cut (Matryoshka)", "embedding", ("embedding", "dimensions"), type=int, metavar="N"),
    Option("layers", "of the model that are kept: the first N, or ranges as 1-6,10-12 (sluice compare-embedders finds them)", "embedding", ("embedding", "layers"), metavar="LAYERS"),
    Option("keep", "share of the valid documents to keep, exactly: ceil(R n)", "selection", metavar="R"),
    Option("keep_tokens", "tokens to keep at most, as 10B or 250M", "selection", metavar="N"),
    Option("threshold", "semdedup: documents more similar than this cosine to an earlier one go", "selection", metavar="T"),
    Option("eps", "semdedup: the paper's form of the threshold, 1 - eps", "selection", metavar="E"),
    Option("clusters", "clusters of every clustering step (default: the square root of the documents)", "selection", metavar="K"),
    Option("trainer_bytes", "memory for training clusters, in bytes; what needs more is trained in two levels (default: 2147483648)", "selection", type=int, metavar="N"),
    Option("refine", "iterations of k-means over all documents after that over a sample (default: 0)", "selection", type=int, metavar="N"),
    Option("centroids", "a finished run, or a step's folder in one: take its clusters instead of training any", "selection", metavar="PATH"),
    Option("order", "semdedup, density: which of similar documents survives, or of a cluster (default: hard)", "selection", choices=("hard", "easy", "random")),
    Option("rule", "semdedup: official, greedy or components; the last two need --threshold or --eps", "selection", choices=("official", "greedy", "components")),
    Option("direction", "prototypes, scip: keep those far from or near their centroid (default: far; scip: near)", "selection", choices=("far", "near")),
    Option("scope", "prototypes: over the corpus (default), or the same share of every cluster", "selection", choices=("corpus", "cluster")),
    Option("assignment", "how documents find their cluster: auto (default), exact or scann", "selection", choices=("auto", "exact", "scann")),
    Option("seed", "of ties, samples and the random control (default: 0)", "selection", ("seed",), type=int, metavar="N"),
)  # fmt: skip
# Options of the same name as a field of steps over vectors, for all of a recipe's steps that have it.
STEP_OPTIONS = ("clusters", "trainer_bytes", "refine", "centroids", "assignment", "order", "rule", "direction", "scope")
BY_NAME = {option.name: option for option in OPTIONS}


def add_options(command: argparse.ArgumentParser) -> None:
    """--recipe and every option of a curation, in groups."""
    recipes = "; ".join(f"{name}: {text}" for name, text in presets.PRESETS.items())
    command.add_argument(
        "--recipe", default="d4", help=f"a YAML file or one of these (default: d4). {recipes}".replace("%", "%%")
    )
    groups = {name: command.add_argument_group(name) for name in ("input", "embedding", "selection")}
    for option in OPTIONS:
        settings: dict[str, Any] = {"help": option.help.replace("%", "%%"), "dest": option.name}
        if option.many:
            settings |= {"action": "extend", "nargs": "+", "metavar": option.metavar}
        else:
            settings["type"] = option.type
        if option.choices:
            settings["choices"] = option.choices
        elif option.metavar:
            settings["metavar"] = option.metavar
        groups[option.group].add_argument(option.flag, **settings)


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def build_recipe(*, recipe: str = "d4", inputs: Paths = (), **options: Any) -> Recipe:
    """A checked recipe from a preset's name or a YAML file and options by name; None means not given.

    Raises ValueError naming the option and its value.
    """
    unknown = [name for name in options if name not in BY_NAME]
    if unknown:
        raise ValueError(f"unknown option {unknown[0]}{suggest(unknown[0], list(BY_NAME))}")
    given = {name: value for name, value in options.items() if value is not None}
    if given.get("model") == "":
        raise ValueError("--model is empty: name a model, or leave the option out for the default")
    if inputs:
        paths = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
        given["input"] = tuple(map(os.fspath, paths))
    data: dict[str, Any] = {}
    from_file = recipe.endswith((".yaml", ".yml"))
    if from_file:
        data = presets.load_file(recipe)
    for name, value in given.items():
        place = BY_NAME[name].place
        if place:
            _put(data, place, None if value == "none" and name == "text" else value)
    if not data.get("input", {}).get("paths"):
        raise ValueError("no input is given: name files, directories or globs with --input")
    target = _target(given)
    text = data["input"].get("text", "text")
    if from_file:
        if target and data.get("steps"):
            data["steps"][-1]["cut"] = target
    else:
        data["name"] = recipe
        data["steps"] = presets.steps_of(recipe, target=target, text=text is not None)
    _put_step_options(data, given)
    found = _validated(data, recipe)
    _check_embedding_options(found, given)
    return found


def _put(data: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for name in place[:-1]:
        data = data.setdefault(name, {})
    data[place[-1]] = value


def _target(given: dict[str, Any]) -> dict[str, Any]:
    """The cut that the selection options ask for: {} or one entry."""
    names = [name for name in ("keep", "keep_tokens", "threshold", "eps") if name in given]
    if len(names) > 1:
        raise ValueError(f"give one of {', '.join('--' + name.replace('_', '-') for name in names)}, not several")
    if not names:
        return {}
    name, value = names[0], given[names[0]]
    if name == "keep_tokens":
        return {"tokens": parse_count(value)}
    key = "ratio" if name == "keep" else name
    number = _decimal(name, value)
    if name == "keep" and not 0 < number <= 1:
        raise ValueError(f"--keep is a share above 0 and at most 1, not {value}")
    return {key: number}


def _decimal(name: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"--{name} must be a number, not {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"--{name} must be a finite number, not {value!r}")
    return number


def parse_count(value: Any) -> int:
    """10B, 250M, 1.5K or a plain number -> a whole number."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", str(value).strip(), re.IGNORECASE)
    if not found:
        raise ValueError(f"--keep-tokens must be a number like 10B, 250M or 40000, not {value!r}")
    count = int(Decimal(found[1]) * UNITS[found[2].upper()])
    if count < 1:
        raise ValueError(f"--keep-tokens must be at least 1, not {value!r}")
    return count


def _put_step_options(data: dict[str, Any], given: dict[str, Any]) -> None:
    for name in STEP_OPTIONS:
        if name not in given:
            continue
        kinds = [kind for kind, step in find_steps().items() if name in step.model_fields and step.needs_vectors]
        value = given[name]
        if name == "clusters" and value != "auto":
            value = _whole(name, value)
        steps = [step for step in data.get("steps", []) if isinstance(step, dict) and step.get("step") in kinds]
        if not steps:
            raise ValueError(f"--{name} {given[name]} has no step to act on: it belongs to {' and '.join(kinds)}")
        for step in steps:
            step[name] = value


def _check_embedding_options(recipe: Recipe, given: dict[str, Any]) -> None:
    """Raises ValueError for an option of a model that does not run. --model may be there to count tokens."""
    if recipe.needs_vectors and recipe.input.vector is None:
        return
    reason = "the vectors are given" if recipe.input.vector is not None else "no step of this recipe uses vectors"
    usual = type(recipe.embedding)()
    for name, value in given.items():
        place = BY_NAME[name].place or ("",)
        counts = name == "model" and recipe.counting[0] == "model"
        if place[0] == "embedding" and not counts and value != getattr(usual, place[1]):
            raise ValueError(f"--{name.replace('_', '-')} {value} has no model to act on: {reason}")


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"--{name} must be a whole number or auto, not {value!r}") from None


def _validated(data: dict[str, Any], recipe: str) -> Recipe:
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            value = "" if isinstance(problem.get("input"), dict) else f" (given: {problem.get('input')!r})"
            lines.append(f"{place + ': ' if place else ''}{problem['msg'].removeprefix('Value error, ')}{value}")
        raise ValueError(f"recipe {recipe}: " + "; ".join(lines)) from None


def suggest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
