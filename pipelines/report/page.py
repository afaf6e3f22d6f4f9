"""The page at the end of a run: what went where and why, with a few removed documents to read."""

from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.pipelines.report.central import named
from sluice.pipelines.report.clusters import notes
from sluice.pipelines.report.embedding import embedding_lines
from sluice.pipelines.report.repeats import repeat_lines
from sluice.pipelines.report.sources import source_table
from sluice.pipelines.steps import find_steps
from sluice.pipelines.terminal.printing import cell, counted, duration, number, printable, share, size

EXAMPLE, ID = 160, 200  # characters
BARREN = 3  # files named of which nothing could be used


def summary(report: dict[str, Any]) -> RenderableType:
    """A report (as make_report returns it) as a page for a terminal; hostile texts are escaped."""
    parts: list[RenderableType] = [_accounts(report), *source_table(report["sources"])]
    parts += _notes(report)
    if report["examples"]:
        parts += [Text("\nRemoved, and what it resembles", style="bold"), *map(_example, report["examples"])]
    parts += [_times(report["timings"])] if report["timings"] else []
    parts.append(_places(report["run"]))
    return Group(*parts)


def _accounts(report: dict[str, Any]) -> Table:
    totals = report["totals"]
    counted = totals["tokens"] is not None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("documents", "share", *(("tokens", "share") if counted else ()), "threshold"):
        table.add_column(name, justify="right")

    def row(name: str, documents: int, tokens: int | None, threshold: float | None = None, style: str = "") -> None:
        columns = [number(documents), share(documents, totals["documents"])]
        if counted:
            columns += [number(tokens), share(tokens, totals["tokens"])]
        table.add_row(name, *columns, "" if threshold is None else f"{threshold:.4f}", style=style)

    row("valid documents", totals["documents"], totals["tokens"])
    for step in report["steps"]:
        meant = step["histogram"] is not None
        row(f"- {step['step']}", step["removed"], step["removed_tokens"], step["threshold"] if meant else None)
    row("= kept", totals["kept"], totals["kept_tokens"], style="bold")
    return table


def _notes(report: dict[str, Any]) -> list[Text]:
    totals = report["totals"]
    lines = [
        f"\n{counted(totals['records'], 'record')} in {counted(totals['files'], 'file')}, {size(totals['bytes_in'])}; "
        f"kept {size(totals['bytes_out'])}."
    ]
    if unread := totals.get("unread"):
        entries = sum(unread.values())
        kinds = ", ".join(f"{kind} {number(count)}" for kind, count in unread.items())
        lines.append(f"{number(entries)} {'entries were' if entries > 1 else 'entry was'} not read: {kinds}.")
    if totals["rejected"]:
        reasons = sorted(totals["reasons"].items(), key=lambda item: -item[1])[:3]
        named = ", ".join(f"{number(count)} x {printable(reason, 80)}" for reason, count in reasons)
        named += ", ..." if len(totals["reasons"]) > len(reasons) else ""
        lines.append(f"{counted(totals['rejected'], 'record')} rejected: {named}.")
    lines += _barren(totals.get("barren"))
    lines += _shortfall(report)
    lines += embedding_lines(report["embedding"])
    repeated = report["duplicate_ids"]
    if repeated and repeated["documents"]:
        lines.append(f"{number(repeated['documents'])} documents share their id with another one.")
    for step in report["steps"]:
        lines += _duplicates(step, report["run"])
        lines += [f"{step['step']}: {printable(note)}" for note in step["notes"]]
    for found in report["clusterings"]:
        driven = found["duplicate_driven"]
        lines.append(
            f"{found['step']}: {number(found['clusters'])} clusters, mean cosine to the centroid "
            f"{found['similarity']:.3f}; {number(driven['clusters'])} of them driven by duplicates, with "
            f"{share(driven['documents'], found['documents'])} of the documents."
        )
        if found["split"]["clusters"]:
            lines.append(
                f"{found['step']}: {number(found['split']['clusters'])} clusters were too large for one worker and "
                f"were split into {number(found['split']['parts'])}; duplicates across the parts are not looked for."
            )
        lines += notes(found["step"], found["training"])
        lines += _hubs(found)
    lines += [f"Warning: {line}" for line in report["losses"]["warnings"]]
    for step, names in (report["sources"] or {}).get("unknown", {}).items():
        listed = ", ".join(printable(name, 60) for name in names)
        lines.append(f"Warning: {step} names sources that no document has: {listed}.")
    lines += repeat_lines(report["repeats"])
    return [Text(line) for line in lines]


