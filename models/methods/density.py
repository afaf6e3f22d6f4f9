"""Density-Based Pruning (Abbas et al. 2024, arXiv 2401.04578): how many documents each cluster keeps.

A cluster counts by how spread out it is (mean distance to its centroid) times how far from others it lies (mean
distance to the nearest other centroids): a softmax of that shares the target out, and the quadratic program
min |x - share * target|^2 with sum x = target and bounds on every x makes quotas of the shares. Its solution is
x = clip(share * target + lam, low, high) for one lam, found here by halving.

Everything after the distances is done on whole numbers and decimals, so quotas are the same on every machine: the
exponential functions of processors and libraries differ in the last bit.
"""

import decimal
import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from sluice.models.arrays.vectors import COARSE

# Quotas are whole multiples of a millionth of a document until they are rounded.
UNIT = 1 << 20
BLOCK_BYTES = 32 << 20
DIGITS = decimal.Context(prec=25, Emin=-999_999, Emax=999_999, traps=[decimal.InvalidOperation])
QUOTA = np.dtype(
    [("size", "<i8"), ("protected", "<i8"), ("intra", "<f8"), ("inter", "<f8"), ("share", "<f8"), ("quota", "<i8")]
)
SHOWN = 5


@dataclass(frozen=True)
class Rule:
    """neighbours: how many other centroids d_inter looks at; temperature of the softmax; floor: the share of an equal
    quota (target / clusters) that every cluster keeps where it has as much."""

    neighbours: int = 20
    temperature: Decimal = Decimal("0.1")
    floor: Decimal = Decimal("0.5")


def quota_table(
    centroids: np.ndarray,
    statistics: np.ndarray,
    *,
    protected: np.ndarray,
    target: int,
    rule: Rule,
) -> np.ndarray:
    """QUOTA rows [k]: what each cluster is, and how many of its documents are kept; quotas add up to the target.

    centroids: float32 [k, d] at scale COARSE; statistics: int64 [>= 3, k], documents and sum of similarities in rows 0
    and 2; protected: int64 [k], documents that must be kept. A target above the documents keeps all of them; one below
    the protected documents gives every cluster just those.
    """
    sizes = statistics[0]
    table = np.zeros(len(sizes), QUOTA)
    table["size"], table["protected"] = sizes, protected
    filled = sizes > 0
    table["intra"] = np.divide(statistics[2], sizes * float(COARSE**2), out=np.full(len(sizes), np.nan), where=filled)
    table["intra"] = 1 - table["intra"]
    table["inter"] = distance_to_others(centroids, rule.neighbours)
    complexity = table["intra"] * table["inter"]
    # An empty cluster has no spread; it counts as the mean of the others and keeps nothing in the end.
    complexity[~filled] = math.fsum(complexity[filled]) / max(filled.sum(), 1)
    table["intra"][~filled] = 0
    table["share"] = softmax(complexity, rule.temperature)
    total = min(target, int(sizes.sum()))
    low = np.maximum(floors(sizes, total, rule.floor), protected)
    if low.sum() > total:
        low = protected
    if low.sum() > total:
        table["quota"] = protected
        return table
    wanted = np.rint(table["share"] * (total * float(UNIT))).astype(np.int64)
    table["quota"] = fill(wanted, low=low, high=sizes, total=total)
    return table


