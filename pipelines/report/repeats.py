"""How often what is kept must be repeated to train on a number of tokens, and in which order of shards.

D4 found that several epochs of a selection beat one epoch of everything ("repeat intelligently", arXiv 2308.12284);
about four epochs are worth nearly as much as new tokens, further ones ever less (arXiv 2305.16264).
"""

import json
import math
from typing import Any

import numpy as np

from sluice.models.arrays.hashing import id_hash, seeded
from sluice.pipelines.run.finished import Finished
from sluice.transforms import storage
from sluice.transforms.outcome.copied import corpus_folder
from sluice.transforms.storage import committing, listing

FOLDER = "repeats"
WORTH_AS_MUCH = 4
# Lists that are written; a plan of more epochs repeats them from the first on.
MOST_LISTS = 100


def training_tokens(run: Finished) -> int | None:
    """What is to be trained on: the recipe's training_tokens, else the budget of its last cut by tokens.

    A budget counts only where that cut, or a step after it, could not fill it: a cut by tokens that removed something
    stays below its budget by less than a document.
    """
    if run.recipe.training_tokens is not None:
        return run.recipe.training_tokens
    for place, name in reversed(list(enumerate(run.steps, start=1))):
        manifest = run.artifact(f"steps/{name}/keep").manifest
        if manifest["config"]["by"] == "tokens" and manifest["config"]["target"] is not None:
            filled = place == len(run.steps) and manifest["totals"]["removed"]
            return None if filled else manifest["config"]["target"]
    return None


def plan_repeats(run: Finished, *, kept_tokens: int | None) -> dict[str, Any] | None:
    """The plan of a finished run whose tokens do not suffice, written to <run>/repeats/; None where they do.

    plan.json has the numbers: epochs is target / selected, of which the last is read up to last_epoch_tokens.
    epoch-001.txt and so on list the corpus's files in a seeded order of their own.
    """
    folder = storage.join(run.url, FOLDER)
    for file in _files(folder):
        storage.delete(file)
    target = training_tokens(run)
    if target is None or not kept_tokens or target <= kept_tokens:
        return None
    count = math.ceil(target / kept_tokens)
    corpus = run.artifact("corpus/_parts")
    shards = [
        name for part in corpus.manifest["parts"] for name in corpus.read(part["unit"], ["name"])["name"].to_pylist()
    ]
    plan: dict[str, Any] = {
        "target_tokens": target,
        "selected_tokens": kept_tokens,
        "epochs": target / kept_tokens,
        "last_epoch_tokens": target - (count - 1) * kept_tokens,
        "lists": min(count, MOST_LISTS),
        "shards": len(shards),
        "corpus": corpus_folder(corpus),
        "seed": run.recipe.seed,
        "warnings": _warnings(target / kept_tokens),
    }
    hashes = np.frombuffer(b"".join(id_hash(name) for name in shards), "V16")
    for epoch in range(1, plan["lists"] + 1):
        order = np.argsort(seeded(hashes, run.recipe.seed, f"epoch:{epoch}"), kind="stable")
        lines = "".join(f"{shards[place]}\n" for place in order)
        committing.replace_bytes(storage.join(folder, f"epoch-{epoch:03d}.txt"), lines.encode())
    committing.replace_bytes(storage.join(folder, "plan.json"), json.dumps(plan, indent=1).encode())
    return plan


def _files(folder: str) -> list[str]:
    try:
        return [file.path for file in listing.list_files(folder)]
    except FileNotFoundError:
        return []


def _warnings(epochs: float) -> list[str]:
    found = []
    if epochs > WORTH_AS_MUCH:
        found.append(
            f"{epochs:.1f} epochs of the same tokens: beyond about {WORTH_AS_MUCH} they are worth less and less; "
            "keep more, or train on less"
        )
    if math.ceil(epochs) > MOST_LISTS:
        found.append(f"only {MOST_LISTS} lists are written: begin again with the first after them")
    return found


def repeat_lines(plan: dict[str, Any] | None) -> list[str]:
    """A plan as lines of a summary."""
    if plan is None:
        return []
    return [
        f"To train on {plan['target_tokens']:,} tokens, the {plan['selected_tokens']:,} kept are read "
        f"{plan['epochs']:.2f} times: lists of shards, shuffled for each epoch, are in {FOLDER}/.",
        *(f"Warning: {line}." for line in plan["warnings"]),
    ]
