"""What a template that makes 60 % of all documents does: bounds, memory, and what splitting its clusters changes.

    python -m benchmarks.scale.skew          # 100,000 documents of 128 dimensions, about two minutes
    python -m benchmarks.scale.skew --documents 400000
    python -m benchmarks.scale.skew --quick  # 20,000 of 32 dimensions

Clusters are few, so that they are large; they are scored whole, and then with bins of a fourth and a sixteenth of the
largest one, so that they have to be split. The definition is computed beside it in NumPy on the clusters as they were
before splitting. A removal is right where the definition removes the same document.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

THRESHOLD, KEEP = "0.95", 0.5
STEP = "01-semdedup"
# Of a document's place in its cluster's order and of a result, as scores.copies and scores.semdedup send them.
BLOCK = 2048


# In processes of their own --------------------------------------------------------------------------------------


def make(path: str, **corpus: Any) -> None:
    from benchmarks import corpora

    corpora.write_vectors(path, corpora.Vectors(**corpus, **corpora.TEMPLATED), type="float16", sources=True)


def curate(path: str, run: str, clusters: int, bin_bytes: int, found: str) -> dict[str, Any]:
    """SemDeDup with bins of this size; scores go to the file `found` (.npy), in the order of units and rows."""
    from benchmarks.scale import counting
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.recipe.recipe import Recipe
    from sluice.pipelines.run.finished import Finished
    from sluice.transforms.clusters.members import load_array
    from sluice.transforms.clusters.sorted_records import record_dtype

    step = {"step": "semdedup", "clusters": clusters, "bin_bytes": bin_bytes, "cut": {"threshold": THRESHOLD}}
    source = {"paths": [path], "text": None, "id": "id", "vector": "embedding", "unit_bytes": 4 << 20}
    recipe = Recipe.model_validate({"input": source, "steps": [step]})
    with counting.counted() as counts:
        report, timings = run_recipe(recipe, run)
    finished = Finished(run).step(STEP)
    assert finished.clusters is not None and finished.centroids is not None
    np.save(found, _column(finished.scores, "score"))
    sizes = load_array(finished.clusters, "statistics")[1]
    record = record_dtype(finished.centroids.manifest["totals"]["dimension"]).itemsize
    bins = [len(np.load(name, mmap_mode="r")) for name in Path(finished.scores.url, "bins").glob("*.npy")]
    keys = {name: one["largest_key"] for name, one in counts.shuffled.items() if "SpreadUnits" not in name}
    return {
        "seconds": sum(timing.seconds for timing in timings),
        "split": report["clusterings"][0]["split"],
        "largest_cluster": int(sizes.max()) * record,
        "largest_bin": max(bins) * record,
        "largest_key": max(keys.items(), key=lambda item: item[1]),
        "removed": report["totals"]["removed"][0]["documents"],
    }


def define(run: str, found: str) -> None:
    """The scores by definition, on the clusters before any was split, into the file `found` (.npz).

    For each document the largest product with one before it in its cluster: by similarity to the centroid, then by the
    hash of its id. Equal vectors count once, the first of them; the others score 1.
    """
    from sluice.models.arrays.hashing import seeded
    from sluice.models.arrays.vectors import COARSE, coarse
    from sluice.pipelines.run.finished import Finished
    from sluice.transforms.scores.base import NEVER
    from sluice.transforms.stages.columns import fixed_bytes

    opened = Finished(run)
    folder = f"steps/{STEP}"
    clusters, copies = opened.artifact(f"{folder}/clusters"), opened.artifact(f"{folder}/copies")
    embeddings, documents = opened.artifact("embeddings"), opened.artifact("documents")
    cluster, similarity = _column(clusters, "cluster"), _column(clusters, "similarity")
    units = [part["unit"] for part in documents.manifest["parts"]]
    points = coarse(np.concatenate([fixed_bytes(embeddings.read(u, ["vector"])["vector"], "<i2") for u in units]))
    ids = np.concatenate([fixed_bytes(documents.read(u, ["id_hash"])["id_hash"], "V16") for u in units])
    tie = seeded(ids, opened.recipe.seed, "tie")
    copy = np.concatenate([~copies.read(u)["first_row"].combine_chunks().is_null().to_numpy(False) for u in units])
    scores = np.full(len(points), NEVER)
    scores[copy] = COARSE**2
    for number in np.unique(cluster):
        members = np.flatnonzero((cluster == number) & ~copy)
        members = members[np.lexsort((tie[members], similarity[members]))]
        for start in range(0, len(members), BLOCK):
            rows = members[start : start + BLOCK]
            products = points[rows] @ points[members[: start + len(rows)]].T
            products[np.arange(products.shape[1]) >= start + np.arange(len(rows))[:, None]] = -np.inf
            best = products.max(axis=1)
            scores[rows] = np.where(np.isfinite(best), best, float(NEVER)).astype(np.int64)
    np.savez(found, scores=scores, tie=tie)


def _column(artifact: Any, name: str) -> np.ndarray:
    """A column of all parts, by unit."""
    units = [part["unit"] for part in artifact.manifest["parts"]]
    return np.concatenate([artifact.read(unit, [name])[name].to_numpy(zero_copy_only=False) for unit in units])


# Comparing ------------------------------------------------------------------------------------------------------


def removed(scores: np.ndarray, tie: np.ndarray, *, limit: int | None = None, keep: float | None = None) -> np.ndarray:
    """bool [n]: what a threshold removes, or a share to keep: the lowest (score, tie) stay."""
    if limit is not None:
        return scores > limit
    order = np.lexsort((tie, scores))
    gone = np.ones(len(scores), bool)
    gone[order[: int(np.ceil((keep or 0) * len(scores)))]] = False
    return gone


def agreement(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Precision and recall of our removals, bool [n] each; 1 where there is nothing to be wrong about."""
    both = float((ours & theirs).sum())
    return both / ours.sum() if ours.any() else 1.0, both / theirs.sum() if theirs.any() else 1.0


