"""What is said about a finished clustering, and how its centroids were made: in the report, its page and `clusters`."""

from typing import Any

import numpy as np

from sluice.models.clustering import skew
from sluice.models.reporting import audit
from sluice.pipelines.report.central import add_central
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.terminal.printing import number, printable
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.clusters.members import load_array


def describe_clustering(run: Finished, step: AuditedStep, removed: np.ndarray | None) -> dict[str, Any]:
    """Of a finished step over clusters: sizes, similarity, training, splits and the largest clusters.

    removed: documents that the step removed from each cluster, int [k].
    """
    assert step.centroids is not None and step.clusters is not None, step.name
    statistics = load_array(step.clusters, "statistics")
    made, assigned = step.centroids.manifest["totals"], step.clusters.manifest["totals"]
    in_order = made.get("splits", [])
    splits = sorted(in_order, key=lambda split: (-split[1], split[0]))
    sizes = skew.largest_clusters(statistics, in_order, removed)
    add_central(run, step.clusters, sizes["largest"], made)
    return {
        "step": step.name,
        **audit.cluster_summary(statistics, removed),
        **sizes,
        "training": training(made),
        "split": {
            "clusters": len(splits),
            "parts": sum(parts for _, parts in splits),
            "largest": [{"cluster": cluster, "parts": parts} for cluster, parts in splits[: audit.WORST]],
        },
        "assignment": {
            "method": made["method"],
            "checked": assigned.get("checked"),
            "agreed": assigned.get("agreed"),
        },
    }


def training(totals: dict[str, Any]) -> dict[str, Any]:
    """What the manifest of centroids says about how they were made.

    objective: mean cosine of the sample after each iteration (in two levels: of all shares at the end); refined: of all
    members, before each refinement; levels: None where one worker trained all; adopted: the run they come from.
    """
    return {
        "sample": totals["sample"],
        "iterations": totals["iterations"],
        "objective": totals["objective"],
        "refilled": totals["empty_clusters_refilled"],
        "levels": totals.get("levels"),
        "refined": totals.get("refined", []),
        "adopted": totals.get("adopted"),
    }


def notes(step: str, made: dict[str, Any]) -> list[str]:
    """Sentences about how centroids were made, where that was not simply by one worker."""
    lines = []
    if made["adopted"] is not None:
        lines.append(f"{step}: the centroids are those of {printable(made['adopted'])}.")
    if made["levels"] is not None:
        levels = made["levels"]
        lines.append(
            f"{step}: trained in two levels, {number(levels['first'])} clusters at first and at most "
            f"{number(levels['largest_share'])} centroids in each of them."
        )
    if made["refined"]:
        steps = ", ".join(f"{value:.4f}" for value in made["refined"])
        lines.append(f"{step}: refined over all documents; mean cosine before each time: {steps}.")
    return lines
