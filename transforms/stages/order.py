"""Which of several similar documents comes first, and so survives: a priority, then the seeded hash of the id."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.transforms.stages.columns import fixed_bytes, numbers

SIMILARITY = ("hard", "easy", "random")


@dataclass(frozen=True)
class Order:
    """`hard` (far from the centroid first, the papers' default), `easy` (near first), `random`; or a numeric column
    whose largest values come first (`descending` False: smallest), or a list of sources, best first.

    Documents that a column or a list says nothing about come last.
    """

    kind: str = "hard"
    column: str | None = None
    descending: bool = True
    sources: tuple[str, ...] = ()

    def columns(self) -> list[str]:
        """The columns of documents/ that order_keys needs."""
        wanted = ["row", "id_hash"]
        if self.kind == "column":
            wanted.append(f"number.{self.column}")
        if self.kind == "sources":
            wanted.append("source")
        return wanted

    def describe(self) -> Any:
        if self.kind == "column":
            return {"column": self.column, "descending": self.descending}
        return {"sources": list(self.sources)} if self.kind == "sources" else self.kind


def order_keys(
    documents: pa.Table, order: Order, *, seed: int, similarity: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(priority int64 [n], tie uint64 [n]): the smallest pair comes first.

    similarity: int [n], only for `hard` and `easy`; without it (equal documents, texts) those order by tie alone.
    """
    tie = seeded(fixed_bytes(documents["id_hash"], "V16"), seed, "tie")
    if order.kind == "column":
        values = numbers(documents, f"number.{order.column}").astype(np.float64)
        ordered = ordered_int(-values if order.descending else values)
        return np.where(np.isnan(values), np.iinfo(np.int64).max, ordered), tie
    if order.kind == "sources":
        ranks = {source: rank for rank, source in enumerate(order.sources)}
        return np.array([ranks.get(source, len(ranks)) for source in documents["source"].to_pylist()], np.int64), tie
    if similarity is None or order.kind == "random":
        return np.zeros(len(tie), np.int64), tie
    return (similarity if order.kind == "hard" else -similarity.astype(np.int64)).astype(np.int64), tie


def ordered_int(values: np.ndarray) -> np.ndarray:
    """float64 -> int64 in the same order (-0.0 as 0.0; NaN has no place here)."""
    bits = (values + 0.0).view(np.int64)
    return np.where(bits >= 0, bits, np.int64(-(2**63)) - bits)
