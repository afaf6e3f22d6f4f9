"""Part of benchmarks/proof: what selections of the same size leave of duplicates, of clusters and of length."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import measure
from benchmarks.proof.duplicates import read_planted
from benchmarks.proof.quality import judge
from benchmarks.proof.runs import Corpus, Outcome, Steps, Vectors

RATIOS = ("0.75", "0.5")
# Documents of a cluster of those that coverage is counted in.
CLUSTER_SIZE = 10


def selection(shared: Path, work: Path, vectors: Vectors, *, share: float, quick: bool) -> str:
    documents, truth = read_planted(shared, share)
    groups = {one["id"]: one["group"] for one in truth}
    corpus = Corpus(work / "selection", documents, vectors)
    cluster = clusters_of(corpus, max(len(corpus) // CLUSTER_SIZE, 2))
    parts = []
    for ratio in RATIOS[-1:] if quick else RATIOS:
        rows = []
        for label, steps in recipes(ratio, quick=quick).items():
            one = corpus.compare(steps, f"{label} {ratio}")
            like = corpus.run([{"step": "random", "like": str(one.outcome.run)}], "random-like")
            rows.append((label, *_cells(corpus, one.outcome, groups, cluster)))
            controls = {"documents": one.documents, "tokens": one.tokens, "lengths": like}
            rows += [
                (f"- random, same {name}", *_cells(corpus, control, groups, cluster))
                for name, control in controls.items()
            ]
        header = ["", "kept", "tokens kept", "mean tokens", "duplicates left", "groups left", "clusters covered"]
        parts.append(f"{float(ratio):.0%} of the documents kept:\n\n" + measure.table(header, rows))
    removable = len(groups) - len(set(groups.values()))
    heading = (
        f"{len(corpus):,} documents in {len(set(groups.values())):,} groups, {removable:,} removable; "
        f"{len(set(cluster.values())):,} clusters; {corpus.total(groups) / len(corpus):.1f} tokens a document."
    )
    return "\n\n".join([heading, *parts])


def recipes(ratio: str, *, quick: bool) -> dict[str, Steps]:
    from sluice.pipelines.recipe.presets import steps_of

    names = ("semdedup",) if quick else ("d4", "semdedup", "prototypes", "density")
    return {name: steps_of(name, target={"ratio": Decimal(ratio)}, text=True) for name in names}


def clusters_of(corpus: Corpus, k: int) -> dict[str, int]:
    """The cluster of every document among k of the whole corpus: those of a step that removes nothing."""
    steps: Steps = [{"step": "prototypes", "clusters": k, "cut": {"ratio": "1"}}]
    run = corpus.run(steps, "clusters").run
    found: dict[str, int] = {}
    for name, folder in (("documents", "documents"), ("clusters", "steps/01-prototypes/clusters")):
        manifest = json.loads((run / folder / "manifest.json").read_text())
        parts = [pq.read_table(run / folder / part["name"]) for part in manifest["parts"]]
        if name == "documents":
            ids = [value for part in parts for value in part["id"].to_pylist()]
        else:
            found = dict(zip(ids, (value for part in parts for value in part["cluster"].to_pylist())))
    return found


def _cells(corpus: Corpus, outcome: Outcome, groups: dict[str, str], cluster: dict[str, int]) -> list[str]:
    kept = outcome.kept
    found = judge(groups, kept)
    size = Counter(groups[name] for name in kept)
    left = sum(size.values()) - len(size)
    tokens = corpus.total(kept)
    covered = len({cluster[name] for name in kept}) / len(set(cluster.values()))
    return [
        f"{len(kept):,}",
        f"{tokens / corpus.total(groups):.1%}",
        f"{tokens / max(len(kept), 1):.1f}",
        f"{left / max(found.removable, 1):.1%}",
        f"{len(size) / len(set(groups.values())):.1%}",
        f"{covered:.1%}",
    ]