def distance_to_others(centroids: np.ndarray, neighbours: int) -> np.ndarray:
    """float32 [k, d] at scale COARSE -> float64 [k]: mean cosine distance to so many nearest other centroids."""
    k = len(centroids)
    nearest = min(neighbours, k - 1)
    if nearest == 0:
        return np.zeros(k)
    distances = np.empty(k)
    block = max(BLOCK_BYTES // (4 * k), 1)
    for start in range(0, k, block):
        products = centroids[start : start + block] @ centroids.T
        here = np.arange(len(products))
        products[here, start + here] = -np.inf
        products.partition(k - nearest, axis=1)
        sums = products[:, k - nearest :].sum(axis=1, dtype=np.float64)
        distances[start : start + block] = 1 - sums / (nearest * float(COARSE**2))
    return distances


def softmax(complexity: np.ndarray, temperature: Decimal) -> np.ndarray:
    """float64 [k] -> float64 [k] that add up to 1; the same bits on every machine."""
    highest = float(complexity.max())
    exact = [Decimal(value - highest) for value in complexity.tolist()]
    powers = [DIGITS.exp(DIGITS.divide(value, temperature)) for value in exact]
    total = Decimal(0)
    for power in powers:
        total = DIGITS.add(total, power)
    return np.array([float(DIGITS.divide(power, total)) for power in powers])


def floors(sizes: np.ndarray, total: int, floor: Decimal) -> np.ndarray:
    """int64 [k]: min(int(floor * total / k), size - 1), or min(1, size - 1) for a floor of 0; never below 0."""
    equal = math.floor(Fraction(floor) * total / len(sizes)) if floor else 1
    return np.maximum(np.minimum(equal, sizes - 1), 0)


def fill(wanted: np.ndarray, *, low: np.ndarray, high: np.ndarray, total: int) -> np.ndarray:
    """The quadratic program in whole numbers: int64 [k] from low to high that add up to `total`.

    wanted: int64 [k] in multiples of 1 / UNIT; the sum of squared differences to it is the smallest possible. Of equal
    remainders the cluster of the lower number gets the document. Raises ValueError where the bounds allow no solution.
    """
    if not low.sum() <= total <= high.sum():
        raise ValueError(f"quotas from {low.sum()} to {high.sum()} cannot add up to {total}")
    least, most = low * UNIT, high * UNIT
    # The largest lam whose quotas are not above the total; sums never fall as it rises.
    below, above = int((least - wanted).min(initial=0)), int((most - wanted).max(initial=0)) + 1
    while above - below > 1:
        middle = (below + above) // 2
        if np.clip(wanted + middle, least, most).sum() <= total * UNIT:
            below = middle
        else:
            above = middle
    exact = np.clip(wanted + below, least, most)
    quota, remainder = exact // UNIT, exact % UNIT
    while missing := int(total - quota.sum()):
        order = np.argsort(-remainder, kind="stable")
        more = order[quota[order] < high[order]][:missing]
        quota[more] += 1
        remainder[more] = 0
    return quota


def extremes(table: np.ndarray) -> dict[str, Any]:
    """How far quotas are apart: clusters with documents and those kept whole, the smallest and the largest kept share
    of a cluster, and the largest softmax share over the smallest (None where that is 0)."""
    rows = table[table["size"] > 0]
    if not len(rows):
        return {"filled_clusters": 0, "whole_clusters": 0, "least_kept": None, "most_kept": None, "spread": None}
    kept = rows["quota"] / rows["size"]
    smallest = rows["share"].min()
    return {
        "filled_clusters": len(rows),
        "whole_clusters": int((rows["quota"] == rows["size"]).sum()),
        "least_kept": float(kept.min()),
        "most_kept": float(kept.max()),
        "spread": float(rows["share"].max() / smallest) if smallest > 0 else None,
    }


def summary(table: np.ndarray) -> dict[str, Any]:
    """A quota table for people: the clusters that keep the largest and the smallest share of their documents."""
    filled = np.flatnonzero(table["size"] > 0)
    kept = table["quota"][filled] / table["size"][filled]
    order = filled[np.lexsort((filled, -table["share"][filled], -kept))]

    def rows(chosen: np.ndarray) -> list[dict[str, Any]]:
        return [{"cluster": int(one)} | {name: table[name][one].item() for name in QUOTA.names or ()} for one in chosen]

    return {"most_kept": rows(order[:SHOWN]), "least_kept": rows(order[SHOWN:][-SHOWN:])}
