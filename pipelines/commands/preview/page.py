"""A preview of thresholds as a page for a terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.pipelines.report.page import ID, shown_text
from sluice.pipelines.terminal.printing import cell, number

CHARACTERS = 160


def render(preview: dict[str, Any]) -> RenderableType:
    """preview: as `preview` returns it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("threshold", "documents kept", "share", *(("tokens kept", "share") if preview["tokens"] else ())):
        table.add_column(name, justify="right")
    table.add_column("")
    by_chance = preview["chance"]
    for row in preview["thresholds"]:
        columns = [f"{row['threshold']:.4f}", number(row["kept"]), f"{row['share']:.1%}"]
        if preview["tokens"]:
            columns += [number(row["kept_tokens"]), f"{row['share_of_tokens']:.1%}"]
        own = row["threshold"] == preview["own_threshold"]
        no_duplicates = by_chance is not None and row["threshold"] <= by_chance["similarity"]
        table.add_row(*columns, "no duplicates" if no_duplicates else "", style="bold" if own else "")
    gone = preview["documents"] - preview["documents_before"]
    head = (
        f"{preview['step']}: of {number(preview['documents'])} valid documents, earlier steps removed {number(gone)}; "
        "cut at a threshold, those with a higher score go."
    )
    parts: list[RenderableType] = [Text(head), table]
    if by_chance is not None:
        parts.append(
            Text(
                f"From {by_chance['similarity']:.4f} down these are not duplicates: by chance, 5 in 100 documents are "
                f"more similar to one of another cluster ({number(by_chance['documents'])} were compared)."
            )
        )
    for shown in preview["pairs"]:
        for side, meaning in (("above", "go"), ("below", "stay")):
            if shown[side]:
                title = f"\nJust {side} {shown['threshold']:.4f}: the first of each pair would {meaning}"
                parts += [Text(title, style="bold"), *(_pair_table(pair) for pair in shown[side])]
    return Group(*parts)


def _pair_table(pair: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, document in ((f"{pair['score']:.4f}", pair["document"]), ("", pair["neighbour"])):
        # A document that the input no longer has is named by its place.
        name = f"{document['unit']}:{document['row']}" if document["id"] is None else document["id"]
        table.add_row(label, Text.assemble(cell(name, ID, "bold"), "  ", shown_text(document, CHARACTERS)))
    return table
