"""One recipe at a time in a run directory, on local disks and object stores.

    runs/first/launches/working-1f0c9a2b.json

Each command that works on a run writes such a file, looks for others, and takes its own away at the end. Commands with
the same recipe may work at once: they write the same parts. One that sees another recipe's file leaves again. Whoever
writes first and looks then cannot miss one that does the same, so no lock of the store is needed.

A file counts for as long as its process lives; where that cannot be told, on another machine, for as long as the file
is renewed.
"""

import contextlib
import contextvars
import hashlib
import json
import os
import platform
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.launches import FOLDER
from sluice.pipelines.terminal.repeating import repeating
from sluice.transforms import storage
from sluice.transforms.storage import committing, processes

PREFIX = "working-"
# A file is renewed so often, and counts for so long after that, in seconds.
RENEWED, LEASE = 20.0, 150.0
# Two commands that begin at the same moment both leave, and come again.
TRIES = 5
_held: contextvars.ContextVar[frozenset[tuple[str, str]]] = contextvars.ContextVar("held", default=frozenset())


@dataclass(frozen=True)
class Other:
    """A command that works in the directory: its file, what is in it, how long it is silent where that counts."""

    url: str
    record: dict[str, Any]
    silent: float | None


@contextlib.contextmanager
def holding(run: str, recipe: Recipe) -> Iterator[None]:
    """Around work on a run directory. Raises ValueError where a command with another recipe works there.

    A place that takes no files keeps nobody out.
    """
    digest = hashlib.blake2b(recipe.to_yaml().encode(), digest_size=8).hexdigest()
    with _holding(run, recipe.name, digest):
        yield


@contextlib.contextmanager
def alone(run: str, command: str) -> Iterator[None]:
    """Around work that no other command may be at the same time with. Raises ValueError."""
    with _holding(run, command, uuid.uuid4().hex[:16]):
        yield


@contextlib.contextmanager
def _holding(run: str, name: str, digest: str) -> Iterator[None]:
    if (run, digest) in _held.get():
        yield
        return
    url = storage.join(run, FOLDER, f"{PREFIX}{uuid.uuid4().hex[:8]}.json")
    record = _record(name, digest)
    token = _held.set(_held.get() | {(run, digest)})
    try:
        taken = _take(run, url, record)
        with _renewed(url, record) if taken else contextlib.nullcontext():
            yield
    finally:
        _held.reset(token)


def others(run: str, digest: str, *, mine: str = "") -> list[Other]:
    """The commands that work in a run directory with another recipe than that; files of ended ones are deleted."""
    entries = {
        name: entry for name, entry in storage.find(storage.join(run, FOLDER)).items() if name.startswith(PREFIX)
    }
    # The store's clock for both, where it tells: those of machines differ.
    now = next((storage.changed(entry) for name, entry in entries.items() if mine.endswith(f"/{name}")), None)
    working = []
    for name, entry in entries.items():
        url = storage.join(run, FOLDER, name)
        record = _read(url)
        if url == mine or record is None:
            continue
        alive = processes.lives(str(record["process"]))
        silent = None if alive else (now or time.time()) - (storage.changed(entry) or 0.0)
        if alive is False or (silent is not None and silent > LEASE):
            _remove(url)
        elif record["recipe_digest"] != digest:
            working.append(Other(url, record, silent))
    return working


def _take(run: str, url: str, record: dict[str, Any]) -> bool:
    """Write the file and look for others; False where the place takes none."""
    for left in reversed(range(TRIES)):
        try:
            committing.replace_bytes(url, json.dumps(record, indent=1).encode())
        except OSError:
            return False
        try:
            working = others(run, record["recipe_digest"], mine=url)
        except BaseException:
            _remove(url)
            raise
        if not working:
            return True
        _remove(url)
        if not left:
            raise ValueError(_told(run, working[0]))
        time.sleep(random.uniform(0.02, 0.25))
    return False


@contextlib.contextmanager
def _renewed(url: str, record: dict[str, Any]) -> Iterator[None]:
    def renew() -> None:
        with contextlib.suppress(OSError):
            committing.replace_bytes(url, json.dumps(record, indent=1).encode())

    try:
        with repeating(renew, RENEWED):
            yield
    finally:
        _remove(url)


def _remove(url: str) -> None:
    with contextlib.suppress(OSError):
        storage.delete(url)


def _record(name: str, digest: str) -> dict[str, Any]:
    return {
        "recipe": name,
        "recipe_digest": digest,
        "process": processes.this_process(),
        "host": platform.node(),
        "pid": os.getpid(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _read(url: str) -> dict[str, Any] | None:
    """What is in such a file, or None where it has gone or is none."""
    try:
        record = json.loads(storage.read_bytes(url))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and record.keys() >= {"process", "recipe_digest"} else None


def _told(run: str, other: Other) -> str:
    record = {name: str(other.record.get(name))[:100] for name in ("recipe", "pid", "host", "started")}
    line = (
        f"another command is at work in {run}: {record['recipe']}, process {record['pid']} on {record['host']}, since "
        f"{record['started']}; wait for its end, or name another --run"
    )
    if other.silent is None:
        return line
    return f"{line} (if it is dead: wait {max(LEASE - other.silent, 1):.0f} seconds more, or delete {other.url})"
