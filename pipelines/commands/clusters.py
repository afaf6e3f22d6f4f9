"""How good a run's clusters are: sizes, similarity, and how far another beginning would have found others.

sluice clusters runs/first
"""

import argparse
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.models.arrays.hashing import seeded
from sluice.models.arrays.vectors import coarse
from sluice.models.clustering import skew
from sluice.models.clustering.stability import stability
from sluice.models.reporting import audit
from sluice.pipelines.report.central import add_central, named
from sluice.pipelines.report.clusters import notes, training
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.terminal.printing import emit, number, printable
from sluice.transforms.clusters.members import load_array
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, read_not_null

SAMPLE = 10_000
# Units that the sample is read from at most, spread over all.
MOST_UNITS = 32
# Of the largest clusters, so many are on the page.
SHOWN = 5
WINDOW = 16384


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="RUN", help="run directory")
    parser.add_argument(
        "--sample",
        type=int,
        default=SAMPLE,
        metavar="N",
        help=f"documents that are clustered twice to see how stable clusters are; 0: none (default: {SAMPLE})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    found = clusters(args.url, sample=args.sample)
    emit(found, render(found), as_json=args.json)
    return 0


def clusters(url: str, *, sample: int = SAMPLE) -> dict[str, Any]:
    """Every finished clustering of a run: its sizes, its training, and its stability over about `sample` documents.

    Raises FileNotFoundError for a place that is no run directory, ValueError for a negative sample.
    """
    if sample < 0:
        raise ValueError(f"--sample must be 0 or more, not {sample}")
    run = Finished(url)
    found = []
    for name in run.steps:
        options = run.options(name)
        if options.over_clusters and run.find(run.last(name, "clusters")) is not None:
            found.append({"step": name, **_quality(run, name), "stability": _stability(run, name, sample)})
    return {"run": run.url, "clusterings": found}


def _quality(run: Finished, name: str) -> dict[str, Any]:
    totals = run.centroids(name).manifest["totals"]
    clusters = run.clusters(name)
    statistics = load_array(clusters, "statistics")
    # What took the most documents away is in the report.
    summary = {name: value for name, value in audit.cluster_summary(statistics).items() if name != "duplicate_driven"}
    sizes = skew.largest_clusters(statistics, totals.get("splits", []))
    add_central(run, clusters, sizes["largest"], totals)
    return {**summary, **sizes, "training": training(totals)}


def _stability(run: Finished, name: str, sample: int) -> dict[str, Any] | None:
    clusters = run.clusters(name)
    points = _sample(run, clusters, sample) if sample else np.empty((0, 1), np.float32)
    if len(points) < 2:
        return None
    k, iterations = run.centroids(name).manifest["totals"]["k"], run.options(name).clustering_iterations
    assert iterations is not None, name
    return {"clusters_of_all": k} | stability(points, k, iterations=iterations, seed=run.recipe.seed)


def _sample(run: Finished, clusters: Artifact, most: int) -> np.ndarray:
    """float32 [about `most`, d]: documents of a clustering, by their seeded hashes; of large runs, from some units."""
    documents, embeddings = run.artifact("documents"), run.artifact("embeddings")
    parts = clusters.manifest["parts"]
    chosen = [parts[place] for place in np.unique(np.linspace(0, len(parts) - 1, MOST_UNITS).astype(int))]
    assigned = sum(part["stats"]["assigned"] for part in chosen)
    below = np.uint64(min(int(most / max(assigned, 1) * 2**64), 2**64 - 1))
    found = []
    for part in chosen:
        ids = fixed_bytes(documents.read(part["unit"], ["id_hash"])["id_hash"], "V16")
        member = read_not_null(clusters, part["unit"], "cluster")
        member &= seeded(ids, run.recipe.seed, "stability") <= below
        start = 0
        for batch in embeddings.windows(part["unit"], ["vector"], WINDOW):
            here = member[start : start + len(batch)]
            start += len(batch)
            if here.any():
                found.append(coarse(fixed_bytes(batch.column(0), "<i2")[here]))
    # Equal ids have equal hashes, and all of them would be taken.
    return np.concatenate(found)[: 2 * most] if found else np.empty((0, 1), np.float32)


def render(found: dict[str, Any]) -> RenderableType:
    """What `clusters` returns, as a page for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("step", "clusters", "documents", "median", "largest", "max/mean", "CV", "Gini", "cosine", "agreement"):
        table.add_column(name, justify="left" if name == "step" else "right")
    lines: list[str] = []
    largest: list[RenderableType] = []
    for one in found["clusterings"]:
        stable = one["stability"]
        table.add_row(
            one["step"],
            number(one["clusters"]),
            number(one["documents"]),
            number(one["sizes"].get("p50")),
            number(one["sizes"]["max"]),
            f"{one['max_over_mean']:.1f}",
            f"{one['cv']:.2f}",
            f"{one['gini']:.2f}",
            f"{one['similarity']:.3f}",
            "-" if stable is None else f"{stable['agreement']:.3f}",
        )
        largest += _largest(one)
        lines += notes(one["step"], one["training"])
        if stable is not None:
            lines.append(
                f"{one['step']}: agreement (adjusted Rand index) of two trainings of {number(stable['documents'])} "
                f"documents with {number(stable['clusters'])} clusters from different beginnings."
            )
    return Group(Text(f"{printable(found['run'])}\n"), table, *(Text(line) for line in lines), *largest)


def _largest(one: dict[str, Any]) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("cluster", "documents", "cosine"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("most central", overflow="fold")
    for cluster in one["largest"][:SHOWN]:
        table.add_row(
            str(cluster["cluster"]),
            number(cluster["size"]),
            f"{1 - cluster['mean_distance']:.3f}",
            named(cluster["central"]) or "-",
        )
    return [Text(f"\n{one['step']}: the largest clusters", style="bold"), table] if one["largest"] else []
