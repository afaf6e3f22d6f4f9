"""A plan as a page for a terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.pipelines.terminal.printing import cell, counted, printable, size


def render(found: dict[str, Any]) -> RenderableType:
    """The plan, its warnings and its commands."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    for name in ("likely", "from", "to", "memory", "shuffled", "stored"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in found["stages"]:
        table.add_row(*_cells(stage, cell(stage["stage"])))
    table.add_row(*_cells(found["totals"], Text("total")), style="bold")
    warnings = [Text(f"Warning: {printable(line)}", style="yellow") for line in found["warnings"]]
    commands = [Text(line, no_wrap=True, overflow="ignore") for line in found.get("commands", ())]
    how = [Text("\nTo start it:", style="bold"), *commands] if commands else []
    if found.get("left_out"):
        how.append(Text(found["left_out"], no_wrap=True, overflow="ignore"))
    return Group(*map(Text, _head(found)), Text(), table, Text(), *map(Text, _after(found)), *warnings, *how)


def _cells(stage: dict[str, Any], name: Text) -> tuple[Any, ...]:
    seconds = stage["seconds"]
    times = (_time(seconds[end]) for end in ("likely", "low", "high"))
    bytes_ = (size(stage[name]["likely"]) for name in ("shuffled_bytes", "stored_bytes"))
    return name, *times, size(stage["memory_bytes"]), *bytes_


def _span(value: dict[str, float], shown: Any) -> str:
    low, high = shown(value["low"]), shown(value["high"])
    return low if low == high else f"{low} - {high}"


def _time(seconds: float) -> str:
    """Two digits: more would be a promise."""
    for limit, each, unit in ((100.0, 1.0, "s"), (6000.0, 60.0, "min"), (172_800.0, 3600.0, "h")):
        if seconds < limit:
            return f"{_two_digits(seconds / each)} {unit}"
    return f"{_two_digits(seconds / 86400)} days"


def _two_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _count(value: float) -> str:
    """Three digits that mean something."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _head(found: dict[str, Any]) -> list[str]:
    source, sample, machine = found["input"], found["sample"], found["machine"]
    share = sample["rejected"] / max(sample["records"], 1)
    whole = "all were read" if sample["is_the_corpus"] else f"{sample['documents']:,} were read"
    lines = [
        f"Recipe {printable(found['recipe'])}; {counted(source['files'], 'file')}, {size(source['bytes'])}, "
        f"{counted(source['units'], 'unit')}.",
        f"Documents: {_span(found['documents'], _count)} ({whole}; {share:.2%} of the records are bad), "
        f"{_span(found['characters_per_document'], _count)} characters"
        + (
            f" and {_span(found['tokens_per_document'], _count)} tokens each"
            if found["tokens_per_document"]
            else " each"
        )
        + f"; kept: {_span(found['kept'], _count)}.",
    ]
    if found["tokens"]:
        lines.append(f"Tokens in all: {_span(found['tokens'], _count)}, likely {_count(found['tokens']['likely'])}.")
    here = (found["embedding"] or {}).get("here")
    if here:
        lines.append(
            f"Embedding here: {_count(here['documents_per_second'])} documents and "
            f"{_count(here['tokens_per_second'])} tokens a second ({here['documents']:,} documents of "
            f"{here['tokens_per_document']:.0f} tokens as the model sees them), "
            f"{found['embedding']['dimension']} dimensions."
        )
    there = (found["embedding"] or {}).get("on_accelerator")
    if there:
        lines.append(
            f"Embedding on one {machine['name']}: {_span(there['tokens_per_second'], _count)} tokens a second, likely "
            f"{_count(there['tokens_per_second']['likely'])}, by data sheets."
        )
    measured = "measured just now" if machine["measured"] else "as the price file says"
    rest = f", {machine['rest']} for the rest" if machine["rest"] != machine["name"] else ""
    what = "machines at most" if machine["kind"] == "dataflow" else "processes" if machine["workers"] > 1 else "process"
    lines.append(
        f"Machine: {machine['name']}{rest}, {machine['workers']:,} {what}, {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB, {machine['gflops_per_core']:.0f} GFLOP/s a core ({measured})."
    )
    return lines


def _after(found: dict[str, Any]) -> list[str]:
    cost, lines = found["cost"], []
    for one in found["largest_clusters"]:
        bins = "" if one["most_in_bin"] is None else f"; a bin holds {_count(one['most_in_bin'])}"
        lines.append(
            f"Largest cluster of {one['step']}, of {one['clusters']:,}: {_span(one['documents'], _count)} documents, "
            f"likely {_count(one['documents']['likely'])}{bins}."
        )
    money = f"{_span(cost['total'], lambda value: f'{value:,.2f}')} {cost['currency']}"
    missing = (
        f", without {', '.join(cost['without_price'])}, which it has no price for" if cost["without_price"] else ""
    )
    lines.append(
        f"Cost: {money}, likely {cost['total']['likely']:,.2f} (machines {cost['machines']['likely']:,.2f}, shuffle "
        f"{cost['shuffle']['likely']:,.2f}), by a price file of {cost['date']}{missing}. Check it before quoting."
    )
    return lines
