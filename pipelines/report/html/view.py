"""A report as what its page shows: sentences, rows and pictures, in the order of the page; every text made harmless."""

from typing import Any

import yaml

from sluice.pipelines.report.html.charts import heat, histogram
from sluice.pipelines.report.html.documents import show_example, show_group
from sluice.pipelines.report.html.notices import find_notices
from sluice.pipelines.terminal.printing import duration, number, printable, share, size

# Of sources, groups, examples, clusters: what a person looks through, and what keeps a page below 3 MB.
MOST_SOURCES, MOST_GROUPS, MOST_EXAMPLES, MOST_CLUSTERS = 60, 30, 60, 12


def view(report: dict[str, Any]) -> dict[str, Any]:
    """Everything that page.html.j2 shows. Nothing in it is trusted: the template escapes all of it."""
    return {
        "run": printable(report["run"]),
        "recipe_name": printable(report["recipe"]["name"]),
        "headline": headline(report),
        "funnel": _funnel(report),
        "counts_tokens": report["totals"]["tokens"] is not None,
        "notices": [(printable(one.text), printable(one.remedy)) for one in find_notices(report)],
        "sources": _sources(report),
        "steps": [_step(step) for step in report["steps"]],
        "groups": [show_group(group) for group in report["largest_groups"][:MOST_GROUPS]],
        "examples": [show_example(example) for example in report["examples"][:MOST_EXAMPLES]],
        "clusterings": [_clustering(one) for one in report["clusterings"]],
        "lengths": _lengths(report["length"]),
        "facts": _facts(report),
        "recipe": printable(yaml.safe_dump(report["recipe"], sort_keys=False, allow_unicode=True), lines=True),
        "timings": _timings(report),
        "artifacts": [
            (printable(name), one["digest"], number(one["rows"]), size(one["bytes"]))
            for name, one in report["artifacts"].items()
        ],
    }


def headline(report: dict[str, Any]) -> str:
    """What happened, in one sentence for somebody who reads no further."""
    totals = report["totals"]
    kept = f"Kept {number(totals['kept'])} of {number(totals['documents'])} documents"
    if totals["tokens"] is not None:
        kept += f", {number(totals['kept_tokens'])} of {number(totals['tokens'])} tokens"
    gone = [
        f"{share(step['removed'], totals['documents'])} went by {step['step'].partition('-')[2]}"
        for step in report["steps"]
        if step["removed"]
    ]
    few = (report["sources"] or {}).get("few", 0)
    tail = (
        ""
        if not few
        else f"; {number(few)} source{'s keep' if few > 1 else ' keeps'} less than half of the average share"
    )
    return kept + (f": {', '.join(gone)}" if gone else ": nothing went") + tail + "."


