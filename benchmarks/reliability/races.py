"""Two commands at once in one run directory: the second is told, and what is left can be gone on with."""

import random
import shutil
import time

from benchmarks import measure
from benchmarks.reliability.runs import Reference, digest

LATEST = 3.0  # seconds after which the second command starts, at most


def races(reference: Reference, trials: int, rng: random.Random) -> str:
    """Rows: the second command with another recipe, and with the same."""
    run = reference.run.parent / "raced"
    rows = []
    for label, recipe, keep in (("another recipe", "semdedup", "0.7"), ("the same recipe", "d4", "0.5")):
        first_done = second_done = told = identical = 0
        for _ in range(trials):
            shutil.rmtree(run, ignore_errors=True)
            first = reference.launcher.start(reference.curate(run))
            time.sleep(rng.uniform(0, LATEST))
            second = reference.launcher.start(reference.curate(run, recipe=recipe, keep=keep))
            two, one = reference.launcher.end(second), reference.launcher.end(first)
            first_done += one.code == 0
            second_done += two.code == 0
            told += sum(ended.code in (1, 2) and str(run) in ended.message for ended in (one, two))
            again = reference.launcher.run(reference.curate(run))
            identical += again.code == 0 and digest(run) == reference.digest
        rows.append((label, trials, first_done, second_done, told, identical))
    header = (
        "second command",
        "tries",
        "first ended well",
        "second ended well",
        "told",
        "identical afterwards",
    )
    return measure.table(header, rows)
