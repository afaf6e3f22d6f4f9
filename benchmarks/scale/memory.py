"""Peak memory of D4 with given embeddings, also where most of the corpus lies in one cluster.

    python -m benchmarks.scale.memory  # 1,000,000 documents of 384 dimensions
    python -m benchmarks.scale.memory --documents 100000

One template makes 60 % of the second corpus, as exact copies, and of the third, as near-copies (cosine 0.95), which
no collapse of equal vectors helps with.
"""

import argparse
import tempfile

from benchmarks import measure

CORPORA: dict[str, dict[str, float]] = {
    "power-law clusters": {},
    "60 % copies of one document": {"hot_share": 0.6},
    "60 % near-copies of one document": {"hot_share": 0.6, "hot_cosine": 0.95},
}
LIMIT = 3 * 1024  # MB, at 1,000,000 documents of 384 dimensions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--clusters", type=int, default=1000)
    options = parser.parse_args()
    shape = {"documents": options.documents, "dimension": options.dimension, "clusters": options.clusters}
    vectors = 4 * options.documents * options.dimension / (1 << 20)
    print(measure.machine())
    print(f"\n{options.documents:,} documents x {options.dimension}: {vectors:,.0f} MB of float32 vectors\n")
    rows = []
    for name, kind in CORPORA.items():
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            place = f"{folder}/corpus"
            measure.run("d4", "make", path=place, **shape, **kind)
            found, peak = measure.run(
                "d4",
                "sluice_d4",
                path=place,
                clusters=options.clusters,
                run=f"{folder}/run",
                kept=f"{folder}/kept.npz",
            )
        rows.append((name, f"{peak:,.0f} MB", f"{sum(found['seconds'].values()):.0f} s"))
    print(measure.table(["corpus", "peak memory", "time"], rows))
    print(f"\nWanted at 1,000,000 x 384: at most {LIMIT:,} MB for the whole process.")


if __name__ == "__main__":
    main()
