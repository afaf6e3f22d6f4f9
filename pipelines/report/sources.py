"""What each source kept, as a table for the page at the end of a run; those far from the average come first."""

from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sluice.models.clustering.skew import FEW, MANY
from sluice.pipelines.terminal.printing import cell, counted, number, share

ROWS, SKEWED, NAME = 12, 8, 24
MEANING = {FEW: "under half the average", MANY: "over twice the average", None: ""}


def source_table(found: dict[str, Any] | None) -> list[RenderableType]:
    """A report's `sources` as a table and a line about the rest; nothing where all documents are of one source."""
    if found is None or found["sources"] + (found["without"]["documents"] > 0) < 2:
        return []
    skewed = found["skewed"][:SKEWED]
    largest = [row for row in found["largest"] if row not in skewed][: ROWS - len(skewed)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("source", overflow="fold")
    for name in ("documents", "kept", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in [*skewed, *largest]:
        _add(table, cell(row["source"], NAME), row, row["mark"])
    if found["without"]["documents"]:
        _add(table, Text("(no source)", style="dim"), found["without"], None)
    parts: list[RenderableType] = [Text("\nKept by source", style="bold"), table]
    rest = found["sources"] - len(skewed) - len(largest)
    if rest:
        hidden = found["few"] + found["many"] - sum(row["mark"] is not None for row in [*skewed, *largest])
        marked = f", {number(hidden)} of them marked too" if hidden else ""
        parts.append(Text(f"and {counted(rest, 'more source')}{marked}"))
    if found["few"]:
        named = "source keeps" if found["few"] == 1 else "sources keep"
        parts.append(
            Text(
                f"Warning: {number(found['few'])} {named} less than half of the average share, {found['share']:.1%}; "
                "a step with protect: [SOURCE] leaves a source alone."
            )
        )
    return parts


def _add(table: Table, name: Text, row: dict[str, Any], mark: str | None) -> None:
    columns = number(row["documents"]), number(row["kept"]), share(row["kept"], row["documents"])
    table.add_row(name, *columns, MEANING[mark], style="bold" if mark == FEW else "")
