"""One curation of real documents on every engine, and again with workers killed: is it the same, byte for byte?

    python -m tests.engines.compare --documents 3000
    python -m tests.engines.compare --documents 300 --embed --engine Prism --engine 'portable, a worker pool'

An engine that cannot be had is named with the reason. Exits with 1 when one left other bytes or failed, or when one
of `--require` was not there.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.engines import fetch
from tests.engines.corpus import write_documents
from tests.engines.engines import ENGINES, flink_flags, start_pool, start_prism
from tests.engines.faults import Ended, lose_task_manager, lose_workers
from tests.engines.flink import Cluster
from tests.engines.processes import Servers
from tests.engines.running import Contents, Outcome, contents, curate_on, differing

GIVEN = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "clusters": "40", "keep": "0.5"}
EMBEDDED = {"id": "id", "vector": None, "tokens": None, "clusters": "20", "keep": "0.5"}
REFERENCE = "in memory"
WORKERS, TASK_MANAGER = "Prism, workers killed", "Flink, a task manager killed"


class Comparison:
    """A corpus, what the in-process runner makes of it, and a printed line for each engine compared with that."""

    def __init__(self, folder: Path, documents: int, *, embed: bool):
        self.folder = folder
        self.options: dict = {**(EMBEDDED if embed else GIVEN), "unit_bytes": 400_000}
        self.source = write_documents(folder / "corpus", documents, shards=8)
        self.failed: list[str] = []
        self.missing: list[str] = []
        reference = curate_on(REFERENCE, self.source, folder / "reference", self.options)
        self.expected: Contents = reference.contents
        print(f"{'engine':38} {'start s':>8} {'run s':>7}  compared with {REFERENCE}")
        print(
            f"{REFERENCE:38} {reference.starting:8.1f} {reference.running:7.1f}  {len(self.expected)} files", flush=True
        )

    def engine(self, name: str) -> None:
        """Run one engine, and say how what it left compares."""
        place = self.folder / name.replace(" ", "-").replace(",", "")
        try:
            outcome = self._outcome(name, place)
        except fetch.Missing as reason:
            self.missing.append(name)
            print(f"{name:38} {'NOT RUN':>16}  {reason}", flush=True)
            return
        except Exception as error:
            self.failed.append(name)
            print(f"{name:38} {'FAILED':>16}  {type(error).__name__}: {error}", flush=True)
            return
        others = differing(outcome.contents, self.expected)
        verdict = f"DIFFERS: {', '.join(others[:3])} and {len(others)} in all" if others else "the same, byte for byte"
        if others:
            self.failed.append(name)
        print(f"{name:38} {outcome.starting:8.1f} {outcome.running:7.1f}  {verdict}", flush=True)
        shutil.rmtree(place)

    def _outcome(self, name: str, place: Path) -> Outcome:
        if name not in (WORKERS, TASK_MANAGER):
            return curate_on(name, self.source, place, self.options)
        began = time.monotonic()
        options = {key: str(value) for key, value in self.options.items() if value is not None}
        run, files = place / "run", len(self.expected)
        with Servers(place / "logs") as servers:
            if name == WORKERS:
                engine = start_prism(servers)
                started = time.monotonic()
                ends = lose_workers(
                    servers, self.source, run, options,
                    engine=engine, start_pool=start_pool, files=files, kills=10, seed=0,
                )  # fmt: skip
            else:
                fetch.job_server()
                cluster = Cluster(servers).start()
                flags = flink_flags(cluster, 2) + start_pool(servers, shared=True)[1]
                started = time.monotonic()
                ends = lose_task_manager(servers, cluster, self.source, run, options, flags=flags, files=files)
        print(_told(ends), flush=True)
        return Outcome(started - began, time.monotonic() - started, contents(run))


def _told(ends: list[Ended]) -> str:
    """How submissions ended, counted."""
    if ends[-1].code != 0:
        raise RuntimeError(f"the last submission, which lost nothing, ended with {ends[-1].code}: {ends[-1].said}")
    if len(ends) == 1:
        return "  the submission that lost one ran to its end by itself"
    lost = ends[:-1]
    failed, waited = sum(end.code not in (0, None) for end in lost), sum(end.code is None for end in lost)
    went = f"{failed} failed and said so, {waited} had to be ended, {len(lost) - failed - waited} did not notice"
    return f"  {len(lost)} submissions lost workers: {went}; then one ran to its end"


def main(argv: list[str] | None = None) -> int:
    """Compare, print, and return the exit code."""
    names = [name for name in (*ENGINES, WORKERS, TASK_MANAGER) if name != REFERENCE]
    parser = argparse.ArgumentParser(description="The same curation on every engine, compared byte for byte.")
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--embed", action="store_true", help="embed with the default model, not with hashed words")
    parser.add_argument("--engine", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--require", action="append", default=[], choices=names, help="fail when this one is missing")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="sluice-engines-"))
    comparison = Comparison(folder, args.documents, embed=args.embed)
    for name in args.engine or names:
        comparison.engine(name)
    wrong = comparison.failed + [name for name in args.require if name in comparison.missing]
    if wrong:
        print(f"wrong: {', '.join(wrong)}; logs are in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