def compare(ours: np.ndarray, defined: np.ndarray, tie: np.ndarray) -> dict[str, Any]:
    """Scores of Sluice and of the definition, int64 [n] each, in the same order."""
    from sluice.models.arrays.vectors import COARSE

    limit = int(float(THRESHOLD) * COARSE**2)
    found: dict[str, Any] = {"differ": float((ours != defined).mean())}
    for name, cut in (("threshold", {"limit": limit}), ("ratio", {"keep": KEEP})):
        pair = [removed(scores, tie, **cut) for scores in (ours, defined)]
        found[name] = {"removed": [int(gone.sum()) for gone in pair], "agreement": agreement(*pair)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--clusters", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="20,000 documents of 32 dimensions")
    options = parser.parse_args()
    if options.quick:
        options.documents, options.dimension = 20_000, 32
    print(measure.machine())
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        path, run = f"{folder}/corpus", f"{folder}/run"
        measure.run("scale.skew", "make", path=path, documents=options.documents, dimension=options.dimension)
        found = {"path": path, "run": run, "clusters": options.clusters, "found": f"{folder}/scores.npy"}
        rows, differences = [], []
        bound = 1 << 40
        for part in (1, 4, 16):
            result, peak = measure.run("scale.skew", "curate", **found, bin_bytes=bound)
            if part == 1:
                whole = result["largest_cluster"]
                measure.run("scale.skew", "define", run=run, found=f"{folder}/defined.npz")
                defined = np.load(f"{folder}/defined.npz")
            compared = compare(np.load(found["found"]), defined["scores"], defined["tie"])
            name = "none" if part == 1 else f"{bound / 1e6:.2f} MB"
            rows.append(bounds_row(name, result, peak, bound))
            differences.append(difference_row(name, compared))
            bound = whole // (4 if part == 1 else 16)
    print(f"\n{options.documents:,} documents x {options.dimension}, K = {options.clusters}, 60 % from one template\n")
    header = ["bin bound", "clusters split", "into", "largest cluster", "largest bin", "bound held", "largest key"]
    print(measure.table([*header, "of", "peak", "time"], rows))
    print(f"\nAgainst the definition without splits, threshold {THRESHOLD} and {KEEP:.0%} kept:\n")
    header = ["bin bound", "scores that differ", "removed above the threshold", "by definition", "precision", "recall"]
    print(measure.table([*header, f"precision at {KEEP:.0%}", "recall"], differences))


def bounds_row(name: str, result: dict[str, Any], peak: float, bound: int) -> tuple[str, ...]:
    shuffle, key = result["largest_key"]
    return (
        name,
        f"{result['split']['clusters']:,}",
        f"{result['split']['parts']:,}",
        *(f"{result[size] / 1e6:.2f} MB" for size in ("largest_cluster", "largest_bin")),
        "yes" if result["largest_bin"] <= bound else "NO",
        f"{key / 1e6:.2f} MB",
        shuffle.rsplit("/", 1)[-1],
        f"{peak:,.0f} MB",
        f"{result['seconds']:.1f} s",
    )


def difference_row(name: str, compared: dict[str, Any]) -> tuple[str, ...]:
    cells = [name, f"{compared['differ']:.2%}", *(f"{count:,}" for count in compared["threshold"]["removed"])]
    for cut in ("threshold", "ratio"):
        cells += [f"{value:.2%}" for value in compared[cut]["agreement"]]
    return tuple(cells)


if __name__ == "__main__":
    main()
