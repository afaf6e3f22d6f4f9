"""The arithmetic of scale: what a stage costs per document, measured once, and what that makes at any other size.

A stage's core-seconds are products (documents x centroids, pairs of a cluster, training) and the rest. The rest grows
with n; the products with the number of operations that they are. So one measurement of a dimension gives every n and K.
"""

import json
from pathlib import Path
from typing import Any

from sluice.transforms.clusters.sorted_records import record_dtype

# What was measured last: `measured` by dimension, and what bookkeeping costs a unit (`units`, of limits.py).
CONSTANTS = Path(__file__).with_name("constants.json")
# As pipelines/recipe/recipe.py has them; MOST_SAMPLED is what one trainer was measured with.
SAMPLE_PER_CLUSTER, MOST_SAMPLED = 256, 1_000_000
BIN_BYTES, UNIT_BYTES, RUN_BYTES = 256 << 20, 128 << 20, 64 << 20
# The exact cut (models/cut/select.py): passes over 16 bits each, of a score of 25 bits and of half its tie.
PASSES, HISTOGRAM_BYTES = 4, 8 << 16


def record_bytes(dimension: int) -> int:
    """A document among the vectors sorted by cluster."""
    return record_dtype(dimension).itemsize


def sample_for(documents: int, clusters: int) -> int:
    return min(SAMPLE_PER_CLUSTER * clusters, MOST_SAMPLED, documents)


def constants_of(stages: list[dict[str, Any]], gemm: float) -> dict[str, Any]:
    """What is kept of one measured run: for every stage, what it cost.

    stages: records as scale.py writes them; gemm: operations a core-second of a plain float32 product.
    """
    kept = ("core_seconds", "products", "peak_mb", "stored_bytes", "shuffled_bytes", "read_bytes")
    first = stages[0]
    return {
        "documents": first["documents"],
        "dimension": first["dimension"],
        "clusters": first["clusters"],
        "units": first["units"],
        "gemm_per_core": gemm,
        "stages": {stage["stage"]: {name: stage[name] for name in kept} for stage in stages},
    }


def load_constants(path: Path = CONSTANTS) -> dict[int, dict[str, Any]]:
    """What was measured, by dimension; {} when nothing was."""
    if not path.exists():
        return {}
    return {int(dimension): found for dimension, found in json.loads(path.read_text())["measured"].items()}


def save_constants(found: dict[str, Any], machine: str, path: Path = CONSTANTS) -> None:
    """Keep the measurement of one dimension beside those of others."""
    data = json.loads(path.read_text()) if path.exists() else {"measured": {}}
    data["measured"][str(found["dimension"])] = {"machine": machine, **found}
    path.write_text(json.dumps(data, indent=1) + "\n")


# Growth ---------------------------------------------------------------------------------------------------------


def mean_cluster(documents: int, clusters: int, dimension: int) -> float:
    """Documents of a cluster on average; one that no bin holds is split into parts that are half full on average."""
    return min(documents / clusters, BIN_BYTES / record_bytes(dimension) / 2)


def product_growth(kind: str, before: tuple[int, int], after: tuple[int, int], dimension: int) -> float:
    """How many times the operations: `assign` n K, `pairs` n x mean cluster, `train` sample x K, `training` sample.

    before, after: (documents, clusters) of a run. Raises KeyError for another kind.
    """
    (n, k), (m, c) = before, after
    return {
        "assign": m * c / (n * k),
        "pairs": m * mean_cluster(m, c, dimension) / (n * mean_cluster(n, k, dimension)),
        "train": sample_for(m, c) * c / (sample_for(n, k) * k),
        "training": sample_for(m, c) / sample_for(n, k),
    }[kind]


def split_seconds(stage: dict[str, Any]) -> dict[str, float]:
    """A stage's core-seconds by what makes them grow: each product, `training` beside its products, and `rest`."""
    products = stage["products"]
    found = {kind: products[kind]["core_seconds"] for kind in ("assign", "pairs", "train") if kind in products}
    if "training" in products:
        found["training"] = max(products["training"]["core_seconds"] - found.get("train", 0.0), 0.0)
    found["rest"] = max(stage["core_seconds"] - sum(found.values()), 0.0)
    return found


def project(constants: dict[str, Any], documents: int, clusters: int) -> dict[str, dict[str, float]]:
    """For every stage: core_seconds, of them `products`, operations, stored and shuffled bytes."""
    before, after = (constants["documents"], constants["clusters"]), (documents, clusters)
    dimension, units = constants["dimension"], units_of(documents, constants["dimension"])

    def grown(kind: str) -> float:
        return documents / before[0] if kind == "rest" else product_growth(kind, before, after, dimension)

    found = {}
    for name, stage in constants["stages"].items():
        seconds = {kind: value * grown(kind) for kind, value in split_seconds(stage).items()}
        # What is stored with the centroids is the sample.
        stored = "training" if name.endswith("/centroids") else "rest"
        found[name] = {
            "core_seconds": sum(seconds.values()),
            "products": sum(value for kind, value in seconds.items() if kind in ("assign", "pairs", "train")),
            "flops": sum(product["flops"] * grown(kind) for kind, product in stage["products"].items()),
            "stored_bytes": stage["stored_bytes"] * grown(stored),
            "shuffled_bytes": shuffled(name, stage["shuffled_bytes"] * grown("rest"), clusters, units),
        }
    return found


def shuffled(stage: str, in_proportion: float, clusters: int, units: int) -> float:
    """Bytes that cross a shuffle: what grows with the documents, and the arrays of counts that every bundle sends.

    Combiners add them up within a bundle; here every unit is a bundle of its own, which is the most that it can be.
    """
    kind = stage.rpartition("/")[2]
    if kind == "keep":
        return float(PASSES * HISTOGRAM_BYTES * units)
    by_cluster = {"clusters": 4 * 8, "decisions": 2 * 2 * 8}
    return in_proportion + by_cluster.get(kind, 0) * clusters * units


def units_of(documents: int, dimension: int) -> int:
    """Units of given float16 vectors."""
    return -(-documents * 2 * dimension // UNIT_BYTES)


def exchange(documents: int, clusters: int, dimension: int) -> dict[str, float]:
    """What the bins of SemDeDup ask of the storage: `bins`, range reads (`reads`) and the mean `bytes` of one.

    Every bin reads its range of every sorted run of every unit, and the offsets that say where it is.
    """
    units = units_of(documents, dimension)
    stored = documents * record_bytes(dimension)
    bins = -(-stored // BIN_BYTES)
    runs = units * -(-(stored // units) // RUN_BYTES)
    return {"bins": bins, "reads": bins * (runs + units), "bytes": stored / (bins * runs)}
