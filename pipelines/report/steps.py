"""What the report says about each step: its cut, what it removed, and how good that was."""

import json
from typing import Any

from sluice.pipelines.report.gathering import Gathered
from sluice.transforms.audit import probes
from sluice.transforms.audit.chance import chance
from sluice.transforms.audit.ledger import Ledger
from sluice.transforms.audit.probes import Probed


def describe_steps(gathered: Gathered, ledger: Ledger) -> list[dict[str, Any]]:
    """One mapping a step, in order."""
    removed_neighbours = ledger.removed_neighbours(len(gathered.steps))
    return [_step(gathered, number, ledger, int(count)) for number, count in enumerate(removed_neighbours)]


def _step(gathered: Gathered, number: int, ledger: Ledger, removed_neighbours: int) -> dict[str, Any]:
    step, tally, options = gathered.steps[number], gathered.tallies[number], gathered.run.all_options[number]
    config, kept = step.keep.manifest["config"], step.keep.manifest["totals"]
    scores = step.scores.manifest["totals"]
    cut = options.asked
    threshold = config["threshold"] if config["threshold"] is not None else kept.get("min_removed_score")
    described: dict[str, Any] = {
        "step": step.name,
        "cut": json.loads(cut.model_dump_json(exclude_none=True)) if cut is not None else None,
        "by": config["by"],
        "target": config["target"],
        "threshold": None if threshold is None else threshold / tally.scale,
        "documents_before": scores["alive"],
        "removed": gathered.totals.documents[step.name],
        "removed_tokens": gathered.tokens(gathered.totals.tokens[step.name]),
        "kept": kept["kept"],
        "kept_tokens": gathered.tokens(kept["kept_tokens"]),
        "nothing_against": tally.nothing_against,
        "histogram": None,
        "notes": [*options.notes(scores), *options.not_compared(step)],
    }
    if tally.bounds is not None and options.scores_cosines:
        described["histogram"] = {"edges": tally.bounds.tolist(), "documents": tally.bins.tolist()}
    if options.names_neighbours:
        described["neighbour_removed_too"] = removed_neighbours
    if options.vector_scale is not None:
        described |= _duplicates(gathered, number, ledger, options.vector_scale)
    if (details := options.details(step)) is not None:
        described["details"] = details
    return described


def _duplicates(gathered: Gathered, number: int, ledger: Ledger, scale: int) -> dict[str, Any]:
    """Of a step that removes near-duplicates within clusters: equal vectors, and samples that say what it missed."""
    step, tally = gathered.steps[number], gathered.tallies[number]
    described: dict[str, Any] = {
        "copies": step.scores.manifest["totals"]["copies"],
        "copies_removed": tally.copies_removed,
        "coverage": None,
        "eta": None,
        "chance": None,
    }
    config = step.keep.manifest["config"]
    limit = step.keep.manifest["totals"].get("min_removed_score")
    if config["threshold"] is not None:
        # Scores are whole numbers, and those strictly above the threshold went.
        limit = config["threshold"] + 1
    if limit is not None and step.centroids is not None and step.clusters is not None:
        probed = Probed(step.centroids, step.clusters, number, limit, scale, gathered.run.recipe.seed)
        removed = gathered.totals.documents[step.name] - tally.copies_removed
        described["coverage"] = probes.coverage(probed, ledger, removed=removed)
        described["eta"] = probes.eta(probed, ledger.units)
        described["chance"] = chance(probed, ledger.units)
    return described
