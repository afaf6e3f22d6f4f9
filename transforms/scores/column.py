"""A numeric column of the input as a score."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.transforms.scores.base import NEVER_FLOAT
from sluice.transforms.scores.simple import WriteScores
from sluice.transforms.stages.columns import numbers, survivors

# Above every column's numbers: goes before all others. Finite, as an infinite score means nothing in a report.
FIRST = np.finfo(np.float64).max


@dataclass(frozen=True)
class Column:
    """Which column, and which of its values stay: keep is top, bottom or window (from low to high)."""

    name: str
    keep: str
    low: float | None = None
    high: float | None = None
    missing: str = "keep"


def column_score(values: np.ndarray, how: Column) -> np.ndarray:
    """float64 [n] (NaN: missing) -> score [n]: minus the value, the value, or how far it is outside the window.

    Inside a window that is minus the distance to its nearer edge. Missing: -inf (never removed) or FIRST.
    """
    if how.keep == "window":
        assert how.low is not None and how.high is not None, how
        score = np.maximum(how.low - values, values - how.high)
    else:
        score = -values if how.keep == "top" else values.copy()
    with np.errstate(invalid="ignore"):
        score = np.clip(score, -FIRST, FIRST) + 0.0
    score[np.isnan(values)] = NEVER_FLOAT if how.missing == "keep" else FIRST
    return score


@dataclass
class ColumnScores(WriteScores):
    """One unit's column -> its scores; `missing` in the statistics counts documents still in that have no number."""

    version = 3

    how: Column

    def columns(self) -> list[str]:
        return [f"number.{self.how.name}"]

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        values = numbers(documents, *self.columns()).astype(np.float64)
        return column_score(values, self.how), None

    def stats(self, unit: int, documents: pa.Table) -> dict[str, Any]:
        alive = survivors(self.keep, unit, len(documents))
        missing = np.isnan(numbers(documents, *self.columns()).astype(np.float64))
        return {"missing": int((missing & alive).sum())}
