"""The recipes that have names, and how a target becomes their cuts."""

from decimal import Decimal
from typing import Any

import yaml

from sluice.pipelines.recipe import plain_yaml
from sluice.transforms import storage

PRESETS = {
    "d4": "exact copies, semantic duplicates down to 75 %, then prototypes of the re-clustered rest (arXiv 2308.12284)",
    "semdedup": "exact copies, then semantic duplicates down to the target (arXiv 2303.09540)",
    "density": "exact copies, semantic duplicates down to 75 %, then fewer of dense clusters (arXiv 2401.04578)",
    "code": "exact copies, then what lies where corrupted code lies: small clusters, then far ones (arXiv 2312.02418)",
    "quality": "exact copies, then documents of the poorest text by simple rules about lines (arXiv 2405.01582)",
    "prototypes": "the most prototypical documents go (arXiv 2206.14486)",
    "random": "a uniform sample: the control",
}
# D4 takes a quarter of the documents as semantic duplicates, and the rest of the way as prototypes.
DEDUP_SHARE = Decimal("0.75")
# SCIP's paper prunes a fifth.
CODE_SHARE = Decimal("0.8")


def steps_of(recipe: str, *, target: dict[str, Any], text: bool) -> list[dict[str, Any]]:
    """The steps of a preset. target: {} or one of ratio, tokens, threshold, eps, as a recipe's cut.

    Without text (vectors are given) there are no exact copies to look for. Raises ValueError for a target that the
    preset cannot have.
    """
    exact = [{"step": "exact"}] if text else []
    if recipe == "semdedup":
        return [*exact, {"step": "semdedup", "cut": target or {"ratio": DEDUP_SHARE}}]
    if "threshold" in target or "eps" in target:
        raise ValueError(f"recipe {recipe} takes --keep or --keep-tokens; --threshold and --eps go with semdedup")
    if recipe == "code":
        return [*exact, {"step": "scip", "cut": target or {"ratio": CODE_SHARE}}]
    target = target or {"ratio": Decimal("0.5")}
    if recipe == "quality":
        return [*exact, {"step": "quality", "cut": target}]
    if recipe in ("prototypes", "random"):
        return [{"step": recipe, "cut": target}]
    if recipe not in ("d4", "density"):
        raise ValueError(f"recipe must be one of {', '.join(PRESETS)} or a YAML file, not {recipe!r}")
    first = target | {"ratio": max(DEDUP_SHARE, Decimal(target.get("ratio", 0)))}
    last = "prototypes" if recipe == "d4" else recipe
    return [*exact, {"step": "semdedup", "cut": first}, {"step": last, "cut": target}]


def load_file(path: str) -> dict[str, Any]:
    """A recipe from a YAML file or a URL of one. Raises ValueError for anything but a mapping."""
    try:
        found = plain_yaml.load(storage.read_bytes(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"recipe {path}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"recipe {path} is not a mapping of names to values")
    return found
