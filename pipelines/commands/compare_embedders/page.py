"""The page that `sluice compare-embedders` shows."""

import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.pipelines.terminal.printing import cell


def render(found: dict[str, Any]) -> RenderableType:
    """The table and how to read it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("dimensions", "documents/s", "speed", f"overlap@{found['neighbours']}", "semdedup", "kept"):
        table.add_column(name, justify="right")
    whole = found["whole"]
    speed = f"{whole['documents_per_second']:,.0f}"
    table.add_row(f"whole, {whole['max_tokens']} tokens", str(whole["dimension"]), speed, "1.00x", "", "", "")
    table.add_row("other start", "", "", "", "", *_shares(found["other_start"]))
    for row in found["variants"]:
        label = cell(named(row["options"]))
        if row["problem"] is not None:
            table.add_row(label, *[""] * 6)
            continue
        numbers = f"{row['documents_per_second']:,.0f}", f"{row['speed']:.2f}x", f"{row['overlap']:.3f}"
        table.add_row(label, str(row["dimension"]), *numbers, *_shares(row))
    lines = [
        f"{found['documents']:,} documents from {found['pieces']} of {found['pieces_of']} pieces of the corpus, from "
        f"their beginnings; speeds are of {found['timed']} of them, on this machine and as it was busy, tokenization "
        "included, each beside the whole model's.\n",
    ]
    after = [
        f"\nTwo random selections would agree in {found['semdedup_keep']:.2f} (semdedup) and {found['keep']:.2f} "
        "(kept).",
        "Documents are compared in a sample: in a whole corpus nearer neighbours exist, and agreement may be less.",
    ]
    for block in found["blocks"]:
        after.append(
            f"Dropping {block['drop']} of {block['of']} layers: {block['first']} to {block['last']} (mean angle "
            f"{block['angle']:.3f} of a half turn), --layers {block['layers']}"
        )
    after += [f"{named(row['options'])}: {row['problem']}" for row in found["variants"] if row["problem"] is not None]
    return Group(*map(Text, lines), table, *map(Text, after))


def named(options: Mapping[str, Any]) -> str:
    """A variant's options as --variant takes them."""
    return " ".join(f"{name}={shlex.quote(str(value))}" for name, value in options.items())


def _shares(row: dict[str, float]) -> tuple[str, str]:
    return f"{row['semdedup']:.3f}", f"{row['kept']:.3f}"
