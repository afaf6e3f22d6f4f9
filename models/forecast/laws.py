"""How the work of a stage grows: one table, which plans read and the layouts of steps name (Slot.law).

A float32 product of [a, d] with [d, b] is 2 a b d operations.
"""

from collections.abc import Callable
from typing import NamedTuple


class Size(NamedTuple):
    """What a stage works on. sample: documents that centroids are trained on; cluster: documents of one on average."""

    documents: float
    sample: float = 0.0
    clusters: float = 1.0
    cluster: float = 1.0
    dimension: int = 1
    iterations: int = 20


class Law(NamedTuple):
    """documents, sample: what the work beside products grows with, as shares that add up to 1 (or 0: with nothing).

    operations: of products; reached: how fast those are beside one large product. counts: bytes of the arrays of counts
    that a bundle sends.
    """

    documents: float = 1.0
    sample: float = 0.0
    operations: Callable[[Size], float] = lambda size: 0.0
    reached: float = 1.0
    counts: Callable[[Size], float] = lambda size: 0.0

    def amount(self, size: Size, most: int | None = None) -> float:
        """Documents that the work grows with; most: the stage looks at no more of them."""
        seen = size.documents if most is None else min(size.documents, most)
        return self.documents * seen + self.sample * size.sample

    def flops(self, size: Size) -> float:
        """Operations of its products, as many as one large product does in the same time."""
        return self.operations(size) / self.reached


def assignment(size: Size) -> float:
    """Every document with every centroid.

    >>> assignment(Size(documents=10, clusters=3, dimension=4))
    240.0
    """
    return 2.0 * size.documents * size.clusters * size.dimension


def pairs(size: Size) -> float:
    """Every document with those before it in its cluster, in clusters of equal size."""
    return size.documents * max(size.cluster - 1, 0.0) * size.dimension


def training(size: Size) -> float:
    """models.clustering.kmeans: half of the iterations see a quarter of the sample, a quarter as many see all of it."""
    rounds = -(-size.iterations // 2) / 4 + -(-size.iterations // 4)
    return 2.0 * size.sample * size.clusters * size.dimension * rounds


# Reached: of a million vectors of 384 on two cores (docs/measured/scale.md), where clusters had 1.39 times
# the pairs of equal ones. Counts: four passes over 65,536 numbers of the cut, or 9 bytes a document; four numbers a
# cluster.
LAWS = {
    "documents": Law(),
    "fixed": Law(documents=0.0),
    "cut": Law(counts=lambda size: min(4 * (8 << 16), 4 * 9 * size.documents)),
    "train": Law(0.25, 0.75, training, reached=0.95),
    "assign": Law(operations=assignment, reached=0.91, counts=lambda size: 32 * size.clusters),
    "pairs": Law(operations=pairs, reached=0.84 / 1.39),
}
