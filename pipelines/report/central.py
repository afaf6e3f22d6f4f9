"""What a cluster is about: its most central documents, by id, for the pages that show a cluster or one of its own."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from sluice.models.arrays.vectors import COARSE
from sluice.models.clustering.skew import parents
from sluice.pipelines.run.finished import Address, Finished, ids_in
from sluice.pipelines.terminal.printing import printable
from sluice.transforms.clusters.central import Central, read_central
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import read_numbers

ID = 40  # characters of an id where several stand in a line


def cluster_of(run: Finished, name: str, at: Address) -> dict[str, Any] | None:
    """The cluster of a document, its similarity to the centroid, and the most central documents, for a step over
    clusters that names no neighbours. None for other steps, and where no most central ones are known."""
    options = run.options(name)
    if not options.over_clusters or options.names_neighbours:
        return None
    clusters = run.clusters(name)
    place = np.searchsorted(read_numbers(run.artifact("documents"), at[0], "row"), at[1])
    row = clusters.read(at[0]).slice(int(place), 1).to_pylist()[0]
    (central,) = central_documents(run, clusters, [[row["cluster"]]]) if row["cluster"] is not None else ([],)
    if not central:
        return None
    return {"cluster": row["cluster"], "similarity": row["similarity"] / COARSE**2, "central": central}


def add_central(run: Finished, clusters: Artifact, largest: list[dict[str, Any]], made: dict[str, Any]) -> None:
    """Enter `central` into descriptions of clusters, of a split one over its parts; made: the centroids' totals."""
    whole = parents(made["k"], made.get("splits", []))
    groups = [np.flatnonzero(whole == one["cluster"]).tolist() for one in largest]
    for one, central in zip(largest, central_documents(run, clusters, groups)):
        one["central"] = central


def central_documents(run: Finished, clusters: Artifact, groups: list[list[int]]) -> list[list[dict[str, Any]]]:
    """The most central documents of each group of clusters: id, unit, row and similarity, a cosine."""
    found = read_central(clusters, groups)
    ids = _ids(run, (one for central in found for one in central))
    return [[{"id": ids[one.unit, one.row], **one._asdict()} for one in central] for central in found]


def _ids(run: Finished, wanted: Iterable[Central]) -> dict[Address, str]:
    rows: dict[int, list[int]] = {}
    for one in wanted:
        rows.setdefault(one.unit, []).append(one.row)
    documents = run.artifact("documents")
    return {at: name for unit in rows for at, name in ids_in(documents, unit, rows[unit])}


def named(central: list[dict[str, Any]]) -> str:
    """Their ids in a line."""
    return ", ".join(printable(one["id"], ID) for one in central)
