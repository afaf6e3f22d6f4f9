"""The exact cut: which documents make the longest prefix of an order, found by histograms of a few digits.

The order is by (score, tie, unit, row). Each pass adds up the weights (1, or tokens) of the documents that share the
digits found so far, by their next 16-bit digit; the digit at which the target is crossed is fixed, and the next pass
looks at the one after. After the score's digits and half of the tie's, what is left is a handful, and is sorted. All
passes are sums, so they run anywhere in any order. A small corpus is sorted at once.
"""

from dataclasses import dataclass, field, replace

import numpy as np

DIGIT = 16
DIGITS = 1 << DIGIT
TIE_PASSES = 2
CANDIDATE = np.dtype([("score", "<u8"), ("tie", "<u8"), ("unit", "<u4"), ("row", "<u4"), ("weight", "<i8")])
# So few documents (of 32 bytes) are sorted at once: a pass costs an engine more than they do.
FEW = 1 << 19
# More equal scores and hashes than this are duplicate ids without end, not chance.
MOST_CANDIDATES = 10_000_000


@dataclass(frozen=True)
class Boundary:
    """The first document that does not fit: its leading digits as far as they are known, in the end its whole key.

    target: the weight left for documents that share the digits; everything: all documents fit.
    """

    target: int
    digits: tuple[int, ...] = ()
    everything: bool = False
    key: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Scale:
    """How scores become unsigned keys: whole numbers from `base` on in `bits` bits, or floats (base None, 64 bits).

    Whole numbers below `base` (a step has nothing against those documents) all become 0.
    """

    base: int | None = None
    bits: int = 64

    @classmethod
    def of(cls, low: float | None, high: float | None) -> "Scale":
        """For scores from low to high; None, None: there are none."""
        if isinstance(low, float) or isinstance(high, float):
            return cls()
        if low is None or high is None:
            return cls(0, 1)
        return cls(low, (high - low + 1).bit_length())

    @property
    def passes(self) -> int:
        """Digits of the score that a cut looks at."""
        return -(-self.bits // DIGIT)

    def keys(self, score: np.ndarray) -> np.ndarray:
        """int64 or float64 (no NaN) -> uint64 in the same order."""
        if self.base is not None:
            above = score >= self.base
            with np.errstate(over="ignore"):
                return np.where(
                    above,
                    (score.view(np.uint64) - np.array(self.base).view(np.uint64)) + np.uint64(1),
                    np.uint64(0),
                )
        bits = (score.astype(np.float64) + 0.0).view(np.uint64)
        sign = np.uint64(1 << 63)
        return np.where(bits & sign, ~bits, bits | sign)


@dataclass(frozen=True)
class Keys:
    """The keys of some documents, as columns of equal length: uint64 score and tie, uint32 unit and row."""

    score: np.ndarray
    tie: np.ndarray
    unit: np.ndarray
    row: np.ndarray
    scale: Scale = field(default_factory=Scale)

    def digit(self, number: int) -> np.ndarray:
        """The number-th 16-bit digit of every key, 0 the most significant: int64 [n]."""
        passes = self.scale.passes
        if number < passes:
            column, shift = self.score, DIGIT * (passes - 1 - number)
        else:
            column, shift = self.tie, 64 - DIGIT * (number - passes + 1)
        return ((column >> np.uint64(shift)) & np.uint64(DIGITS - 1)).astype(np.int64)

    def take(self, positions: np.ndarray) -> "Keys":
        return Keys(self.score[positions], self.tie[positions], self.unit[positions], self.row[positions], self.scale)

    def divide(self, digits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the keys whose leading digits are below these, and of those that share them."""
        below = [np.empty(0, np.int64)]
        sharing = np.arange(len(self.score))
        for number, digit in enumerate(digits):
            found = self.take(sharing).digit(number)
            below.append(sharing[found < digit])
            sharing = sharing[found == digit]
        return np.concatenate(below), sharing

    def below(self, boundary: Boundary) -> np.ndarray:
        """bool [n]: the documents that come before the boundary, which must be settled."""
        if boundary.everything:
            return np.ones(len(self.score), bool)
        if boundary.key is None:
            raise ValueError("the boundary is not settled")
        below, sharing = self.divide(boundary.digits)
        mask = np.zeros(len(self.score), bool)
        mask[below] = True
        if len(sharing):
            mask[sharing] = self.take(sharing)._before(boundary.key)
        return mask

    def _before(self, key: tuple[int, int, int, int]) -> np.ndarray:
        """bool [n]: the keys below one key, compared column by column."""
        below = np.zeros(len(self.score), bool)
        equal = np.ones(len(self.score), bool)
        for column, limit in zip((self.score, self.tie, self.unit, self.row), key):
            bound = column.dtype.type(limit)
            below |= equal & (column < bound)
            equal &= column == bound
        return below


def passes(scale: Scale, documents: int) -> int:
    """How many histograms come before the sort, for so many documents."""
    return 0 if documents <= FEW else scale.passes + TIE_PASSES


def histogram(keys: Keys, weights: np.ndarray, boundary: Boundary) -> np.ndarray:
    """int64 [65536]: weight by next digit, of the documents that begin with the boundary's digits."""
    totals = np.zeros(DIGITS, np.int64)
    if not boundary.everything:
        _, found = keys.divide(boundary.digits)
        np.add.at(totals, keys.take(found).digit(len(boundary.digits)), weights[found])
    return totals


def narrow(boundary: Boundary, totals: np.ndarray) -> Boundary:
    """The boundary with one more digit: the first at which the weights up to it add up to more than the target."""
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


def candidates(keys: Keys, weights: np.ndarray, boundary: Boundary) -> np.ndarray:
    """CANDIDATE rows for the documents that share all the digits."""
    _, found = keys.divide(boundary.digits) if not boundary.everything else (None, np.empty(0, np.int64))
    rows = np.empty(len(found), CANDIDATE)
    for name in ("score", "tie", "unit", "row"):
        rows[name] = getattr(keys, name)[found]
    rows["weight"] = weights[found]
    return rows


def settle(boundary: Boundary, rows: np.ndarray) -> Boundary:
    """The boundary with its whole key, from all documents that share its digits (in any order)."""
    if boundary.everything:
        return boundary
    if len(rows) > MOST_CANDIDATES:
        raise ValueError(f"{len(rows)} documents have the same score and the same id; give them ids of their own")
    order = np.lexsort([rows[name] for name in ("row", "unit", "tie", "score")])
    over = np.flatnonzero(np.cumsum(rows["weight"][order]) > boundary.target)
    if not len(over):
        if boundary.digits:
            raise ValueError("weights changed between passes")
        return replace(boundary, everything=True)
    first = rows[order[over[0]]]
    return replace(boundary, key=(int(first["score"]), int(first["tie"]), int(first["unit"]), int(first["row"])))
