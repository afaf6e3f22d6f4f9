"""The exact cut: which documents make the largest prefix of an order, found by histograms alone.

A document's key is (score, tie, unit, row), read as 16-bit digits, most significant first. Each pass adds up the weights
(1, or tokens) of the documents that share the digits found so far, by their next digit; the digit at which the target is
crossed is fixed and the next pass looks at the one after. All passes are sums, so they run anywhere in any order.
"""

from dataclasses import dataclass, replace

import numpy as np

DIGIT = 16
DIGITS = 1 << DIGIT


@dataclass(frozen=True)
class Boundary:
    """The digits of the first document that does not fit, as far as they are known, and the weight left for those below.

    open: everything fits so far and there is no boundary.
    """

    target: int
    digits: tuple[int, ...] = ()
    everything: bool = False


def unsigned(score: np.ndarray) -> np.ndarray:
    """int64 or float64 (no NaN) -> uint64 in the same order."""
    if np.issubdtype(score.dtype, np.floating):
        bits = (score.astype(np.float64) + 0.0).view(np.uint64)
        sign = np.uint64(1 << 63)
        return np.where(bits & sign, ~bits, bits | sign)
    return score.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)


@dataclass(frozen=True)
class Keys:
    """The keys of some documents, as columns of equal length: uint64 score and tie, uint32 unit and row."""

    score: np.ndarray
    tie: np.ndarray
    unit: np.ndarray
    row: np.ndarray

    PASSES = 12

    def digit(self, number: int) -> np.ndarray:
        """The number-th 16-bit digit of every key, 0 the most significant: int64 [n]."""
        column, place = ((self.score, number), (self.tie, number - 4))[number >= 4]
        if number >= 8:
            column, place = (self.unit, number - 6) if number < 10 else (self.row, number - 8)
        shift = np.uint64(48 - 16 * place)
        return ((column.astype(np.uint64) >> shift) & np.uint64(DIGITS - 1)).astype(np.int64)

    def matching(self, digits: tuple[int, ...]) -> np.ndarray:
        """Positions of the keys that begin with these digits."""
        found = np.arange(len(self.score))
        for number, digit in enumerate(digits):
            found = found[self.take(found).digit(number) == digit]
        return found

    def take(self, positions: np.ndarray) -> "Keys":
        return Keys(self.score[positions], self.tie[positions], self.unit[positions], self.row[positions])

    def below(self, boundary: Boundary) -> np.ndarray:
        """bool [n]: the documents that come before the boundary."""
        if boundary.everything:
            return np.ones(len(self.score), bool)
        kept = np.zeros(len(self.score), bool)
        open_ = np.arange(len(self.score))
        for number, digit in enumerate(boundary.digits):
            found = self.take(open_).digit(number)
            kept[open_[found < digit]] = True
            open_ = open_[found == digit]
        return kept


def histogram(keys: Keys, weights: np.ndarray, boundary: Boundary) -> np.ndarray:
    """int64 [65536]: weight by next digit, of the documents that begin with the boundary's digits."""
    totals = np.zeros(DIGITS, np.int64)
    if not boundary.everything:
        found = keys.matching(boundary.digits)
        np.add.at(totals, keys.take(found).digit(len(boundary.digits)), weights[found])
    return totals


def narrow(boundary: Boundary, totals: np.ndarray) -> Boundary:
    """The boundary with one more digit: the first at which the weights below add up to more than the target."""
    if boundary.everything:
        return boundary
    running = np.cumsum(totals)
    if running[-1] <= boundary.target:
        if boundary.digits:
            raise ValueError(f"weights changed between passes: {running[-1]} is not above {boundary.target}")
        return replace(boundary, everything=True)
    digit = int(np.searchsorted(running, boundary.target, side="right"))
    before = int(running[digit - 1]) if digit else 0
    return Boundary(boundary.target - before, (*boundary.digits, digit))