def _barren(found: dict[str, Any] | None) -> list[str]:
    """Lines about files of which nothing could be used."""
    lines = []
    if found and found["rejected"]:
        named = []
        for file, reasons in sorted(found["named"].items())[:BARREN]:
            told = ", ".join(f"{number(count)} x {printable(reason, 60)}" for reason, count in reasons.items())
            named.append(f"{printable(file, 60)} ({told})")
        more = found["rejected"] - len(named)
        named += [f"{number(more)} more"] if more > 0 else []
        lines.append(f"Warning: no record of {counted(found['rejected'], 'file')} can be used: {', '.join(named)}.")
    if found and found["empty"]:
        lines.append(f"{counted(found['empty'], 'file')} without any records.")
    return lines


def _shortfall(report: dict[str, Any]) -> list[str]:
    """A line where the last step had less to choose from than its share of the documents."""
    cut, totals = report["recipe"]["steps"][-1].get("cut") or {}, report["totals"]
    wanted = int(Decimal(str(cut.get("ratio") or 0)) * totals["documents"])
    if totals["kept"] >= wanted:
        return []
    return [
        f"Warning: the target is {number(wanted)} documents, and {number(totals['kept'])} are kept: the steps before "
        "the last one left no more."
    ]


def _hubs(found: dict[str, Any]) -> list[str]:
    hubs = [one for one in found["largest"] if one["hub"]]
    if not hubs:
        return []
    named = ", ".join(
        f"{one['cluster']} with {one['share']:.1%}, {one['times_mean']:.0f} times the mean{_central(one)}"
        for one in hubs[:3]
    )
    return [
        f"{found['step']}: {counted(found['hubs']['clusters'], 'hub cluster')} with "
        f"{share(found['hubs']['documents'], found['documents'])} of the documents: {named}."
    ]


def _central(cluster: dict[str, Any]) -> str:
    central = cluster.get("central")
    return f" (most central: {named(central)})" if central else ""


def _duplicates(step: dict[str, Any], run: str) -> list[str]:
    lines = []
    found = step.get("eta")
    if found and found["eta"] is not None:
        lines.append(
            f"{step['step']}: {found['eta']:.1%} of the duplicates that a wider search finds are in the own cluster "
            f"({number(found['found'])} of {number(found['duplicates'])}; {number(found['documents_checked'])} "
            "documents looked at)."
        )
    lot = step.get("chance")
    if lot and lot["threshold_below"]:
        lines.append(
            f"Warning: {step['step']} removed down to {step['threshold']:.4f}; from {lot['similarity']:.4f} down these "
            "are not duplicates: by chance, 5 in 100 documents are more similar to one of another cluster. Keep more, "
            f"or let another step remove the rest; sluice preview {printable(run)} shows pairs."
        )
    covered = step.get("coverage")
    if covered and covered["without_kept_neighbour"]:
        about = "about " if covered["estimate"] else ""
        lines.append(
            f"{step['step']}: {about}{number(covered['of_all_removed'])} removed documents resemble only others that "
            f"went too ({number(covered['without_kept_neighbour'])} of {number(covered['removed_checked'])} looked at)."
        )
    return lines


def _example(example: dict[str, Any]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    score = "" if example["score"] is None or example["neighbour"] is None else f", {example['score']:.3f}"
    table.add_row("removed", Text.assemble(cell(example["id"], ID, "bold"), f"  {example['step']}{score}"))
    table.add_row("", shown_text(example, EXAMPLE))
    # None of the step that no recipe names.
    step = find_steps().get(example["step"].partition("-")[2])
    if example["neighbour"]:
        table.add_row("resembles", cell(example["neighbour"]["id"], ID, "bold"))
        table.add_row("", shown_text(example["neighbour"], EXAMPLE))
    elif step is not None and "clusters" in step.model_fields:
        found = example.get("cluster")
        central = "" if found is None else f"; most central are {named(found['central'])}"
        table.add_row("resembles", Text(f"the rest of its cluster{central}"))
    return table


def shown_text(document: dict[str, Any], limit: int | None) -> Text:
    """A document's text, or why there is none."""
    if document["text"] is not None:
        return cell(document["text"], limit)
    return cell(f"({document['problem'] or 'no text'})", style="dim")


def _times(timings: list[dict[str, Any]]) -> Text:
    done = [f"{one['stage']} {duration(one['seconds'])}" for one in timings if not one["skipped"]]
    found = sum(one["skipped"] for one in timings)
    parts = [*done, *([f"{counted(found, 'stage')} finished before"] if found else [])]
    total = duration(sum(one["seconds"] for one in timings))
    return Text(f"\nTime: {total} ({', '.join(parts)})")


def _places(run: str) -> Text:
    place = printable(run)
    return Text(
        f"\n{place}/corpus        the kept documents\n{place}/decisions     every document's fate\n"
        f"{place}/report.html   all of this and more, to look at in a browser; report.json has the numbers\n"
        f"sluice explain {place} ID   why a document was kept or went; sluice preview {place}   other thresholds"
    )
