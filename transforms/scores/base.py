"""Scores: one number per document still in, higher = pruned sooner, and the earlier document it resembles."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import numbers

# Below every score: the step cannot remove the document.
NEVER = np.int64(-(2**63))
NEVER_FLOAT = -np.inf
# In place of a unit or a row: no document.
NONE = np.uint32(2**32 - 1)
SCORES = pa.schema([("score", pa.int64()), ("neighbour_unit", pa.uint32()), ("neighbour_row", pa.uint32())])


@dataclass(frozen=True)
class Guard:
    """Which sources a step may remove from: all, only those in `only`, and never those in `protect`."""

    only: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()

    def removable(self, documents: pa.Table) -> np.ndarray:
        """bool [n]; needs the column `source` of documents/ unless nothing is guarded."""
        if not (self.only or self.protect):
            return np.ones(len(documents), bool)
        source = np.array(documents["source"].to_pylist(), dtype=object)
        allowed = np.isin(source, list(self.only)) if self.only else np.ones(len(source), bool)
        return allowed & ~np.isin(source, list(self.protect))

    def columns(self) -> list[str]:
        return ["source"] if self.only or self.protect else []


def write_scores(
    target: Artifact,
    unit: int,
    *,
    documents: pa.Table,
    alive: np.ndarray,
    score: np.ndarray,
    guard: Guard,
    neighbours: tuple[np.ndarray, np.ndarray] | None = None,
    stats: dict[str, Any] | None = None,
    extra: dict[str, pa.Array] | None = None,
) -> None:
    """Write a unit's part of scores/, row-aligned with documents/; null where a document is no longer in.

    score: int64 or float64 [n], NEVER (or -inf) where the step has nothing against the document. neighbours: (unit,
    row), uint32 [n] each, 2**32 - 1 where there is none. documents needs `tokens` and the guard's columns.
    extra: further columns of the part.
    """
    whole = np.issubdtype(score.dtype, np.integer)
    never = NEVER if whole else NEVER_FLOAT
    score = np.where(guard.removable(documents), score, never)
    removable = alive & (score > never)
    tokens = token_weights(documents)
    found = score[removable]
    counted: dict[str, Any] = {
        "alive": int(alive.sum()),
        "removable": int(removable.sum()),
        "alive_tokens": int(tokens[alive].sum()),
        "removable_tokens": int(tokens[removable].sum()),
        "min_score": found.min().item() if len(found) else None,
        "max_score": found.max().item() if len(found) else None,
        **(stats or {}),
    }
    nobody = np.full(len(alive), 2**32 - 1, np.uint32)
    units, rows = neighbours if neighbours is not None else (nobody, nobody)
    without = ~alive | (rows == 2**32 - 1)
    schema = SCORES if whole else SCORES.set(0, pa.field("score", pa.float64()))
    table = pa.table(
        [pa.array(score, mask=~alive), pa.array(units, mask=without), pa.array(rows, mask=without)],
        schema=schema,
    )
    for name, column in (extra or {}).items():
        table = table.append_column(name, column)
    target.write(unit, [table], table.schema, counted)


def token_weights(documents: pa.Table) -> np.ndarray:
    """int64 [n]: tokens of each document, 0 where they were not counted."""
    return numbers(documents, "tokens", missing=0).astype(np.int64)
