"""D4 at 50 % with given embeddings: Sluice against the in-memory reference, each in a process of its own.

    python benchmarks/d4.py          # 200,000 and 1,000,000 documents of 384 dimensions
    python benchmarks/d4.py --documents 200000 --growth 800000
    python benchmarks/d4.py --quick  # 20,000 of 64 dimensions, half a minute

The reference's time runs from arrays in memory to the kept rows in memory; Sluice's from Parquet files to decisions on
disk, every stage written, with copying the corpus out shown apart. Imports and making the corpus count for neither.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Run as a file, this folder is on the path, and not the one that holds it.
sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import corpora, measure

KEEP, DEDUP = 0.5, 0.75
# What the reference does in one phase, as stages of a Sluice run; the reference has nothing for the first and the last.
PHASES = {
    "read": ("inventory", "documents", "embeddings"),
    "clusters": ("01-semdedup/centroids", "01-semdedup/clusters"),
    "semdedup": ("01-semdedup/copies", "01-semdedup/scores"),
    "cut": ("01-semdedup/keep",),
    "clusters again": ("02-prototypes/centroids", "02-prototypes/clusters"),
    "cut again": ("02-prototypes/scores", "02-prototypes/keep"),
    "decisions": ("decisions",),
}


def make(path: str, **corpus: Any) -> None:
    """Write a corpus; in a process of its own because its memory is not what is measured."""
    corpora.write_vectors(path, corpora.Vectors(**corpus))


def reference_d4(path: str, clusters: int, seed: int, kept: str) -> dict[str, Any]:
    """Run the reference; the kept rows go to the file `kept` (.npz)."""
    from benchmarks import reference

    vectors = corpora.load(path)
    result = reference.d4(vectors, clusters=clusters, keep=KEEP, dedup=DEDUP, seed=seed)
    np.savez(kept, kept=result.kept, deduplicated=result.deduplicated)
    return {"seconds": result.seconds, "objectives": result.objectives}


def sluice_d4(path: str, clusters: int, run: str, kept: str) -> dict[str, Any]:
    """Curate with Sluice; the kept rows go to the file `kept` (.npz)."""
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.recipe.options import build_recipe

    options = {"text": "none", "id": "id", "vector": "embedding", "keep": str(KEEP), "clusters": str(clusters)}
    recipe = build_recipe(inputs=(path,), recipe="d4", **options)
    started = time.monotonic()
    _, timings = run_recipe(recipe, run)
    seconds = {timing.stage: timing.seconds for timing in timings}
    seconds["report"] = time.monotonic() - started - sum(seconds.values())
    fates = read_fates(run)
    np.savez(
        kept,
        kept=np.flatnonzero(fates == "kept"),
        deduplicated=np.flatnonzero(fates != "01-semdedup"),
    )
    return {"seconds": seconds, "objectives": [objective(run, step) for step in ("01-semdedup", "02-prototypes")]}


def read_fates(run: str) -> np.ndarray:
    """What became of each row of the corpus, from the decisions: strings [n]."""
    import pyarrow.parquet as pq

    rows, fates = [], []
    manifest = json.loads((Path(run) / "decisions/manifest.json").read_text())
    for part in manifest["parts"]:
        table = pq.read_table(Path(run) / "decisions" / part["name"], columns=["id", "fate"])
        rows.append(np.array([int(name[1:]) for name in table["id"].to_pylist()]))
        fates.append(np.array(table["fate"].to_pylist()))
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(fates)[order]


def objective(run: str, step: str) -> float:
    """Mean cosine to the own centroid of all documents that a step clustered."""
    from sluice.models.arrays.vectors import COARSE

    folder = Path(run) / "steps" / step / "clusters"
    key = json.loads((folder / "manifest.json").read_text())["key"][:10]
    sizes, _, sums, _ = np.load(folder / f"statistics-{key}.npy")
    return float(sums.sum() / sizes.sum() / COARSE**2)


# Comparing ------------------------------------------------------------------------------------------------------


def best(repeat: int, once: Callable[[int], tuple[Any, float]]) -> tuple[Any, float]:
    """The fastest of some runs (result, peak) with the largest peak."""
    runs = [once(number) for number in range(repeat)]
    return min(runs, key=lambda found: sum(found[0]["seconds"].values()))[0], max(peak for _, peak in runs)


def compare(documents: int, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Measure one size, print its tables, and return Sluice's and the reference's totals in seconds."""
    place = str(folder / "corpus")
    seed = 0
    corpus = {"documents": documents, "dimension": options.dimension, "clusters": options.clusters, "seed": seed}
    measure.run("d4", "make", path=place, **corpus)
    kept = [str(folder / f"{name}.npz") for name in ("reference", "sluice", "control")]
    common = {"path": place, "clusters": options.clusters}
    theirs, their_peak = best(
        options.repeat, lambda _: measure.run("d4", "reference_d4", seed=seed, kept=kept[0], **common)
    )
    ours, our_peak = best(
        options.repeat, lambda n: measure.run("d4", "sluice_d4", run=str(folder / f"run-{n}"), kept=kept[1], **common)
    )
    measure.run("d4", "reference_d4", seed=seed + 1, kept=kept[2], **common)
    their_total = sum(theirs["seconds"].values())
    export, report = ours["seconds"].pop("corpus"), ours["seconds"].pop("report")
    our_total = sum(ours["seconds"].values())

    def row(name: str, a: float, b: float, digits: int = 1, unit: str = "") -> tuple[str, ...]:
        ratio = f"{b / a:.2f}" if a >= 0.05 else "-"
        return name, f"{a:.{digits}f}{unit}", f"{b:.{digits}f}{unit}", ratio

    rows = []
    for phase, stages in PHASES.items():
        rows.append(row(phase, theirs["seconds"].get(phase, 0.0), sum(ours["seconds"][stage] for stage in stages)))
    rows.append(row("**total**", their_total, our_total))
    rows.append(row("report", 0.0, report))
    rows.append(row("corpus copied out", 0.0, export))
    rows.append(row("peak memory", their_peak, our_peak, 0, " MB"))
    for number, name in enumerate(("objective, first", "objective, second")):
        rows.append(row(name, theirs["objectives"][number], ours["objectives"][number], 4))
    print(f"\n### {documents:,} documents x {options.dimension}, {options.clusters} clusters, seconds\n")
    print(measure.table(["", "reference", "Sluice", "ratio"], rows))
    print("\nSluice by stage: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in ours["seconds"].items()))
    print("\n" + agreement(kept, documents))
    return {"Sluice": our_total, "reference": their_total}


def agreement(files: list[str], documents: int) -> str:
    """How alike the kept sets are, beside what another seed of the reference gives and what chance would give.

    files: kept rows of the reference, Sluice and the reference with another seed, as the functions above write them.
    """
    rows = []
    sets = [np.load(file) for file in files]
    for name, label in (("deduplicated", "kept by SemDeDup"), ("kept", "kept in the end")):
        theirs, ours, again = (found[name] for found in sets)
        shared = [len(np.intersect1d(theirs, other)) / len(theirs) for other in (ours, again)]
        rows.append((label, f"{len(theirs):,}", f"{len(ours):,}", *(f"{share:.1%}" for share in shared)))
        rows[-1] += (f"{len(theirs) / documents:.1%}",)
    header = ["", "reference", "Sluice", "share in common", "reference with another seed", "chance"]
    return measure.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=1, help="take the fastest of so many runs")
    parser.add_argument("--growth", type=int, metavar="N", help="also measure N documents, and the cost beside them")
    parser.add_argument("--quick", action="store_true", help="20,000 documents of 64 dimensions, 100 clusters")
    options = parser.parse_args()
    if options.quick:
        options.documents, options.dimension, options.clusters = [20_000], 64, 100
    sizes = [*options.documents, *([options.growth] if options.growth else [])]
    print(measure.machine())
    if options.quick:
        print("A check that everything runs: at this size starting 13 jobs is nearly all of Sluice's time.")
    totals = {}
    for documents in sizes:
        # In TMPDIR: some 6 KB a document at 384 dimensions.
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            totals[documents] = compare(documents, options, Path(folder))
    if options.growth:
        first = options.documents[0]
        grown = [f"{name} {totals[options.growth][name] / totals[first][name]:.2f}" for name in totals[first]]
        print(f"\n{options.growth / first:g} times the documents cost: {' times, '.join(grown)} times.")


if __name__ == "__main__":
    main()
