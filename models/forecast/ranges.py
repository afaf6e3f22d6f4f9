"""A number that is not known yet: its low, likely and high end, which sums and products keep in order."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Range(NamedTuple):
    """low <= likely <= high, none below 0. Ends are no confidence interval: outside of them would be a surprise."""

    low: float
    likely: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> "Range":
        return cls(value, value, value)

    @classmethod
    def around(cls, value: float, share: float) -> "Range":
        """value less and more a share of it."""
        return cls(max(value * (1 - share), 0.0), value, value * (1 + share))

    def plus(self, other: "Range | float") -> "Range":
        """Sums of two unknowns: all low ends together, and so on, as if one cause moved them all."""
        low, likely, high = _range(other)
        return Range(self.low + low, self.likely + likely, self.high + high)

    def times(self, other: "Range | float") -> "Range":
        low, likely, high = _range(other)
        return Range(self.low * low, self.likely * likely, self.high * high)

    def over(self, other: "Range | float") -> "Range":
        """Quotient: the low end divided by the other's high one, and so on."""
        low, likely, high = _range(other)
        return Range(self.low / high, self.likely / likely, self.high / low)

    def at_most(self, limit: "Range | float") -> "Range":
        low, likely, high = _range(limit)
        return Range(min(self.low, low), min(self.likely, likely), min(self.high, high))

    def at_least(self, limit: "Range | float") -> "Range":
        low, likely, high = _range(limit)
        return Range(max(self.low, low), max(self.likely, likely), max(self.high, high))


ZERO = Range(0.0, 0.0, 0.0)


def total(values: Iterable[Range]) -> Range:
    """The sum of all."""
    found = ZERO
    for value in values:
        found = found.plus(value)
    return found


def spread(values: Sequence[float], mean: float) -> Range:
    """A mean that pieces tell of the whole: two standard errors to each side, and at least half of it / pieces."""
    error = 2 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Range.around(mean, min(max(error / max(mean, 1e-12), 0.5 / len(values)), 0.9))


def _range(value: "Range | float") -> Range:
    return value if isinstance(value, Range) else Range.exactly(value)
