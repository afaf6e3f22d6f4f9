"""Windows of a unit: which of their documents need a vector, and old and new vectors put together."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from sluice.models.arrays import vectors
from sluice.transforms.records.records import Unit, Window
from sluice.transforms.stages.columns import fixed_bytes, to_fixed
from sluice.transforms.storage.damage import ArtifactError

NO_VECTOR = "the model computes no finite vector for it"


class Rows(NamedTuple):
    """The n documents of a window. alive: bool [n], still in; known: bool [n], those of them that have a vector in
    `old`, the part's column before; chosen: int [c], the places of the others, which need one.
    """

    alive: np.ndarray
    known: np.ndarray
    chosen: np.ndarray
    old: pa.ChunkedArray | None

    def together(self, computed: np.ndarray, valid: np.ndarray) -> tuple[pa.Table, dict[str, Any]]:
        """The window's rows of embeddings/, and what it adds to the part's stats.

        computed: float32 [c, d], of the chosen documents; valid: bool [c], those that have a vector.
        """
        new = vectors.quantise(computed[valid])
        full = np.zeros((len(self.alive), new.shape[1]), np.int16)
        full[self.chosen[valid]] = new
        if self.old is not None and self.known.any():
            full[self.known] = fixed_bytes(self.old, "<i2")[self.known]
        there = self.known.copy()
        there[self.chosen[valid]] = True
        digests = np.zeros(len(self.alive), "V16")
        digests[there] = vectors.digests(full[there])
        columns = [to_fixed(full, there), to_fixed(digests, there)]
        reused, without = int(self.known.sum()), len(self.chosen) - len(new)
        stats = {
            "records": int(self.alive.sum()),
            "embedded": len(new),
            "reused": reused,
            "documents": len(new) + reused,
            "reasons": {NO_VECTOR: without} if without else {},
        }
        return pa.table(columns, schema=embedding_schema(new.shape[1])), stats


def embedding_schema(dimension: int) -> pa.Schema:
    """vector: int16 little-endian x dimension, unit length times 32512; digest: 16 bytes of it."""
    return pa.schema([("vector", pa.binary(2 * dimension)), ("digest", pa.binary(16))])


def choose(alive: np.ndarray, old: pa.ChunkedArray | None) -> Rows:
    """alive: bool [n]; old: n vectors of the same documents, null where there was none."""
    known = np.zeros(len(alive), bool) if old is None else alive & old.is_valid().to_numpy()
    return Rows(alive, known, np.flatnonzero(alive & ~known), old)


def in_step(unit: Unit, rows: np.ndarray, windows: Iterable[Window]) -> Iterator[tuple[slice, Window]]:
    """Each window with its place among the unit's documents, whose rows are uint32 [n].

    Raises ArtifactError where the input has other records than when the documents were read.
    """
    start = 0
    for window in windows:
        stop = start + len(window.rows)
        if not np.array_equal(rows[start:stop], window.rows):
            raise ArtifactError(f"unit {unit.id} no longer has the records it had: was the input changed?")
        yield slice(start, stop), window
        start = stop
    if start != len(rows):
        raise ArtifactError(f"unit {unit.id} has {start} valid records, it had {len(rows)}")
