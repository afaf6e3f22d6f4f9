"""What every pruning method finds where the truth is known, beside random: the tables of docs/measured/proof.md.

    python -m benchmarks.proof --document docs/measured/proof.md  # all of it, a quarter of an hour on 2 idle cores
    python -m benchmarks.proof --only contamination code      # parts of it, printed
    python -m benchmarks.proof --share 0.3                    # a third of every corpus
    python -m benchmarks.proof --quick                        # a twentieth, and few settings: a check that all runs
    python -m benchmarks.proof --parser spacy:en_core_web_sm  # the step quality with a spaCy model besides

The corpora are data of their own (--shared); without them nothing is measured. Vectors are kept by content in
--vectors, so a second run embeds nothing; every removal is that of a real run of the pipelines. Tables are written as
they are made, so a command that was cut off goes on with --only.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.proof import contamination, corrupted_code, degraded_texts, duplicates, pairs, selection
from benchmarks.proof.runs import VECTORS, Vectors, say

PARTS = ("planted", "dups", "pairs", "contamination", "code", "quality", "selection")


def parts(options: argparse.Namespace, work: Path) -> dict[str, Callable[[], str]]:
    """Every part by its name, which is that of its markers in the page."""
    vectors = Vectors(options.vectors)
    size: dict[str, Any] = {"share": 0.05 if options.quick else options.share, "quick": options.quick}
    embedded = {
        "planted": duplicates.planted,
        "dups": pairs.dups,
        "pairs": pairs.pairs,
        "contamination": contamination.contamination,
        "code": corrupted_code.code,
        "selection": selection.selection,
    }
    found: dict[str, Callable[[], str]] = {
        name: partial(part, options.shared, work, vectors, **size) for name, part in embedded.items()
    }
    found["quality"] = partial(degraded_texts.quality, options.shared, work, **size, parser=options.parser)
    return {name: found[name] for name in PARTS}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=measure.SHARED, help="the folder of the corpora")
    parser.add_argument("--vectors", type=Path, default=VECTORS, help=f"where vectors are kept (default: {VECTORS})")
    parser.add_argument("--work", type=Path, help="where run directories are kept (default: a temporary folder)")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--parser", metavar="MODEL", help="spacy:MODEL: quality also with rules about parses")
    parser.add_argument("--document", type=Path, help="write the tables into this page, between its markers")
    parser.add_argument("--share", type=float, default=1.0, metavar="S", help="of every corpus (default: all of it)")
    parser.add_argument("--quick", action="store_true", help="a twentieth of every corpus, few settings")
    options = parser.parse_args(arguments)
    if not 0 < options.share <= 1:
        parser.error(f"--share is above 0 and at most 1, not {options.share}")
    if not options.shared.is_dir():
        say(f"{options.shared} is not there: the corpora are data of their own, named by --shared; nothing is measured")
        return
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as temporary:
        work = options.work or Path(temporary)
        for name, part in parts(options, work).items():
            if name not in options.only:
                continue
            started, used = time.monotonic(), time.process_time()
            machine = measure.machine()
            text = part()
            seconds = f"{time.monotonic() - started:.0f} s, {time.process_time() - used:.0f} s of processor time"
            today = datetime.now(UTC).strftime("%-d %B %Y")
            measure.fill(options.document, **{name: f"{text}\n\nMeasured on {today}: {seconds}; {machine}."})
            say(f"{name}: {seconds}")


if __name__ == "__main__":
    main()
