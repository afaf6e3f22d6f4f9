"""What was done to runs, how often, and what came out: the tables of docs/measured/reliability.md.

    python -m benchmarks.reliability                                 # all of it, printed; about an hour
    python -m benchmarks.reliability --document docs/measured/reliability.md  # written into the page
    python -m benchmarks.reliability --only bombs disks
    python -m benchmarks.reliability --quick                         # a few tries of each: that all of it runs

Full disks need root, for small file systems in memory; without it that part says so.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import measure
from benchmarks.reliability.bombs import bombs
from benchmarks.reliability.damage import damage
from benchmarks.reliability.disks import disks
from benchmarks.reliability.kills import kills
from benchmarks.reliability.launching import Launcher
from benchmarks.reliability.races import races
from benchmarks.reliability.runs import make_reference

PARTS = ("kills", "damage", "unfinished", "disks", "races", "bombs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--document", type=Path, help="write the tables into this page, between its markers")
    parser.add_argument("--work", type=Path, help="a folder for corpora and runs (default: a temporary one)")
    parser.add_argument("--tries", type=int, default=20, help="runs that are killed, disks, and races of each kind")
    parser.add_argument(
        "--ways", type=int, default=4, help="of four kinds of damage, those that each kind of file gets"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments and places of damage")
    parser.add_argument("--quick", action="store_true", help="two tries, and one damage of each kind of file")
    options = parser.parse_args()
    tries, ways = (2, 1) if options.quick else (options.tries, options.ways)
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="sluice-reliability-") as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        launcher = Launcher(work)
        reference = make_reference(launcher, work)
        parts: dict[str, Callable[[], str]] = {
            "kills": lambda: kills(reference, tries, rng),
            "damage": lambda: damage(reference, rng, ways=ways, finished=True),
            "unfinished": lambda: damage(reference, rng, ways=ways, finished=False),
            "disks": lambda: disks(reference, tries),
            "races": lambda: races(reference, tries, rng),
            "bombs": lambda: bombs(launcher, work),
        }
        for name in options.only:
            started = time.monotonic()
            text = parts[name]()
            seconds = time.monotonic() - started
            measure.fill(options.document, **{name: f"{text}\n\n{seconds:.0f} s; {measure.machine()}."})


if __name__ == "__main__":
    main()
