"""How fast an unfinished stage goes, from the times at which its parts appeared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# The clocks of a launching machine and of a store differ; a part that is older than its stage by less is of it.
CLOCKS = 5.0


@dataclass(frozen=True)
class Piece:
    """A unit or bin that is done: its weight, and when its file appeared, in seconds since 1970 (None: unknown)."""

    weight: float
    changed: float | None


def pace(done: Iterable[Piece], *, total: float, begun: float | None) -> dict[str, Any]:
    """share of the weight that is done, and per_second and seconds_left, None where nothing can be said yet.

    begun: when the stage was begun, in seconds since 1970; parts from before it do not count for the speed. None: the
    first part is taken for the beginning, and does not count.
    """
    pieces = list(done)
    finished = sum(piece.weight for piece in pieces)
    share = min(finished / total, 1.0) if total else None
    speed = _speed([piece for piece in pieces if piece.changed is not None], begun)
    left = max(total - finished, 0.0) / speed if speed else None
    return {"share": share, "per_second": speed, "seconds_left": left}


def _speed(pieces: list[Piece], begun: float | None) -> float | None:
    times = [piece.changed for piece in pieces if piece.changed is not None]
    if not times:
        return None
    if begun is None:
        begun = min(times)
        fresh = sum(piece.weight for piece in pieces if piece.changed is not None and piece.changed > begun)
    else:
        fresh = sum(piece.weight for piece in pieces if piece.changed is not None and piece.changed >= begun - CLOCKS)
    seconds = max(times) - begun
    return fresh / seconds if seconds > 0 and fresh else None


def largest_left(weights: Mapping[int, float], done: Iterable[int]) -> tuple[int, float] | None:
    """The heaviest unit that is not done, and its weight: one worker does it alone, whatever the others do."""
    left = weights.keys() - set(done)
    unit = max(sorted(left), key=lambda unit: weights[unit], default=None)
    return None if unit is None else (unit, weights[unit])
