"""The numbers of a report: rank correlation, length tables, cluster statistics, ends of neighbour links."""

from typing import Any

import numpy as np

from sluice.models.arrays.vectors import COARSE

BINS = 64
# A cluster is driven by duplicates when its members are this near their centroid, and evenly so (D4, arXiv 2308.12284:
# clusters of templated text have tiny mean and tiny spread of distances). Fewer members say nothing about a spread.
DUPLICATE_MEAN = 0.1
DUPLICATE_STD = 0.03
DUPLICATE_SIZE = 10
WORST = 10


def edges(low: float, high: float) -> np.ndarray:
    """float64 [BINS + 1]: bounds of equal bins from low to high; a single value is given some room."""
    return np.linspace(low, high if high > low else low + 1e-6, BINS + 1)


def histogram(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """int64 [len(bounds) - 1]: how many values are in each bin; what is outside counts in the first or last one."""
    return np.histogram(np.clip(values, bounds[0], bounds[-1]), bounds)[0].astype(np.int64)


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties by average rank; None for fewer than two pairs or a constant side."""
    if len(a) < 2:
        return None
    x, y = ranks(a) - (len(a) + 1) / 2, ranks(b) - (len(b) + 1) / 2
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 0 else None


def ranks(values: np.ndarray) -> np.ndarray:
    """float64 [n]: ranks from 1; equal values share the average of theirs."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(ordered)])
    found = np.empty(len(values), np.float64)
    found[order] = np.repeat(starts + (sizes + 1) / 2, sizes)
    return found


def length_table(lengths: np.ndarray, weights: np.ndarray, kept: np.ndarray) -> list[dict[str, Any]]:
    """Ten groups of equal numbers of documents, shortest first: their lengths, and how much of their weight is kept.

    lengths, weights: int [n] (characters, and tokens or characters); kept: bool [n].
    """
    order = np.argsort(lengths, kind="stable")
    total = max(int(weights.sum()), 1)
    rows = []
    for number, members in enumerate(np.array_split(order, 10), start=1):
        if len(members):
            weight, left = weights[members], kept[members]
            rows.append(
                {
                    "decile": number,
                    "from": int(lengths[members[0]]),
                    "to": int(lengths[members[-1]]),
                    "documents": len(members),
                    "documents_kept": int(left.sum()),
                    "share_of_all": float(weight.sum() / total),
                    "share_kept": float(weight[left].sum() / max(int(weight.sum()), 1)),
                }
            )
    return rows


def lengths(length: np.ndarray, tokens: np.ndarray | None) -> dict[str, float | None]:
    """Mean and median of some documents' lengths and, where they were counted, tokens; None of no documents."""
    found: dict[str, float | None] = {"documents": len(length)}
    for name, values in (("", length), ("_tokens", tokens)):
        known = values is not None and len(values) > 0
        found |= {
            f"mean{name}": float(np.mean(values)) if known else None,  # type: ignore[arg-type]
            f"median{name}": float(np.median(values)) if known else None,  # type: ignore[arg-type]
        }
    return found


def percentiles(values: np.ndarray, *which: float) -> dict[str, float]:
    """Values that occur, by name: p1, p50, ...; {} when there are none."""
    if not len(values):
        return {}
    found = np.percentile(values, which, method="inverted_cdf")
    return {f"p{number:g}": value.item() for number, value in zip(which, found)}


def cluster_summary(statistics: np.ndarray, removed: np.ndarray | None = None) -> dict[str, Any]:
    """What transforms.clusters.assign.ClusterStatistics counted, int64 [4, k], in a few numbers.

    removed: int64 [k], documents that the clustering's step removed. Similarities are cosines to the own centroid,
    distances 1 - cosine; the spread within a cluster is known to about 0.001, as squares are added in millionths.
    """
    documents = statistics[0]
    filled = np.flatnonzero(documents)
    sizes = documents[filled]
    total = int(sizes.sum())
    mean = statistics[2][filled] / np.maximum(sizes, 1) / float(COARSE**2)
    spread = np.sqrt(np.maximum(statistics[3][filled] / np.maximum(sizes, 1) / 1e6 - np.square(mean), 0))
    driven = (sizes >= DUPLICATE_SIZE) & (1 - mean < DUPLICATE_MEAN) & (spread < DUPLICATE_STD)
    worst = np.flatnonzero(driven)[np.argsort(-sizes[driven], kind="stable")][:WORST]
    return {
        "clusters": len(documents),
        "non_empty": len(filled),
        "documents": total,
        "representatives": int(statistics[1].sum()),
        "sizes": percentiles(sizes, 1, 50, 99) | {"max": int(sizes.max(initial=0))},
        **unevenness(sizes),
        "imbalance": float(len(documents) * np.square(sizes, dtype=np.float64).sum() / max(total, 1) ** 2),
        "share_in_10_largest": float(np.sort(sizes)[-10:].sum() / max(total, 1)),
        "similarity": float(statistics[2].sum() / max(total, 1) / COARSE**2),
        "mean_similarity": percentiles(mean, 5, 50, 95),
        "std_of_similarity": percentiles(spread, 5, 50, 95),
        "duplicate_driven": {
            "rule": f"{DUPLICATE_SIZE} documents or more, mean distance below {DUPLICATE_MEAN}, "
            f"its standard deviation below {DUPLICATE_STD}",
            "clusters": int(driven.sum()),
            "documents": int(sizes[driven].sum()),
            "largest": [
                {
                    "cluster": int(filled[index]),
                    "size": int(sizes[index]),
                    "mean_distance": float(1 - mean[index]),
                    "std_of_distance": float(spread[index]),
                    "share_removed": None if removed is None else float(removed[filled[index]] / sizes[index]),
                }
                for index in worst
            ],
        },
    }


def unevenness(sizes: np.ndarray) -> dict[str, float]:
    """How far from equal the sizes int [n] of filled clusters are: 1, 0 and 0 where they are equal.

    max_over_mean; cv: standard deviation over mean; gini: mean difference of two sizes over twice the mean.
    """
    total = float(sizes.sum())
    if not total:
        return {"max_over_mean": 1.0, "cv": 0.0, "gini": 0.0}
    ordered = np.sort(sizes).astype(np.float64)
    places = np.arange(1, len(sizes) + 1)
    return {
        "max_over_mean": float(ordered[-1] * len(sizes) / total),
        "cv": float(ordered.std() / ordered.mean()),
        "gini": float(((2 * places - len(sizes) - 1) * ordered).sum() / (len(sizes) * total)),
    }


def find_roots(parents: np.ndarray, *, block: int = 1 << 20) -> None:
    """int64 [n] links (own index: none) -> the end of each chain, in place; works on memory-mapped arrays.

    Two documents that name each other (as rule `components` can) end at the lower of the two.
    """
    for start in range(0, len(parents), block):
        here = np.array(parents[start : start + block])
        own = np.arange(start, start + len(here))
        mutual = (parents[here] == own) & (own < here)
        parents[start : start + block] = np.where(mutual, own, here)
    # Each round doubles the distance that links reach.
    for _ in range(len(parents).bit_length() + 1):
        changed = False
        for start in range(0, len(parents), block):
            here = np.array(parents[start : start + block])
            beyond = parents[here]
            changed |= bool((beyond != here).any())
            parents[start : start + block] = beyond
        if not changed:
            return
    raise ValueError("neighbour links go round in circles")


def repeats(hashes: np.ndarray) -> tuple[int, int]:
    """uint64 [n, 2] -> (rows that another row equals, distinct values among them)."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    starts = (
        np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)]) if len(ordered) else np.empty(0, int)
    )
    sizes = np.diff(np.r_[starts, len(ordered)])
    return int(sizes[sizes > 1].sum()), int((sizes > 1).sum())


def shared_with_length(length: np.ndarray, removed: np.ndarray) -> dict[str, float | None]:
    """length: [n] of documents a step could look at, removed: bool [n] -> shares of the removed ones, 0..1.

    How much a step's removals are what length alone would have removed: the control of arXiv 2407.00434.
    `longest`: that a rule which removes as many, the longest first, would have removed too; `shortest`: the same from
    the other end; `chance`: what a rule blind to length and to everything else shares on average. Where equal lengths
    lie on a rule's border it takes any of them: the share is what it takes on average. None where nothing is removed.
    """
    gone = int(removed.sum())
    if not gone:
        return {"longest": None, "shortest": None, "chance": None}
    return {
        "longest": _shared_share(-length, removed, gone),
        "shortest": _shared_share(length, removed, gone),
        "chance": gone / len(length),
    }


def _shared_share(key: np.ndarray, removed: np.ndarray, gone: int) -> float:
    border = np.partition(key, gone - 1)[gone - 1]
    inside, on = key < border, key == border
    taken = (gone - int(inside.sum())) / int(on.sum())
    return (int((removed & inside).sum()) + taken * int((removed & on).sum())) / gone
