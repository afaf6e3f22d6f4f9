"""How the work of a curation grows: matrix products by their operations, everything else with the documents.

n documents, K clusters, d dimensions. A float32 product of [a, d] with [d, b] is 2 a b d operations.
"""

import math

from sluice.models.clustering import kmeans

# The exact cut (models/cut/select.py): passes over 16 bits each, of a score of 25 bits and of half its tie.
PASSES, HISTOGRAM_BYTES, COUNT_BYTES = 4, 8 << 16, 9
# Beside its vector (2 bytes a number) a record sorted by cluster has row, priority and tie.
RECORD_EXTRA = 20


def record_bytes(dimension: int) -> int:
    """A document among the vectors sorted by cluster: transforms.clusters.assign.record_dtype."""
    return 2 * dimension + RECORD_EXTRA


def clusters_for(documents: int) -> int:
    """What `clusters: auto` chooses."""
    return kmeans.choose_k(documents)


def sample_for(documents: int, clusters: int, *, per_cluster: int = 256, most: int | None = None) -> int:
    """Vectors that centroids are trained on."""
    return max(min(per_cluster * clusters, documents, documents if most is None else most), 1)


def mean_cluster(documents: float, clusters: int, dimension: int, bin_bytes: int) -> float:
    """Documents of a cluster on average; one that no bin holds is split into parts that are half full on average."""
    return min(documents / clusters, bin_bytes / record_bytes(dimension) / 2)


def assignment_flops(documents: float, clusters: float, dimension: int) -> float:
    return 2.0 * documents * clusters * dimension


def pair_flops(documents: float, cluster: float, dimension: int) -> float:
    """Every document with those before it in clusters that all have `cluster` of them."""
    return documents * max(cluster - 1, 0.0) * dimension


def training_flops(sample: float, clusters: float, dimension: int, iterations: int = 20) -> float:
    """models.clustering.kmeans: half of the iterations see a quarter of the sample, a quarter as many see all of it."""
    return 2.0 * sample * clusters * dimension * (-(-iterations // 2) / 4 + -(-iterations // 4))


def shuffled_counts(part: str, *, clusters: int, bundles: float, documents: float = math.inf) -> float:
    """Bytes of the arrays of counts that bundles send, beside what grows with the documents.

    part: the last word of a stage's name. Combiners add them up within a bundle. Counts of few documents (in all
    bundles) are sent one by one.
    """
    if part == "keep":
        return min(PASSES * HISTOGRAM_BYTES * bundles, PASSES * COUNT_BYTES * documents)
    if part == "clusters":
        return float(4 * 8 * clusters * bundles)
    if part == "decisions":
        return float(2 * (2 * 8) * clusters * bundles)
    return 0.0
