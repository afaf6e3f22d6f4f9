"""How centroids were made, from their manifest: for the report, its page and `sluice clusters`."""

from typing import Any

from sluice.pipelines.terminal.printing import number, printable


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
