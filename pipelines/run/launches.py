"""launches/: a small file for every command that worked on a run: where, with what, how long each stage took, its end.

    runs/first/launches/20261121T120000.123456-1f0c9a.json

It is written by whoever launches, when a stage begins and at the end; workers do not know of it. Nothing depends on it:
a store that does not take it stops no run, and what a run decides is the same without it.
"""

import contextlib
import json
import logging
import os
import platform
import re
import resource
import shlex
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sluice.models.checkpoints import plain_json
from sluice.transforms import storage
from sluice.transforms.storage import committing

log = logging.getLogger("sluice")
FOLDER = "launches"
NAME = re.compile(r"\d.*\.json")
UNDER_WAY, FINISHED, FAILED, STOPPED = "under way", "finished", "failed", "stopped"
PACKAGES = ("sluice", "apache-beam", "jax", "tensorflow", "scann", "numpy", "pyarrow", "fsspec", "gcsfs", "s3fs")
# An error of a worker may carry a page of a store's answer.
LONGEST_ERROR = 2000


@dataclass
class Launch:
    """One command's file; `saved` says whether the store takes it."""

    url: str
    record: dict[str, Any]
    saved: bool = field(default=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Around a stage that is done; what is put into the mapping is part of its entry."""
        entry: dict[str, Any] = {"stage": name, "started": now(), "seconds": None}
        self.record["stages"].append(entry)
        self.save()
        began = time.monotonic()
        try:
            yield entry
        finally:
            entry |= {"seconds": round(time.monotonic() - began, 3), "peak_memory_bytes": peak_memory()}

    def end(self, outcome: str, error: str | None = None) -> None:
        self.record |= {"ended": now(), "outcome": outcome, "error": None if error is None else error[:LONGEST_ERROR]}
        self.save()

    def save(self) -> None:
        if not self.saved:
            return
        try:
            committing.replace_bytes(self.url, json.dumps(self.record, indent=1).encode())
        except OSError as error:
            self.saved = False
            log.warning("this launch leaves no record, and another recipe is not kept out: %s", error)


@contextlib.contextmanager
def launched(run: str, beam_args: Sequence[str], *, whole: bool) -> Iterator[Launch]:
    """Around a command's work on the run directory `run`: notes how it ended, and lets the error through.

    A command that found nothing to do leaves nothing. One that failed before any stage was begun leaves its error where
    the `whole` run was asked for: a cut that cannot be reached; asked for one stage, it was asked for wrongly.
    """
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:6]}.json"
    launch = Launch(
        storage.join(run, FOLDER, name),
        {
            "started": now(),
            "ended": None,
            "outcome": UNDER_WAY,
            "error": None,
            "command": shlex.join(sys.argv),
            "beam_args": list(beam_args),
            "machine": machine(),
            "versions": installed(),
            "stages": [],
        },
    )
    try:
        yield launch
    except Exception as error:
        if whole or launch.record["stages"]:
            launch.end(FAILED, str(error) or type(error).__name__)
        raise
    except BaseException:
        launch.end(STOPPED)
        raise
    if launch.record["stages"]:
        launch.end(FINISHED)


def read_launches(run: str, *, last: int | None = None) -> list[dict[str, Any]]:
    """The records of a run, oldest first, or only the `last` ones; those that cannot be read are left out."""
    folder = storage.join(run, FOLDER)
    found: list[dict[str, Any]] = []
    for name in sorted((name for name in storage.find(folder) if NAME.match(name)), reverse=True):
        if last is not None and len(found) == last:
            break
        with contextlib.suppress(FileNotFoundError, ValueError):
            record = plain_json.load(storage.read_bytes(storage.join(folder, name)))
            if isinstance(record, dict) and isinstance(record.get("stages"), list):
                found.append(record)
    return found[::-1]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """Of the process that launches: under the in-process runner it does the work, elsewhere it waits for it."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def installed() -> dict[str, str]:
    """The versions of those of PACKAGES that are there."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def peak_memory() -> int:
    """The most bytes that this process, or one of its children that has ended, has held so far."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    most = max(resource.getrusage(kind).ru_maxrss for kind in kinds)
    # macOS counts bytes, others kibibytes.
    return most if sys.platform == "darwin" else most << 10
