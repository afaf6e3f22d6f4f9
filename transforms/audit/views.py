"""A finished run's parts, unit by unit, as arrays: what every step scored, kept and removed, and what was decided."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.transforms.outcome.fates import KEPT
from sluice.transforms.scores.base import NEVER, NONE, token_weights
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, names_of, not_null, numbers, read_not_null, read_numbers


class AccountingError(RuntimeError):
    """Documents or tokens were lost or counted twice."""


@dataclass(frozen=True)
class AuditedStep:
    """A finished step; with the last of its clusterings, and its equal vectors or texts, where it has any."""

    name: str
    scores: Artifact
    keep: Artifact
    centroids: Artifact | None = None
    clusters: Artifact | None = None
    copies: Artifact | None = None


@dataclass(frozen=True)
class Sources:
    """The artifacts of a finished run that are audited."""

    documents: Artifact
    rejected: Artifact
    decisions: Artifact
    corpus: Artifact
    steps: tuple[AuditedStep, ...]

    @property
    def units(self) -> list[int]:
        return [part["unit"] for part in self.documents.manifest["parts"]]

    @property
    def names(self) -> list[str]:
        """The fates in order: the steps, then kept."""
        return [*(step.name for step in self.steps), KEPT]


@dataclass(frozen=True)
class StepView:
    """One step in one unit, row-aligned with documents: score NaN where the step had nothing against a document."""

    alive: np.ndarray
    removed: np.ndarray
    score: np.ndarray
    cluster: np.ndarray | None
    copy: np.ndarray | None


@dataclass(frozen=True)
class View:
    """One unit's documents as columns [n]: fate as a place in Sources.names; characters None where there is no text.

    sources: for each document a place in a list of names, len(names) where it has none; None where none are told apart.
    """

    unit: int
    records: int
    rejected: int
    rows: np.ndarray
    ids: np.ndarray
    characters: np.ndarray | None
    tokens: np.ndarray
    fate: np.ndarray
    decided_score: np.ndarray
    neighbours: tuple[np.ndarray, np.ndarray]
    steps: list[StepView]
    sources: tuple[np.ndarray, list[str]] | None = None

    @property
    def linked(self) -> np.ndarray:
        """bool [n]: removed, and a neighbour is recorded."""
        return (self.fate < len(self.steps)) & (self.neighbours[1] != NONE)


def read_view(sources: Sources, unit: int) -> View:
    """One unit. Raises AccountingError where parts have other rows than documents/, ArtifactError for damaged parts."""
    told_apart = ["source"] if sources.documents.manifest["config"].get("source") else []
    documents = sources.documents.read(unit, ["row", "id_hash", "characters", "tokens", *told_apart])
    decisions = sources.decisions.read(unit, ["row", "fate", "score", "neighbour_unit", "neighbour_row"])
    rows = numbers(documents, "row")
    where = f"unit {unit}"
    same(where, "rows of documents", len(rows), "rows of decisions", len(decisions))
    if not np.array_equal(rows, numbers(decisions, "row")):
        raise AccountingError(f"{where}: documents and decisions list different rows")
    fate = pc.index_in(decisions["fate"], value_set=pa.array(sources.names)).combine_chunks()
    if fate.null_count:
        raise AccountingError(f"{where}: {fate.null_count} documents have a fate that is none of {sources.names}")
    characters = documents["characters"].combine_chunks()
    return View(
        unit,
        records=sources.documents.part(unit)["stats"]["records"],
        rejected=sources.rejected.part(unit)["rows"],
        rows=rows,
        ids=fixed_bytes(documents["id_hash"], "V16"),
        characters=None if characters.null_count else characters.to_numpy().astype(np.int64),
        tokens=token_weights(documents),
        fate=fate.to_numpy().astype(np.uint8),
        decided_score=numbers(decisions, "score"),
        neighbours=(
            numbers(decisions, "neighbour_unit", missing=NONE),
            numbers(decisions, "neighbour_row", missing=NONE),
        ),
        steps=[_read_step(step, unit, len(rows), where) for step in sources.steps],
        sources=names_of(documents, "source") if told_apart else None,
    )


def _read_step(step: AuditedStep, unit: int, size: int, where: str) -> StepView:
    scores = step.scores.read(unit, ["score"])
    keep = read_numbers(step.keep, unit, "keep")
    same(where, "rows of documents", size, f"scores of {step.name}", len(scores))
    same(where, "rows of documents", size, f"keep masks of {step.name}", len(keep))
    alive = not_null(scores, "score")
    raw = numbers(scores, "score", missing=0)
    never = raw == NEVER if np.issubdtype(raw.dtype, np.integer) else ~np.isfinite(raw)
    score = raw.astype(np.float64)
    score[never | ~alive] = np.nan
    if (keep & ~alive).any():
        raise AccountingError(f"{where}: {step.name} keeps {(keep & ~alive).sum()} documents that it was not given")
    cluster = copy = None
    if step.clusters is not None:
        cluster = read_numbers(step.clusters, unit, "cluster", missing=-1)
    if step.copies is not None:
        copy = read_not_null(step.copies, unit, "first_row")
    return StepView(alive, alive & ~keep, score, cluster, copy)


def same(where: str, one: str, value: int, other: str, value_of_other: int) -> None:
    """Raises AccountingError unless two counts agree, naming both."""
    if value != value_of_other:
        raise AccountingError(f"{where}: {one} {value:,}, but {other} {value_of_other:,}")
