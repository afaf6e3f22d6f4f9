"""The accounting identity, and one pass over a finished run's parts that hands every unit's numbers on once they add up.

records = rejected + removed by each step + kept, and documents = decisions = rows of every step, in each unit and in total;
the same for tokens. Nothing is compared with what wrote it alone: masks, decisions, files and manifests must all agree.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sluice.models.audit import repeats
from sluice.transforms import storage
from sluice.transforms.artifacts import Artifact
from sluice.transforms.decisions import KEPT, corpus_folder
from sluice.transforms.equals import NONE
from sluice.transforms.scores import NEVER, token_weights
from sluice.transforms.survivors import fixed_bytes

IDS_PER_PASS = 4_000_000


class AccountingError(RuntimeError):
    """Documents or tokens were lost or counted twice."""


@dataclass(frozen=True)
class AuditedStep:
    """A finished step. copies: its equal vectors or texts, if it looked for them; clusters: if it made any."""

    name: str
    scores: Artifact
    keep: Artifact
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
    """One unit's documents: rows and fates (numbers as in Sources.names) [n], characters None where there is no text."""

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

    @property
    def linked(self) -> np.ndarray:
        """bool [n]: removed, and a neighbour is recorded."""
        return (self.fate < len(self.steps)) & (self.neighbours[1] != NONE)


@dataclass
class Totals:
    """Sums over the units: records and documents, and per fate documents, tokens and characters."""

    records: int = 0
    rejected: int = 0
    documents: Counter = field(default_factory=Counter)
    tokens: Counter = field(default_factory=Counter)
    characters: Counter = field(default_factory=Counter)


def views(sources: Sources, totals: Totals) -> Iterator[View]:
    """Every unit's numbers, each checked; after the last one `totals` is whole and was checked against the manifests.

    Raises AccountingError naming the unit and the numbers, ArtifactError for damaged parts.
    """
    for unit in sources.units:
        view = _read(sources, unit)
        _check_unit(sources, view)
        totals.records += view.records
        totals.rejected += view.rejected
        for number, name in enumerate(sources.names):
            here = view.fate == number
            totals.documents[name] += int(here.sum())
            totals.tokens[name] += int(view.tokens[here].sum())
            if view.characters is not None:
                totals.characters[name] += int(view.characters[here].sum())
        yield view
    _check_totals(sources, totals)


def _read(sources: Sources, unit: int) -> View:
    documents = sources.documents.read(unit, ["row", "id_hash", "characters", "tokens"])
    decisions = sources.decisions.read(unit, ["row", "fate", "score", "neighbour_unit", "neighbour_row"])
    rows = documents["row"].to_numpy()
    where = f"unit {unit}"
    _same(where, "rows of documents", len(rows), "rows of decisions", len(decisions))
    if not np.array_equal(rows, decisions["row"].to_numpy()):
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
        decided_score=decisions["score"].to_numpy(),
        neighbours=(_address(decisions["neighbour_unit"]), _address(decisions["neighbour_row"])),
        steps=[_read_step(step, unit, len(rows), where) for step in sources.steps],
    )


