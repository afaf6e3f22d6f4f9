"""How far a run is, from its files alone: it may be running, broken or finished.

sluice status runs/first
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.pipelines.finished import Finished
from sluice.pipelines.printing import emit, number, printable, size
from sluice.transforms import storage
from sluice.transforms.artifacts import find_manifest

PART = re.compile(r"part-(\d+)-([0-9a-f]{10})\.parquet")
BIN = re.compile(r"bins/bin-\d+-([0-9a-f]{10})\.npy")
# Rows of an unfinished stage are in its parts' footers; of more parts than this, only the units are counted.
MOST_FOOTERS = 1000
FINISHED, RUNNING, NOTHING, OLD = "finished", "under way", "not started", "of other settings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="RUN", help="run directory")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    found = status(args.url)
    emit(found, render(found), as_json=args.json)
    return 0


def status(url: str) -> dict[str, Any]:
    """Every stage of a run in order: state, units done, rows, bytes on disk, when it last changed.

    A stage is `finished`, `under way` (some units have their part), `not started`, or `of other settings`: finished
    once, but a stage before it has to be done again, or its target is no longer the recipe's. Raises FileNotFoundError
    for a place that is no run directory.
    """
    found = Finished(url)
    files = _files(found.url)
    inventory = found.find("inventory")
    units = None if inventory is None else inventory.manifest["totals"]["units"]
    # What has one part, whatever the units: the inventory, and centroids that are copied from another run.
    single = {"inventory", *(f"{name}/centroids" for name in found.steps if _adopts(found, name))}
    stages = []
    broken = False
    for name, folder in stage_folders(found):
        stage = _stage(found, name, folder, files, 1 if name in single else units)
        if stage["state"] == FINISHED and (broken or not _current(found, name)):
            stage["state"] = OLD
        broken |= stage["state"] != FINISHED
        stages.append(stage)
    changed = max((one.changed for one in files.values() if one.changed), default=None)
    return {
        "run": found.url,
        "recipe": found.recipe.name,
        "state": FINISHED if not broken and "report.json" in files else RUNNING if units else NOTHING,
        "finished": sum(stage["state"] == FINISHED for stage in stages),
        "units": units,
        "bytes": sum(one.bytes for one in files.values()),
        "changed": _iso(changed),
        "stages": stages,
        "report": "report.json" in files,
    }


def stage_folders(run: Finished) -> Iterator[tuple[str, str]]:
    """(stage, its folder) in the order in which a run does them."""
    yield from (("inventory", "inventory"), ("documents", "documents"))
    embedded = False
    for name, step in zip(run.steps, run.all_options):
        if step.needs_vectors and not embedded:
            embedded = True
            yield "embeddings", "embeddings"
        clusterings = run.clusterings(name)
        for part in step.folders:
            yield f"{name}/{part}", f"steps/{name}/{part}"
            if part == "centroids":
                for number in range(1, getattr(step, "refine", 0) + 1):
                    yield f"{name}/refine-{number}/{part}", f"steps/{name}/refine-{number}/{part}"
            if part == "clusters":
                for folder in clusterings[1:]:
                    for finer in ("centroids", "clusters"):
                        yield f"{folder.removeprefix('steps/')}/{finer}", f"{folder}/{finer}"
    yield from (("decisions", "decisions"), ("corpus", "corpus/_parts"))


def _adopts(run: Finished, name: str) -> bool:
    return getattr(run.options(name), "centroids", None) is not None


@dataclass
class File:
    """Size in bytes and the time of the last change, in seconds since 1970."""

    bytes: int
    changed: float | None


@dataclass
class Folder:
    """What a stage's folder holds: parts by key, and for each key the bins that are scored."""

    bytes: int = 0
    changed: float | None = None
    parts: dict[str, list[str]] = field(default_factory=dict)
    bins: dict[str, int] = field(default_factory=dict)


