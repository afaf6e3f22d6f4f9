"""How similar documents are by chance: where the scores of a semdedup step stop telling duplicates from anything else.

A document's score is its similarity to the nearest of its cluster. Beside it stands the similarity to the nearest of as
many documents of other clusters: those are nearest by lot, not by meaning. What QUANTILE of a sample does not pass is
chance; a threshold at or below it removes documents for resembling nothing in particular.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.models.arrays.parallel import parallel
from sluice.transforms.audit.probes import Probed

MOST_CLUSTERS = 64
# Documents that are compared, of each cluster and of all, and those that they are compared with.
QUERIES, POOL, MOST_POOL = 32, 512, 16_384
# Below this many documents a quantile says little.
FEWEST = 20
QUANTILE = 95  # per cent


@dataclass(frozen=True)
class Drawn:
    """Some documents of one cluster, by their seeded hashes: points [n, d], their hashes, and the cluster's size."""

    points: np.ndarray
    ties: np.ndarray
    size: int


def chance(probed: Probed, units: list[int]) -> dict[str, Any] | None:
    """The similarity that QUANTILE per cent of a sample do not pass by chance, as a cosine.

    None where it cannot be told: of one cluster, or of fewer than FEWEST documents in clusters of two or more.
    """
    drawn = list(_draw(probed, units))
    best = nearest_by_lot(drawn)
    if len(best) < FEWEST:
        return None
    limit = quantile(best)
    return {
        "similarity": limit / probed.scale**2,
        "quantile": QUANTILE / 100,
        "documents": len(best),
        "clusters": len(drawn),
        "threshold_below": bool(probed.limit <= limit),
    }


def _draw(probed: Probed, units: list[int]) -> list[Drawn]:
    counts = probed.counts()
    wanted = np.sort(probed.order(counts)[: min(MOST_CLUSTERS, probed.most_clusters(units))])
    held: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for cluster, where, records in probed.read(units, wanted):
        held.setdefault(cluster, []).append((where, records))
        held[cluster] = [_first(held[cluster])]
    return [
        Drawn(probed.points(records), records["tie"], int(counts[cluster]))
        for cluster, [(_, records)] in sorted(held.items())
    ]


def _first(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """(units, records) of the POOL with the smallest hashes."""
    units, records = (np.concatenate(arrays) for arrays in zip(*pieces))
    chosen = np.lexsort((records["row"], units, records["tie"]))[:POOL]
    return units[chosen], records[chosen]


def nearest_by_lot(drawn: list[Drawn]) -> np.ndarray:
    """For up to QUERIES documents of each cluster the largest product with as many documents of other clusters as their
    own has besides them; a pool that is smaller is taken whole, which makes the products smaller if anything."""
    pool = np.concatenate([one.points for one in drawn]) if drawn else np.empty((0, 0))
    owner = np.repeat(np.arange(len(drawn)), [len(one.points) for one in drawn])
    ties = np.concatenate([one.ties for one in drawn]) if drawn else np.empty(0)
    order = np.lexsort((owner, ties))[:MOST_POOL]

    def compare(number: int) -> np.ndarray:
        one = drawn[number]
        others = order[owner[order] != number][: one.size - 1]
        if not len(others):
            return np.empty(0)
        return (one.points[:QUERIES] @ pool[others].T).max(axis=1)

    return np.concatenate([np.empty(0), *parallel(compare, range(len(drawn)))])


def quantile(products: np.ndarray) -> int:
    """The smallest product that at least QUANTILE per cent of them do not pass."""
    return int(np.sort(products)[-(-QUANTILE * len(products) // 100) - 1])