def _address(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().fill_null(int(NONE)).to_numpy(zero_copy_only=False)


def _read_step(step: AuditedStep, unit: int, size: int, where: str) -> StepView:
    column = step.scores.read(unit, ["score"])["score"].combine_chunks()
    keep = step.keep.read(unit)["keep"].to_numpy()
    _same(where, "rows of documents", size, f"scores of {step.name}", len(column))
    _same(where, "rows of documents", size, f"keep masks of {step.name}", len(keep))
    alive = ~column.is_null().to_numpy(False)
    raw = column.fill_null(0).to_numpy(zero_copy_only=False)
    never = raw == NEVER if np.issubdtype(raw.dtype, np.integer) else ~np.isfinite(raw)
    score = raw.astype(np.float64)
    score[never | ~alive] = np.nan
    if (keep & ~alive).any():
        raise AccountingError(f"{where}: {step.name} keeps {(keep & ~alive).sum()} documents that it was not given")
    cluster = copy = None
    if step.clusters is not None:
        found = step.clusters.read(unit, ["cluster"])["cluster"].combine_chunks()
        cluster = found.fill_null(-1).to_numpy(zero_copy_only=False)
    if step.copies is not None:
        copy = ~step.copies.read(unit, ["first_row"])["first_row"].combine_chunks().is_null().to_numpy(False)
    return StepView(alive, alive & ~keep, score, cluster, copy)


def _check_unit(sources: Sources, view: View) -> None:
    where = f"unit {view.unit}"
    size = len(view.rows)
    stats = sources.documents.part(view.unit)["stats"]
    _same(where, "records", view.records, "rejected + documents", view.rejected + size)
    _same(where, "documents counted", stats["documents"], "rows of documents", size)
    _same(where, "tokens counted", stats["tokens"], "tokens of documents", int(view.tokens.sum()))
    alive = np.ones(size, bool)
    left, left_tokens = size, int(view.tokens.sum())
    for number, step in enumerate(view.steps):
        name = sources.steps[number].name
        _same(where, f"documents before {name}", left, f"documents scored by {name}", int(step.alive.sum()))
        if not np.array_equal(alive, step.alive):
            raise AccountingError(f"{where}: {name} scored other documents than those still in")
        removed = int(step.removed.sum())
        _same(where, f"removed by {name}", removed, "decisions that say so", int((view.fate == number).sum()))
        if not np.array_equal(step.removed, view.fate == number):
            raise AccountingError(f"{where}: the keep mask of {name} and the decisions name different documents")
        counted = sources.steps[number].keep.part(view.unit)["stats"]
        tokens = int(view.tokens[step.removed].sum())
        left, left_tokens = left - removed, left_tokens - tokens
        alive &= ~step.removed
        for label, here, said in (
            ("removed", removed, counted["removed"]),
            ("kept", left, counted["kept"]),
            ("removed tokens", tokens, counted["removed_tokens"]),
            ("kept tokens", left_tokens, counted["kept_tokens"]),
        ):
            _same(where, f"{label} by {name}", here, "its manifest", said)
    kept = int((view.fate == len(view.steps)).sum())
    _same(where, "kept", kept, "documents - removed by each step", left)
    written = sources.corpus.read(view.unit, ["documents"])["documents"]
    _same(where, "documents in the corpus", pc.sum(written).as_py() or 0, "kept", kept)


def _check_totals(sources: Sources, totals: Totals) -> None:
    found = sources.documents.manifest["totals"]
    decided = sources.decisions.manifest["totals"]
    removed = {step.name: totals.documents[step.name] for step in sources.steps}
    kept = totals.documents[KEPT]
    whole = "in total"
    _same(whole, "records", found.get("records", 0), "rejected + removed + kept", totals.rejected + sum(removed.values()) + kept)
    _same(whole, "rejected", found.get("rejected", 0), "rows of rejected", totals.rejected)
    _same(whole, "reasons of rejects", sum(found.get("reasons", {}).values()), "rejected", totals.rejected)
    _same(whole, "tokens", found.get("tokens", 0), "removed + kept tokens", sum(totals.tokens.values()))
    for name in sources.names:
        _same(whole, f"decisions {name}", decided["fates"][name], "documents with that fate", totals.documents[name])
        _same(whole, f"tokens decided {name}", decided["tokens"][name], "tokens with that fate", totals.tokens[name])
    _same(whole, "documents in the corpus", sources.corpus.manifest["totals"]["kept"], "kept", kept)
    check_files(sources.corpus)


def check_files(corpus: Artifact) -> None:
    """Raises AccountingError unless every file of the corpus is there in the size that its unit wrote."""
    folder = corpus_folder(corpus)
    fs, path = storage.filesystem(folder)
    there = {name[len(path) :].strip("/"): entry["size"] for name, entry in fs.find(path, detail=True).items()}
    for part in corpus.manifest["parts"]:
        table = corpus.read(part["unit"], ["name", "bytes"])
        for name, size in zip(table["name"].to_pylist(), table["bytes"].to_pylist()):
            _same(f"unit {part['unit']}", f"bytes of {folder}/{name}", there.get(name, 0), "bytes written", size)


def _same(where: str, one: str, value: int, other: str, value_of_other: int) -> None:
    if value != value_of_other:
        raise AccountingError(f"{where}: {one} {value:,}, but {other} {value_of_other:,}")


def duplicate_ids(documents: Artifact, *, per_pass: int = IDS_PER_PASS) -> dict[str, int]:
    """Documents whose id another one has, and distinct ids among them; in as many passes as memory asks for."""
    parts = documents.manifest["parts"]
    passes = max(-(-documents.manifest["rows"] // per_pass), 1)
    found = {"documents": 0, "ids": 0}
    for number in range(passes):
        blocks = [np.empty((0, 2), np.uint64)]
        for part in parts:
            column = documents.read(part["unit"], ["id_hash"])["id_hash"]
            if len(column):
                words = fixed_bytes(column, "<u8")
                blocks.append(words[words[:, 0] % np.uint64(passes) == number])
        members, distinct = repeats(np.concatenate(blocks))
        found["documents"] += members
        found["ids"] += distinct
    return found
