"""SIGKILL at random moments: the same command, given again, must end in the same bytes."""

import random
import shutil
import time

from benchmarks import measure
from benchmarks.reliability.runs import Reference, digest, temporaries

MOST_KILLS = 6  # of one run; then it is left to end


def kills(reference: Reference, trials: int, rng: random.Random) -> str:
    """`trials` runs from nothing, each killed several times at moments spread over the time that a whole run takes."""
    run = reference.run.parent / "killed"
    whole = reference.launcher.run(reference.curate(run)).seconds
    killed = ended_well = identical = left = 0
    for _ in range(trials):
        shutil.rmtree(run)
        for _ in range(rng.randint(1, MOST_KILLS)):
            child = reference.launcher.start(reference.curate(run))
            time.sleep(rng.uniform(0.05, whole))
            child.kill()
            killed += reference.launcher.end(child).code == -9
        ended = reference.launcher.run(reference.curate(run))
        ended_well += ended.code == 0
        identical += ended.code == 0 and digest(run) == reference.digest
        left += len(temporaries(run))
    header = ("runs", "kills", "ended by the same command", "identical to a run without kills", "temporary files left")
    return measure.table(header, [(trials, killed, ended_well, identical, left)])
