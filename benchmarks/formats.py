"""Everything but the model, for each format: megabytes of text that are read, checked, cut and written in a second.

    python benchmarks/formats.py  # 256 MB of text in each of six formats
    python benchmarks/formats.py --megabytes 16

Runs the recipe `random` at 50 % on the in-process runner, each format in a process of its own. Text counts as UTF-8
before it is wrapped and compressed; files come from the page cache, so disks are not measured.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

# Run as a file, this folder is on the path, and not the one that holds it.
sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import measure, texts

BUDGET = 50  # MB of text per second, for plain and zstd JSON lines and Parquet


def make(folder: str, kind: str, megabytes: float) -> float:
    """Write a corpus; returns its megabytes of text."""
    documents = texts.records(megabytes)
    texts.write(folder, documents, kind)
    return sum(len(document["text"].encode()) for document in documents) / 1e6


def curate_half(folder: str, run: str, kind: str) -> dict[str, float]:
    """Keep a random half of a corpus; returns seconds by stage, and of the whole call as `total`."""
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.recipe.options import build_recipe

    # Archives have no id field: a record's place is its identity.
    identity = None if kind in ("WET", "WARC") else "id"
    recipe = build_recipe(inputs=(folder,), recipe="random", keep="0.5", id=identity, max_reject_share=1.0)
    started = time.monotonic()
    _, timings = run_recipe(recipe, run)
    return {timing.stage: timing.seconds for timing in timings} | {"total": time.monotonic() - started}


def row(kind: str, megabytes: float) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        corpus = f"{folder}/corpus"
        text, _ = measure.run("formats", "make", folder=corpus, kind=kind, megabytes=megabytes)
        stored = sum(file.stat().st_size for file in Path(corpus).iterdir()) / 1e6
        seconds, peak = measure.run("formats", "curate_half", folder=corpus, run=f"{folder}/run", kind=kind)
    total, read, copied = seconds["total"], seconds["documents"], seconds["corpus"]
    rates = (f"{text / read:.0f} MB/s", f"{text / copied:.0f} MB/s", f"{text / (read + copied):.0f} MB/s")
    rates = (*rates, f"{total - read - copied:.1f} s")
    return kind, f"{stored:.0f} MB", *rates, f"{text / total:.0f} MB/s", f"{peak:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=256, help="of text in each corpus (default: 256)")
    parser.add_argument("--kinds", nargs="+", choices=list(texts.KINDS), default=list(texts.KINDS), metavar="KIND")
    options = parser.parse_args()
    print(measure.machine())
    source = "the mixed web corpus" if measure.SHARED.is_dir() else "docstrings of the standard library"
    print(f"\n{options.megabytes:g} MB of text from {source}; half of the documents kept\n")
    header = ["format", "stored", "read and check", "copy out", "both", "everything else", "end to end", "peak memory"]
    print(measure.table(header, [row(kind, options.megabytes) for kind in options.kinds]))
    print(f"\nWanted for both: {BUDGET} MB/s for plain and zstd JSON lines and for Parquet.")
    print("Everything else is the cut, the decisions, the report, and starting six jobs.")


if __name__ == "__main__":
    main()
