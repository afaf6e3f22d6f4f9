"""One curation on one engine, and all that it left."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engines.engines import ENGINES
from tests.engines.processes import Servers
from tests.pipelines.corpora import run_d4

Contents = dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """Seconds to bring the engine up, seconds of the curation, and what the run directory holds."""

    starting: float
    running: float
    contents: Contents


def curate_on(engine: str, source: str, folder: Path, options: dict) -> Outcome:
    """The whole D4 curation on an engine that is started for it and ended after it. Raises Missing."""
    began = time.monotonic()
    with Servers(folder / "logs") as servers:
        flags = ENGINES[engine](servers)
        started = time.monotonic()
        run = curate(source, folder / "run", flags, options)
        return Outcome(started - began, time.monotonic() - started, contents(run))


def curate(source: str, run: Path, flags: Sequence[str], options: dict) -> Path:
    """The whole D4 curation, submitted from this process."""
    run_d4(source, run, beam_args=flags, **options)
    return run


def contents(run: Path) -> Contents:
    """Every file of a run and the digest of its bytes, but for the report and launches/, which hold times.

    Files of dead workers, which keep their temporary names and are never read, do not count.
    """
    files = (path for path in run.rglob("*") if path.is_file())
    return {
        str(path.relative_to(run)): hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        for path in files
        if path.stem != "report" and path.parent.name != "launches" and path.suffix != ".tmp"
    }


def differing(found: Contents, expected: Contents) -> list[str]:
    """The files that are not there in both, or not the same."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
