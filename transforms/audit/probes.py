"""Two measurements on a sample of a finished semdedup step's clusters, in bounded work and memory.

coverage: how many removed documents have no kept document above the threshold in their cluster, which the official rule
of SemDeDup allows (any earlier neighbour, kept or not). eta (arXiv 2303.09540, table A1): of the duplicates that a
search of the own and the 20 nearest clusters finds, the share that the own cluster alone finds. Equal vectors count
once in both.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluice.models.arrays.hashing import seeded
from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.vectors import COARSE, coarse
from sluice.transforms.audit.ledger import Ledger
from sluice.transforms.clusters.members import all_centroids, load_array
from sluice.transforms.clusters.sorted_records import one_cluster, read_offsets, read_run, record_dtype
from sluice.transforms.stages.artifacts import Artifact

NEAREST = 20
MOST_DOCUMENTS = 50_000
MOST_CLUSTERS = 64
MOST_QUERIES = 1000
MOST_PAIRS = 100_000_000
MOST_READS = 20_000
HELD_BYTES = 64 << 20
BLOCK = 4096


@dataclass(frozen=True)
class Probed:
    """A finished semdedup step. limit: the smallest dot product, of vectors at `scale`, that counts as a duplicate."""

    centroids: Artifact
    clusters: Artifact
    number: int
    limit: int
    scale: int
    seed: int

    @property
    def dtype(self) -> np.dtype:
        return record_dtype(self.centroids.manifest["totals"]["dimension"])

    def points(self, records: np.ndarray) -> np.ndarray:
        vectors = records["vector"]
        return coarse(vectors) if self.scale == COARSE else vectors.astype(np.float64)

    def counts(self) -> np.ndarray:
        """int64 [k]: the representatives of each cluster."""
        return load_array(self.clusters, "statistics")[1]

    def order(self, counts: np.ndarray) -> np.ndarray:
        """Clusters with members in a seeded order."""
        names = np.zeros((len(counts), 2), "<u8")
        names[:, 0] = np.arange(len(counts))
        order = np.argsort(seeded(names, self.seed, "probe"), kind="stable")
        return order[counts[order] > 0]

    def most_clusters(self, units: list[int]) -> int:
        """Clusters to read at most: each is a read for every run of every unit."""
        runs = sum(self.clusters.part(unit)["stats"]["runs"] for unit in units)
        return max(MOST_READS // max(runs, 1), NEAREST + 1)

    def read(self, units: list[int], wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(cluster, units [n], records [n]) for some clusters, in pieces as large as HELD_BYTES allow."""
        held: dict[int, list[tuple[int, np.ndarray]]] = {}
        size = 0
        for cluster, unit, records in self._pieces(units, wanted):
            held.setdefault(cluster, []).append((unit, records))
            size += records.nbytes
            if size > HELD_BYTES:
                yield from _joined(held)
                held, size = {}, 0
        yield from _joined(held)

    def _pieces(self, units: list[int], wanted: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """(cluster, unit, records) of each sorted run."""
        dtype = self.dtype
        for unit in units:
            for run in read_offsets(self.clusters, unit):
                for cluster in wanted.tolist():
                    for _, records in read_run(self.clusters, unit, one_cluster(run, cluster), dtype):
                        yield cluster, unit, records


def _joined(held: dict[int, list[tuple[int, np.ndarray]]]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    for cluster, pieces in held.items():
        units = np.repeat([unit for unit, _ in pieces], [len(records) for _, records in pieces])
        yield cluster, units, np.concatenate([records for _, records in pieces])


@dataclass
class _Queries:
    """Some documents of one cluster, those with the smallest seeded hashes, and the best products found for them."""

    most: int
    held: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, records: np.ndarray, units: np.ndarray) -> None:
        self.held.append((records, units))
        if sum(len(records) for records, _ in self.held) > 4 * self.most:
            self.trim()

    def trim(self) -> tuple[np.ndarray, np.ndarray]:
        """(records, units), at most `most` of them."""
        records = np.concatenate([records for records, _ in self.held])
        units = np.concatenate([units for _, units in self.held])
        chosen = np.lexsort((records["row"], units, records["tie"]))[: self.most]
        self.held = [(records[chosen], units[chosen])]
        return self.held[0]


class _Search:
    """Best products of a cluster's queries with documents handed in piece by piece."""

    def __init__(self, probed: Probed, queries: _Queries):
        records, self.units = queries.trim()
        self.places = _places(self.units, records)
        self.points = probed.points(records)
        self.best = np.full(len(records), -np.inf)
        self.probed = probed

    def among(self, records: np.ndarray, units: np.ndarray) -> np.ndarray:
        """float64 [queries]: the largest product with one of the records that is not the query itself."""
        best = np.full(len(self.points), -np.inf)
        for start in range(0, len(records), BLOCK):
            block = records[start : start + BLOCK]
            places = _places(units[start : start + BLOCK], block)
            products = self.points @ self.probed.points(block).T
            _, queries, itself = np.intersect1d(self.places, places, assume_unique=True, return_indices=True)
            products[queries, itself] = -np.inf
            best = np.maximum(best, products.max(axis=1))
        return best


def _places(units: np.ndarray, records: np.ndarray) -> np.ndarray:
    """One number for each (unit, row)."""
    return units.astype(np.int64) << 32 | records["row"]


Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _gather(probed: Probed, units: list[int], clusters: dict[int, int], choose: Choose) -> dict[int, _Search]:
    """For each cluster the searches of at most so many of the records that `choose` (records, units -> bool) takes."""
    held = {cluster: _Queries(most) for cluster, most in clusters.items()}
    for cluster, where, records in probed.read(units, np.array(sorted(clusters))):
        chosen = choose(records, where)
        if chosen.any():
            held[cluster].add(records[chosen], where[chosen])
    return {cluster: _Search(probed, queries) for cluster, queries in held.items() if queries.held}


def coverage(probed: Probed, ledger: Ledger, *, removed: int) -> dict[str, Any]:
    """Removed documents without a kept one above the threshold in their cluster. removed: how many there are in all,
    copies left out; `estimate` says whether fewer were looked at."""
    counts = probed.counts()
    units = ledger.units
    chosen: dict[int, int] = {}
    documents = pairs = 0
    candidates = probed.order(counts)
    for cluster in candidates[: probed.most_clusters(units)]:
        size = int(counts[cluster])
        if chosen and (documents + size > MOST_DOCUMENTS or pairs + size * size > MOST_PAIRS):
            break
        chosen[int(cluster)] = max(min(size, MOST_PAIRS // size, MOST_DOCUMENTS), 1)
        documents, pairs = documents + size, pairs + size * size

    def fates(records: np.ndarray, where: np.ndarray) -> np.ndarray:
        return ledger.fate[ledger.index(where, records["row"])]

    searches = _gather(probed, units, chosen, lambda records, where: fates(records, where) == probed.number)
    for cluster, where, records in probed.read(units, np.array(sorted(searches), np.int64)):
        search = searches[cluster]
        kept = fates(records, where) > probed.number
        [products] = parallel(lambda one: one.among(records[kept], where[kept]), [search])  # noqa: B023
        search.best = np.maximum(search.best, products)
    checked = sum(len(search.best) for search in searches.values())
    without = sum(int((search.best < probed.limit).sum()) for search in searches.values())
    return {
        "removed_checked": checked,
        "without_kept_neighbour": without,
        "share": without / checked if checked else None,
        "clusters_checked": len(chosen),
        "clusters": len(candidates),
        "estimate": checked < removed,
        "of_all_removed": round(without / checked * removed) if checked else 0,
        "removed": removed,
    }


def eta(probed: Probed, units: list[int]) -> dict[str, Any]:
    """A document is a duplicate if any other one of its own or the 20 nearest clusters (by centroid) is above the
    threshold, and found if one of its own cluster is; eta = found / duplicates."""
    counts = probed.counts()
    centroids = all_centroids(probed.centroids)
    near: dict[int, np.ndarray] = {}
    queries: dict[int, int] = {}
    pairs = 0
    most = probed.most_clusters(units)
    read: set[int] = set()
    for cluster in probed.order(counts)[:MOST_CLUSTERS]:
        around = _nearest(centroids, counts, int(cluster))
        size = int(counts[cluster] + counts[around].sum())
        number = max(min(int(counts[cluster]), MOST_QUERIES, (MOST_PAIRS - pairs) // size), 1)
        wanted = read | {int(cluster), *around.tolist()}
        if near and (pairs + number * size > MOST_PAIRS or len(wanted) > most):
            break
        read, pairs = wanted, pairs + number * size
        near[int(cluster)], queries[int(cluster)] = around, number
    searches = _gather(probed, units, queries, lambda records, where: np.ones(len(records), bool))
    beyond = {cluster: np.full(len(search.best), -np.inf) for cluster, search in searches.items()}
    asked: dict[int, list[int]] = {}
    for cluster in searches:
        for other in (cluster, *near[cluster].tolist()):
            asked.setdefault(other, []).append(cluster)
    for other, where, records in probed.read(units, np.array(sorted(asked), np.int64)):
        found_by = list(parallel(lambda one: searches[one].among(records, where), asked[other]))  # noqa: B023
        for cluster, products in zip(asked[other], found_by):
            if cluster == other:
                searches[cluster].best = np.maximum(searches[cluster].best, products)
            else:
                beyond[cluster] = np.maximum(beyond[cluster], products)
    found = sum(int((search.best >= probed.limit).sum()) for search in searches.values())
    duplicates = sum(
        int((np.maximum(search.best, beyond[cluster]) >= probed.limit).sum()) for cluster, search in searches.items()
    )
    return {
        "duplicates": duplicates,
        "found": found,
        "eta": found / duplicates if duplicates else None,
        "documents_checked": sum(len(search.best) for search in searches.values()),
        "clusters_checked": len(searches),
        "nearest_clusters": NEAREST,
    }


def _nearest(centroids: np.ndarray, counts: np.ndarray, cluster: int) -> np.ndarray:
    """The NEAREST other clusters with members, by the centroids' product; ties to the lowest number."""
    products = centroids @ centroids[cluster]
    products[(counts == 0) | (np.arange(len(counts)) == cluster)] = -np.inf
    order = np.argsort(-products, kind="stable")[:NEAREST]
    return order[np.isfinite(products[order])]
