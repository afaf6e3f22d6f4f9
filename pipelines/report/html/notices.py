"""What a reader of a report should look at first, each with what can be done about it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sluice.pipelines.terminal.printing import counted, number, share

# Shares from which on a thing is worth a sentence.
TRUNCATED, UNKNOWN, LOW_ETA, WITHOUT_NEIGHBOUR, LENGTH_ALONE = 0.05, 0.02, 0.8, 0.02, 2.0
NAMED = 5


class Notice(NamedTuple):
    """text: what is the matter; remedy: a command or a line of a recipe."""

    text: str
    remedy: str


def find_notices(report: dict[str, Any]) -> list[Notice]:
    """In the order in which they matter: what was lost, what the cut took, how well the documents were seen."""
    return [
        *_unread(report),
        *_losses(report),
        *_cuts(report),
        *_hubs(report),
        *_lengths(report),
        *_embedding(report),
    ]


def _unread(report: dict[str, Any]) -> Iterator[Notice]:
    totals, run = report["totals"], report["run"]
    if totals["rejected"]:
        reason = max(totals["reasons"].items(), key=lambda item: item[1])[0] if totals["reasons"] else "unknown"
        yield Notice(
            f"{counted(totals['rejected'], 'record')} of {number(totals['records'])} rejected, most for: {reason}.",
            f"{run}/rejected has each with its file and place",
        )
    barren = totals.get("barren") or {}
    if barren.get("rejected"):
        names = ", ".join(sorted(barren["named"])[:NAMED])
        yield Notice(
            f"No record of {counted(barren['rejected'], 'file')} can be used: {names}.", "--text FIELD, --format"
        )
    if unread := totals.get("unread"):
        kinds = ", ".join(f"{kind} {number(count)}" for kind, count in unread.items())
        yield Notice(
            f"Entries of the input that were not read: {kinds}.", "--input PATH names a file whatever its name"
        )


def _losses(report: dict[str, Any]) -> Iterator[Notice]:
    for line in report["losses"]["warnings"]:
        yield Notice(line, "protect: [SOURCE] in a step of the recipe leaves a source alone")
    sources = report["sources"] or {}
    few = [row for row in sources.get("skewed", ()) if row["mark"] == "few"]
    if few:
        names = ", ".join(f"{row['source']} ({share(row['kept'], row['documents'])})" for row in few[:NAMED])
        which = "source keeps" if sources["few"] == 1 else "sources keep"
        yield Notice(
            f"{number(sources['few'])} {which} less than half of the average share, {sources['share']:.1%}: {names}.",
            "protect: [SOURCE] in a step of the recipe leaves a source alone",
        )
    for step, names in sources.get("unknown", {}).items():
        yield Notice(f"{step} names sources that no document has: {', '.join(names)}.", "correct only or protect")


def _cuts(report: dict[str, Any]) -> Iterator[Notice]:
    run = report["run"]
    for step in report["steps"]:
        lot, covered, found = step.get("chance"), step.get("coverage"), step.get("eta")
        if lot and lot["threshold_below"]:
            yield Notice(
                f"{step['step']} removed down to {step['threshold']:.4f}; from {lot['similarity']:.4f} down, documents "
                "are as similar to strangers by chance: these are no duplicates.",
                f"keep more, or see pairs: sluice preview {run}",
            )
        if found and found["eta"] is not None and found["eta"] < LOW_ETA:
            yield Notice(
                f"{step['step']} looks inside clusters, where {found['eta']:.0%} of the duplicates are that a wider "
                "search finds.",
                "--clusters with a smaller number finds more",
            )
        if covered and covered["removed_checked"] and covered["share"] > WITHOUT_NEIGHBOUR:
            yield Notice(
                f"{number(covered['of_all_removed'])} documents that {step['step']} removed resemble only others that "
                f"went too ({covered['share']:.0%}).",
                "--rule greedy with a threshold keeps one of each",
            )


def _hubs(report: dict[str, Any]) -> Iterator[Notice]:
    for clustering in report["clusterings"]:
        hubs = clustering["hubs"]
        if hubs["clusters"]:
            yield Notice(
                f"{clustering['step']}: {counted(hubs['clusters'], 'cluster')} far larger than the rest, with "
                f"{share(hubs['documents'], clustering['documents'])} of the documents.",
                f"sluice clusters {report['run']} shows what is in them",
            )


def _lengths(report: dict[str, Any]) -> Iterator[Notice]:
    for step in (report["length"] or {}).get("steps", ()):
        alone = step.get("length_only") or {}
        longest, shortest, chance = (alone.get(name) or 0.0 for name in ("longest", "shortest", "chance"))
        best = max(longest, shortest)
        if chance and best > LENGTH_ALONE * chance and step["removed"]["documents"]:
            which = "longest" if longest == best else "shortest"
            yield Notice(
                f"{best:.0%} of what {step['step']} removed are the {which} documents; by chance {chance:.0%} were.",
                "compare with the recipe random and like: RUN",
            )


def _embedding(report: dict[str, Any]) -> Iterator[Notice]:
    found = report["embedding"] or {}
    embedded = found.get("embedded") or 0
    if embedded and found.get("truncated", 0) > TRUNCATED * embedded:
        yield Notice(
            f"The model did not see the end of {number(found['truncated'])} of {number(embedded)} documents "
            f"({number(found['tokens_cut'])} tokens).",
            "--max-tokens N, or --long-documents chunk-mean",
        )
    if found.get("tokens") and found.get("unknown", 0) > UNKNOWN * found["tokens"]:
        yield Notice(
            f"{share(found['unknown'], found['tokens'])} of the tokens are none of the model's vocabulary.",
            "--model with a model of the corpus's languages",
        )