def _funnel(report: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for the valid documents, each step, and what is kept; width: of its bar, as a share."""
    totals = report["totals"]

    def row(name: str, documents: int, tokens: int | None, kind: str, before: float) -> dict[str, Any]:
        return {
            "name": printable(name),
            "documents": number(documents),
            "share": share(documents, totals["documents"]),
            "tokens": number(tokens),
            "token_share": share(tokens, totals["tokens"]),
            "kind": kind,
            # Where its bar begins and how long it is, in hundredths of all documents.
            "start": round(100 * before, 2),
            "width": round(100 * documents / max(totals["documents"], 1), 2),
        }

    rows = [row("valid documents", totals["documents"], totals["tokens"], "all", 0.0)]
    left = totals["documents"]
    for step in report["steps"]:
        left -= step["removed"]
        before = left / max(totals["documents"], 1)
        rows.append(row(f"removed by {step['step']}", step["removed"], step["removed_tokens"], "gone", before))
    rows.append(row("kept", totals["kept"], totals["kept_tokens"], "kept", 0.0))
    return rows


def _sources(report: dict[str, Any]) -> dict[str, Any] | None:
    """Rows of the heat table, those that keep least first; None where the input names no sources."""
    found = report["sources"]
    if found is None or not found["largest"]:
        return None
    steps = [step["step"] for step in report["steps"]]
    rows = {row["source"]: row for row in [*found["skewed"], *found["largest"]]}
    ordered = sorted(rows.values(), key=lambda row: (row["kept"] / max(row["documents"], 1), row["source"]))
    shown_rows = [
        {
            "name": printable(row["source"], 80),
            "documents": number(row["documents"]),
            "kept": share(row["kept"], row["documents"]),
            "kept_heat": heat(row["kept"] / max(row["documents"], 1)),
            "cells": [
                (share(row["removed"][step], row["documents"]), heat(row["removed"][step] / max(row["documents"], 1)))
                for step in steps
            ],
        }
        for row in ordered[:MOST_SOURCES]
    ]
    return {"steps": steps, "rows": shown_rows, "more": number(max(found["sources"] - len(shown_rows), 0))}


def _step(step: dict[str, Any]) -> dict[str, Any]:
    """A step's counts and, where its scores have a meaning, their histogram."""
    picture = None
    if step["histogram"] and sum(step["histogram"]["documents"]):
        picture = histogram(step["histogram"]["edges"], step["histogram"]["documents"], step["threshold"])
    return {
        "name": printable(step["step"]),
        "before": number(step["documents_before"]),
        "removed": number(step["removed"]),
        "kept": number(step["kept"]),
        "threshold": None if step["threshold"] is None or picture is None else f"{step['threshold']:.4f}",
        "histogram": picture,
        "nothing_against": step["nothing_against"],
        "notes": [printable(note) for note in step["notes"]],
    }


def _clustering(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": printable(found["step"]),
        "clusters": number(found["clusters"]),
        "documents": number(found["documents"]),
        "similarity": f"{found['similarity']:.3f}",
        "largest": [
            {
                "cluster": one["cluster"],
                "size": number(one["size"]),
                "share": share(one["size"], found["documents"]),
                "central": [printable(each["id"], 100) for each in one.get("central") or ()],
            }
            for one in found["largest"][:MOST_CLUSTERS]
        ],
    }


def _lengths(length: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Tenths of the documents by length, and what is kept of each."""
    rows = []
    for row in (length or {}).get("deciles") or ():
        kept = row["documents_kept"] / max(row["documents"], 1)
        rows.append(
            {
                "range": f"{number(row['from'])} to {number(row['to'])}",
                "documents": number(row["documents"]),
                "kept": share(row["documents_kept"], row["documents"]),
                "width": round(100 * kept, 1),
            }
        )
    return rows


def _facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What a reader asks of where it comes from, as (name, value)."""
    totals, embedding = report["totals"], report["embedding"]
    facts = [
        (
            "input",
            f"{number(totals['records'])} records in {number(totals['files'])} files, {size(totals['bytes_in'])}",
        ),
        ("curated corpus", f"{number(totals['files_out'])} files, {size(totals['bytes_out'])}"),
    ]
    if embedding:
        facts.append(("vectors", str(embedding.get("model") or "given in the input")))
    if report["launches"]:
        last = report["launches"][-1]
        facts += [("command", last["command"]), ("ended", last["ended"] or "")]
    machine = report["machine"]
    facts.append(("machine", f"{machine['cpus']} cores, {size(machine['memory_bytes'])}, {machine['system']}"))
    facts += [(name, version) for name, version in report["versions"].items()]
    return [(printable(name), printable(value)) for name, value in facts]


def _timings(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Stages with what they took, as shares of the longest."""
    seconds = {one["stage"]: one["seconds"] for one in report["timings"] if not one["skipped"]}
    longest = max(seconds.values(), default=0) or 1
    return [
        {"stage": printable(stage), "seconds": duration(taken), "width": round(100 * taken / longest, 1)}
        for stage, taken in seconds.items()
    ]