def _files(url: str) -> dict[str, File]:
    """Every file below a folder, from one listing."""
    fs, path = storage.filesystem(url)
    found = fs.find(path, detail=True)
    return {name[len(path) :].strip("/"): File(int(entry["size"] or 0), _time(entry)) for name, entry in found.items()}


def _time(entry: dict[str, Any]) -> float | None:
    value = next(
        (entry[name] for name in ("mtime", "updated", "LastModified", "last_modified") if entry.get(name)), None
    )
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else value


def _folder(folder: str, files: dict[str, File]) -> Folder:
    found = Folder()
    # The corpus itself lies around the folder that lists it.
    root = folder.removesuffix("_parts")
    root = root if root.endswith("/") else f"{root}/"
    for name, file in files.items():
        if name.startswith(root):
            found.bytes += file.bytes
            found.changed = max(filter(None, (found.changed, file.changed)), default=None)
            below = name[len(folder) + 1 :] if name.startswith(f"{folder}/") else ""
            if part := PART.fullmatch(below):
                found.parts.setdefault(part[2], []).append(name)
            elif scored := BIN.fullmatch(below):
                found.bins[scored[1]] = found.bins.get(scored[1], 0) + 1
    return found


def _stage(run: Finished, name: str, folder: str, files: dict[str, File], units: int | None) -> dict[str, Any]:
    on_disk = _folder(folder, files)
    manifest = find_manifest(storage.join(run.url, folder))
    # Parts of another key than the manifest's are newer: a finished stage drops those of older ones.
    keys = {*on_disk.parts, *on_disk.bins} - ({manifest["key"][:10]} if manifest else set())
    stage: dict[str, Any] = {"stage": name, "units": units, "bytes": on_disk.bytes, "changed": _iso(on_disk.changed)}
    if manifest is not None and not keys:
        done = len(manifest["parts"])
        return stage | {"state": FINISHED, "units_done": done, "rows": manifest["rows"], "totals": manifest["totals"]}
    key = max(keys, key=lambda key: len(on_disk.parts.get(key, [])), default="")
    parts = on_disk.parts.get(key, [])
    stage |= {"state": RUNNING if keys else NOTHING, "units_done": len(parts), "rows": None, "totals": {}}
    if parts and len(parts) <= MOST_FOOTERS:
        stage["rows"] = sum(_rows(storage.join(run.url, part)) for part in parts)
    if key in on_disk.bins:
        stage["bins_done"] = on_disk.bins[key]
    return stage


def _rows(url: str) -> int:
    with storage.local_copy(url) as path:
        return pq.read_metadata(path).num_rows


def _current(run: Finished, name: str) -> bool:
    """Whether a finished cut is the one that the recipe asks for now."""
    step, _, stage = name.partition("/")
    documents = run.find("documents")
    options = run.options(step) if step in run.steps else None
    cut = getattr(options, "cut", None)
    if stage != "keep" or cut is None or cut.limit is not None or documents is None:
        return True
    totals = documents.manifest["totals"]
    by, target = cut.target(documents=totals["documents"], tokens=totals["tokens"])
    made = run.artifact(f"steps/{name}").manifest["config"]
    return (made["by"], made["target"]) == (by, target)


def _iso(changed: float | None) -> str | None:
    return None if changed is None else datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")


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
        if stage["state"] == RUNNING and "bins_done" in stage:
            units += f", {number(stage['bins_done'])} bins"
        table.add_row(
            Text(stage["stage"]),
            stage["state"],
            units,
            number(stage["rows"]) if started else "",
            size(stage["bytes"]) if started else "",
            (stage["changed"] or "").replace("T", " ").removesuffix("+00:00") if started else "",
            style="" if stage["state"] == FINISHED else "bold" if started else "dim",
        )
    head = (
        f"{printable(found['run'])}: recipe {printable(found['recipe'])}, {found['state']}, {found['finished']} of "
        f"{len(found['stages'])} stages finished, {size(found['bytes'])}, last change {found['changed'] or '-'}"
    )
    return Group(Text(head), table)
