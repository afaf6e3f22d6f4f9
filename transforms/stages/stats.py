"""Numbers about parts, added up over the parts of a stage."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def merge_stats(many: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Numbers and lists of numbers add up, nested objects merge; names that start with min_ or max_ do that."""
    merged: dict[str, Any] = {}
    for stats in many:
        for name, value in stats.items():
            merged[name] = value if name not in merged else _merge(name, merged[name], value)
    return merged


def _merge(name: str, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, dict):
        return merge_stats([a, b])
    if isinstance(a, list):
        return np.add(a, b).tolist()
    if name.startswith("min_"):
        return min(a, b)
    if name.startswith("max_"):
        return max(a, b)
    return a + b
