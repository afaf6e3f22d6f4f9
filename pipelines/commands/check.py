"""Whether every file of a run is what was written to it, and what to remove so that it is made again.

sluice check runs/first
sluice check runs/first --repair
sluice curate --recipe runs/first/recipe.yaml --run runs/first    makes it again, with the same bytes

Exit code: 0 sound, or repaired; 1 damaged.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.text import Text

from sluice.pipelines.run.holding import alone
from sluice.pipelines.terminal.printing import counted, emit, printable, size
from sluice.transforms import storage
from sluice.transforms.audit.soundness import Checked, check_stage, stage_folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="RUN", help="run directory: a local path or an fsspec URL")
    parser.add_argument(
        "--repair", action="store_true", help="remove damaged files, and what keeps their stage finished"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    url = args.url.rstrip("/")
    if args.repair:
        with alone(url, "sluice check --repair"):
            result = check(url, repair=True)
    else:
        result = check(url)
    emit(result, Group(*map(Text, _lines(result))), as_json=args.json)
    return 1 if result["damaged"] and not args.repair else 0


def check(url: str, *, repair: bool = False) -> dict[str, Any]:
    """Read every file of a run that has a record. Raises FileNotFoundError where no stage is finished.

    {"run", "files", "bytes", "damaged": [{"file", "problem"}], "removed": [file]}, files relative to the run.
    """
    folders = stage_folders(url)
    if not folders:
        raise FileNotFoundError(f"{url} is no run directory, or no stage of it is finished")
    files = total = 0
    damaged: list[Checked] = []
    for checked in _shown(url, folders):
        files, total = files + 1, total + checked.bytes
        if checked.problem is not None:
            damaged.append(checked)
    removed = _remove(damaged) if repair else []
    return {
        "run": url,
        "files": files,
        "bytes": total,
        "damaged": [{"file": _short(url, found.url), "problem": found.problem} for found in damaged],
        "removed": [_short(url, name) for name in removed],
    }


def _shown(url: str, folders: list[str]) -> Iterator[Checked]:
    """Every file, with a line of progress on a terminal: large runs take as long as it takes to read them."""
    terminal = sys.stderr.isatty()
    done = 0
    for number, folder in enumerate(folders, 1):
        for checked in check_stage(folder):
            done += checked.bytes
            yield checked
        if terminal:
            name = printable(_short(url, folder), 30)
            print(
                f"\r\033[K{name}: {number} of {len(folders)} stages, {size(done)}", end="", file=sys.stderr, flush=True
            )
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _remove(damaged: list[Checked]) -> list[str]:
    """Delete what keeps damaged files from being made again; which files those were."""
    # The manifest goes first: without it the stage is not finished, whatever comes in between.
    gone = list(dict.fromkeys(url for found in damaged for url in (*reversed(found.with_it), found.url)))
    for url in gone:
        storage.delete(url)
    return gone


def _short(run: str, url: str) -> str:
    return url.removeprefix(f"{run}/")


def _lines(result: dict[str, Any]) -> Iterator[str]:
    run = printable(result["run"])
    for found in result["damaged"]:
        yield f"{printable(found['file'])}: {found['problem']}"
    count = len(result["damaged"])
    checked = f"{counted(result['files'], 'file')} of {run} checked, {size(result['bytes'])}"
    if not count:
        yield f"{checked}: all are what was written"
    elif result["removed"]:
        removed = counted(len(result["removed"]), "file")
        yield f"{checked}: {count:,} damaged; removed what must be made again ({removed})"
        yield f"make it again: sluice curate --recipe {run}/recipe.yaml --run {run}"
    else:
        yield f"{checked}: {count:,} damaged"
        yield f"remove what must be made again: sluice check {run} --repair"
