"""How far a run is, from its files alone: it may be running, broken or finished, here or anywhere.

sluice status runs/first
sluice status gs://bucket/runs/first --watch 30    until it is finished or has failed

Exit code: 0 finished; 3 under way, stopped or not started; 4 failed: the last command that worked on it ended in an
error. (1 and 2 are those of every command: it went wrong, it was asked for wrongly.)
"""

import argparse
import time
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live

from sluice.pipelines.run.finished import Finished
from sluice.pipelines.run.launches import FAILED, FOLDER, STOPPED, read_launches
from sluice.pipelines.run.layout import Listed, list_stages
from sluice.pipelines.status.pace import CLOCKS
from sluice.pipelines.status.page import render
from sluice.pipelines.status.state import FINISHED, NOTHING, OLD, RUNNING, Look, files_of, shown_time
from sluice.pipelines.status.weights import Weights
from sluice.pipelines.terminal.printing import emit

EXIT_CODES = {FINISHED: 0, FAILED: 4}
NOT_FINISHED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="RUN", help="run directory: a local path or an fsspec URL")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--watch", type=float, metavar="SECONDS", help="look again every so often until it is finished or has failed"
    )


def run(args: argparse.Namespace) -> int:
    if args.watch is not None and not args.watch > 0:
        raise ValueError(f"--watch is a number of seconds above 0, not {args.watch}")
    found = status(args.url)
    if args.watch is None:
        emit(found, render(found), as_json=args.json)
        return exit_code(found)
    with Live(render(found), console=Console(highlight=False, quiet=args.json), auto_refresh=False) as live:
        while found["state"] not in EXIT_CODES:
            time.sleep(args.watch)
            found = status(args.url)
            live.update(render(found), refresh=True)
    if args.json:
        emit(found, render(found), as_json=True)
    return exit_code(found)


def exit_code(found: dict[str, Any]) -> int:
    return EXIT_CODES.get(found["state"], NOT_FINISHED)


def status(url: str) -> dict[str, Any]:
    """Every stage of a run in order: state, units done, rows, bytes on disk, when it last changed.

    A stage is `finished`, `under way` (some units have their part), `not started`, or `of other settings`: finished
    once, but a stage before it has to be done again, or its target is no longer the recipe's. One under way has a
    share, a speed and a time left, as far as they can be told, and the largest unit that is left. The run is finished,
    under way, not started, or `failed` or `stopped` where its last launch ended so. Raises FileNotFoundError for a
    place that is no run directory.
    """
    found = Finished(url)
    files = files_of(found.url)
    launch = _last_launch(found.url)
    look = Look(found, files, Weights(found), launch)
    stages = []
    broken = False
    for listed in list_stages(zip(found.steps, found.all_options), lambda name, step: found.slots(name)):
        stage = look.stage(listed)
        if stage["state"] == FINISHED and (broken or not _current(found, listed)):
            stage["state"] = OLD
        broken |= stage["state"] != FINISHED
        stages.append(stage)
    changed = max((one.changed for name, one in files.items() if one.changed and _of_work(name)), default=None)
    state = FINISHED if not broken and "report.json" in files else RUNNING if look.units else NOTHING
    if state != FINISHED and launch is not None and launch["outcome"] in (FAILED, STOPPED):
        ended = datetime.fromisoformat(launch["ended"]).timestamp()
        # Jobs go on without whoever launched them, and may be launched in ways that leave no record.
        state = RUNNING if changed is not None and changed > ended + CLOCKS else launch["outcome"]
    return {
        "run": found.url,
        "recipe": found.recipe.name,
        "state": state,
        "finished": sum(stage["state"] == FINISHED for stage in stages),
        "units": look.units,
        "bytes": sum(one.bytes for one in files.values()),
        "changed": shown_time(changed),
        "launch": launch,
        "stages": stages,
        "report": "report.json" in files,
    }


def _of_work(name: str) -> bool:
    return not name.startswith(f"{FOLDER}/")


def _last_launch(url: str) -> dict[str, Any] | None:
    for record in read_launches(url, last=1):
        stage = record["stages"][-1] if record["stages"] else {}
        named = {name: record.get(name) for name in ("started", "ended", "outcome", "error", "command")}
        host = (record.get("machine") or {}).get("host")
        return named | {"host": host, "stage": stage.get("stage"), "stage_started": stage.get("started")}
    return None


def _current(run: Finished, listed: Listed) -> bool:
    """Whether a finished cut is the one that the recipe asks for now."""
    cut = None if listed.step is None else listed.step.asked
    if listed.slot.folder != "keep" or cut is None or cut.limit is not None:
        return True
    documents = run.find("documents")
    if documents is None:
        return True
    totals = documents.manifest["totals"]
    by, target = cut.target(documents=totals["documents"], tokens=totals["tokens"])
    made = run.artifact(listed.folder).manifest["config"]
    return (made["by"], made["target"]) == (by, target)
