"""The page that `sluice status` shows."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.pipelines.status.state import FINISHED, NOTHING, RUNNING
from sluice.pipelines.terminal.printing import duration, number, printable, size


def render(found: dict[str, Any]) -> RenderableType:
    """A status as a page for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("state")
    for name in ("units", "rows", "on disk", "last change (UTC)"):
        table.add_column(name, justify="right")
    for stage in found["stages"]:
        started = stage["state"] != NOTHING
        units = f"{number(stage['units_done'])} of {number(stage['units'])}" if started else ""
        if "bins_done" in stage:
            units = f"{number(stage['bins_done'])} of {number(stage['bins'])} bins"
        table.add_row(
            Text(stage["stage"]),
            stage["state"],
            units,
            number(stage["rows"]) if started else "",
            size(stage["bytes"]) if started else "",
            _shown_time(stage["changed"]) if started else "",
            style="" if stage["state"] == FINISHED else "bold" if started else "dim",
        )
    head = (
        f"{printable(found['run'])}: recipe {printable(found['recipe'])}, {found['state']}, {found['finished']} of "
        f"{len(found['stages'])} stages finished, {size(found['bytes'])}, last change {found['changed'] or '-'}"
    )
    return Group(Text(head), table, *(Text(line) for line in _remarks(found)))


def _shown_time(changed: str | None) -> str:
    return (changed or "").replace("T", " ").removesuffix("+00:00")


def _remarks(found: dict[str, Any]) -> Iterator[str]:
    """What does not fit a table: how fast the stage under way goes, damaged manifests, how the last launch ended."""
    for stage in found["stages"]:
        if "problem" in stage:
            yield f"{stage['stage']}: {stage['problem']}"
        if "units_begun" in stage:
            begun = stage["units_begun"]
            named = f"unit {begun[0]}" if len(begun) == 1 else f"{len(begun)} units"
            yield f"{stage['stage']}: of {named} a part is done, and kept"
        if stage["state"] == RUNNING and stage.get("share") is not None:
            yield _pace_line(stage)
    launch = found["launch"]
    if launch is not None and found["state"] != FINISHED:
        at = f" at {launch['stage']}" if launch["stage"] else ""
        end = "no end of it is recorded" if launch["ended"] is None else f"{launch['outcome']} {launch['ended']}{at}"
        yield f"last launch: begun {launch['started']} on {printable(launch['host'])}; {end}"
        if launch["error"]:
            yield f"last error: {printable(launch['error'], 1000)}"


def _pace_line(stage: dict[str, Any]) -> str:
    line = f"{stage['stage']}: {stage['share']:.0%} of the {stage['measure']}"
    if stage["per_second"]:
        speed = f"{size(stage['per_second'])}" if stage["measure"] == "bytes" else f"{stage['per_second']:,.0f}"
        line += f", {speed} a second, about {duration(stage['seconds_left'])} left when the last part came"
    if left := stage.get("largest_left"):
        weight = size(left["weight"]) if stage["measure"] == "bytes" else f"{left['weight']:,} documents"
        line += f"; the largest unit left is {left['unit']} ({weight})"
    return line
