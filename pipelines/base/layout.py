"""The stages of a step as data: what schedulers, plans and pages list before anything has run.

A stage's key needs the digests of those before it, so the stages themselves come one by one, from Step.stages. What
they are called, and how often what the data decide may be repeated, is known from the options alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sluice.transforms.stages.artifacts import Artifact

# What is finished in a folder, or None.
Find = Callable[[str], Artifact | None]


class Condition(NamedTuple):
    """A run has the stage if `total` in the manifest of `folder` is above zero, or (`absent`) is not known there.

    folder: below the run directory, with {step} for the step's name.
    """

    folder: str
    total: str
    absent: bool


class Clustering(NamedTuple):
    """Centroids as a step would train them: sample: documents that they are trained on; memory: bytes of a
    trainer; searched: documents find theirs by ScaNN.
    """

    clusters: int
    sample: int
    iterations: int
    two_levels: bool
    searched: bool
    memory: int


@dataclass(frozen=True)
class Slot:
    """A stage that a step may have. folder: below the step's own, and its name: scores, or split-1/centroids.

    parts: how many part files it writes: one a unit, a single one, or one a unit of another run.
    repeat: 0 for a stage that every run has; n for the n-th time of what is repeated as often as the data need it.
    only_if: which runs have it, for launchers that know nothing but manifests; None: all do, or none can tell.
    law: how its work grows, for plans: a name of models.forecast.LAWS. most: documents that it looks at, at most;
    shuffled: bytes a document that pass between workers.
    """

    folder: str
    parts: Literal["units", "one", "other units"] = "units"
    repeat: int = 0
    only_if: Condition | None = None
    law: Literal["documents", "fixed", "cut", "train", "assign", "pairs"] = "documents"
    most: int | None = None
    shuffled: int = 0


KEEP = Slot("keep", law="cut")
SCORED = (Slot("scores"), KEEP)
# Equal documents meet by 16 bytes of digest.
COPIES = Slot("copies", shuffled=40)
