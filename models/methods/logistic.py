"""Logistic regression by Newton's method, in float64 and in a fixed order, so that a sample gives one classifier."""

from dataclasses import dataclass

import numpy as np

from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.vectors import COARSE

ROWS = 4096
# Newton's method is there within a few steps; this ends it where no digit changes any more.
MOST_STEPS = 50
SETTLED = 1e-9


@dataclass(frozen=True)
class Classifier:
    """weights float64 [d] and bias for vectors of unit length; loss: balanced, with its penalty."""

    weights: np.ndarray
    bias: float
    loss: float
    steps: int


def fit(points: np.ndarray, positive: np.ndarray, *, penalty: float) -> Classifier:
    """The minimum of mean loss of positives / 2 + mean loss of negatives / 2 + penalty / 2 * |weights|**2.

    points: float32 [m, d] whole numbers at scale COARSE; positive: bool [m]. Both classes weigh the same, as with
    balanced sampling. Raises ValueError unless there are some of both and the penalty is positive.
    """
    count = int(positive.sum())
    if not 0 < count < len(positive) or penalty <= 0:
        raise ValueError(f"cannot tell {count} of {len(positive)} apart with a penalty of {penalty}")
    share = np.where(positive, 0.5 / count, 0.5 / (len(positive) - count))
    sign = np.where(positive, 1.0, -1.0)
    found = np.zeros(points.shape[1] + 1)
    ridge = np.r_[np.full(points.shape[1], penalty), 0.0]
    loss, gradient, curvature = _moments(points, sign, share, found, ridge)
    steps = 0
    for _ in range(MOST_STEPS):
        direction = np.linalg.solve(curvature, gradient)
        size = 1.0
        # The loss is convex; a shorter step always lowers it until there is nothing left to gain.
        while (lower := _moments(points, sign, share, found - size * direction, ridge))[0] > loss and size > 1e-6:
            size /= 2
        if lower[0] > loss:
            break
        found = found - size * direction
        steps += 1
        settled = float(np.abs(lower[1]).max()) < SETTLED
        loss, gradient, curvature = lower
        if settled:
            break
    return Classifier(found[:-1], float(found[-1]), loss, steps)


def _moments(
    points: np.ndarray, sign: np.ndarray, share: np.ndarray, found: np.ndarray, ridge: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, gradient [d + 1] and second derivatives [d + 1, d + 1] at `found`; the last coordinate is the bias."""

    def block(start: int) -> tuple[float, np.ndarray, np.ndarray]:
        rows = slice(start, start + ROWS)
        wide = np.ones((len(sign[rows]), len(found)))
        wide[:, :-1] = points[rows]
        wide[:, :-1] /= COARSE
        margin = sign[rows] * (wide @ found)
        wrong = np.exp(-np.logaddexp(0, margin))
        gradient = -(share[rows] * sign[rows] * wrong) @ wide
        curvature = (wide * (share[rows] * wrong * (1 - wrong))[:, None]).T @ wide
        return float(share[rows] @ np.logaddexp(0, -margin)), gradient, curvature

    loss, gradient = float(0.5 * ridge @ found**2), ridge * found
    curvature = np.diag(ridge)
    # In order: sums of floats depend on it.
    for one in parallel(block, range(0, len(points), ROWS)):
        loss, gradient, curvature = loss + one[0], gradient + one[1], curvature + one[2]
    return loss, gradient, curvature


def area_under_curve(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive scores above a negative, ties counted half."""
    values, inverse = np.unique(score, return_inverse=True)
    positives = np.bincount(inverse[positive], minlength=len(values))
    negatives = np.bincount(inverse[~positive], minlength=len(values))
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))
