"""Pictures of a report as SVG, drawn here: they are there without JavaScript, in print and in the dark."""

from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH, HEIGHT = 640, 160


class Bar(NamedTuple):
    """A bar of a histogram, in the units of its picture; goes: its documents are above the threshold."""

    x: float
    y: float
    width: float
    height: float
    goes: bool
    low: float
    high: float
    documents: int


def histogram(edges: Sequence[float], documents: Sequence[int], threshold: float | None) -> dict[str, Any]:
    """Bars of a histogram of scores, and where the threshold stands among them (None where there is none).

    edges: of len(documents) + 1 bins. Heights grow with the square root, so that few documents are seen too.
    """
    low, high = edges[0], edges[-1]
    span = (high - low) or 1.0
    most = max(documents, default=0) ** 0.5 or 1.0
    bars = []
    for start, stop, count in zip(edges, edges[1:], documents):
        height = count**0.5 / most * HEIGHT
        x, width = (start - low) / span * WIDTH, max((stop - start) / span * WIDTH - 1, 0.5)
        goes = threshold is not None and start >= threshold
        place = round(x, 1), round(HEIGHT - height, 1), round(width, 1), round(height, 1)
        bars.append(Bar(*place, goes, start, stop, count))
    at = None if threshold is None else round(min(max((threshold - low) / span, 0), 1) * WIDTH, 1)
    return {"bars": bars, "threshold": at, "width": WIDTH, "height": HEIGHT, "low": low, "high": high}


def heat(share: float | None) -> int:
    """Which of ten colours stands for a share from 0 to 1.

    >>> heat(0.0), heat(0.55), heat(1.0), heat(None)
    (0, 5, 9, 0)
    """
    return min(int((share or 0.0) * 10), 9)
