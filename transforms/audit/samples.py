"""What a report gathers while the units pass by: counts per step, a sample of documents, examples of removed ones."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sluice.models.arrays.hashing import seeded
from sluice.models.reporting import audit
from sluice.models.reporting.audit import shared_with_length
from sluice.transforms.audit.views import AuditedStep, View
from sluice.transforms.scores.base import NONE

MOST_SAMPLED = 200_000
HELD = 32
# Texts that show on a few lines what they are about.
READABLE = (60, 2000)


class StepTally:
    """Sums over the units for one step."""

    def __init__(self, number: int, step: AuditedStep):
        self.number = number
        manifest = step.keep.manifest
        self.scale = float(manifest["config"]["scale"])
        found = step.scores.manifest["totals"]
        low, high = found.get("min_score"), found.get("max_score")
        self.bounds = None if low is None else audit.edges(low / self.scale, high / self.scale)
        self.bins = np.zeros(audit.BINS, np.int64)
        self.nothing_against = self.copies_removed = 0
        self.removed_by_cluster: np.ndarray | None = None
        if step.clusters is not None:
            self.removed_by_cluster = np.zeros(step.clusters.manifest["totals"]["clusters"], np.int64)

    def add(self, view: View) -> None:
        step = view.steps[self.number]
        scored = step.alive & ~np.isnan(step.score)
        self.nothing_against += int((step.alive & ~scored).sum())
        if self.bounds is not None:
            self.bins += audit.histogram(step.score[scored] / self.scale, self.bounds)
        if step.copy is not None:
            self.copies_removed += int((step.removed & step.copy).sum())
        if self.removed_by_cluster is not None and step.cluster is not None:
            self.removed_by_cluster += np.bincount(step.cluster[step.removed], minlength=len(self.removed_by_cluster))


class Sample:
    """Documents chosen by a seeded hash of their ids, all of them up to MOST_SAMPLED; columns as arrays."""

    def __init__(self, documents: int, seed: int):
        # A little below the limit, so that chance does not pass it.
        self.share = 1.0 if documents <= MOST_SAMPLED else 0.97 * MOST_SAMPLED / documents
        self.seed = seed
        self.blocks: list[dict[str, np.ndarray]] = []

    def add(self, view: View) -> None:
        chosen = np.arange(len(view.rows))
        if self.share < 1:
            ticket = seeded(view.ids, self.seed, "report")
            chosen = np.flatnonzero(ticket < np.uint64(int(self.share * 2**64)))
        columns = {"fate": view.fate, "tokens": view.tokens}
        if view.characters is not None:
            columns["characters"] = view.characters
        columns |= {f"score.{number}": step.score for number, step in enumerate(view.steps)}
        self.blocks.append({name: column[chosen] for name, column in columns.items()})

    def column(self, name: str) -> np.ndarray | None:
        """A column of all sampled documents; None where a unit does not have it."""
        blocks = [block for block in self.blocks if len(block["fate"])]
        if not blocks or any(name not in block for block in blocks):
            return None
        return np.concatenate([block[name] for block in blocks])

    def lengths(self, steps: list[str], *, counted: bool) -> dict[str, Any] | None:
        """Length against score and fate: in characters, or in tokens where there is no text; None without either.

        For each step, Spearman's correlation of score and length over what it had anything against, and the lengths of
        what it removed and kept, and how much of that a rule by length alone would have removed; then the same for the
        whole run, and what is kept of every decile of length.
        """
        unit = "characters"
        length, tokens, fate = self.column(unit), self.column("tokens"), self.column("fate")
        if length is None and counted:
            unit, length = "tokens", tokens
        if length is None or tokens is None or fate is None:
            return None
        kept = fate == len(steps)
        return {
            "unit": unit,
            "sample": len(fate),
            "steps": [self._lengths_of(number, name, length, counted) for number, name in enumerate(steps)],
            "kept": audit.lengths(length[kept], tokens[kept] if counted else None),
            "removed": audit.lengths(length[~kept], tokens[~kept] if counted else None),
            "weight": "tokens" if counted else unit,
            "deciles": audit.length_table(length, tokens if counted else length, kept),
        }

    def _lengths_of(self, number: int, name: str, length: np.ndarray, counted: bool) -> dict[str, Any]:
        score, fate, tokens = (self.column(column) for column in (f"score.{number}", "fate", "tokens"))
        assert score is not None and fate is not None and tokens is not None, name
        known = ~np.isnan(score)
        inside = fate >= number
        return {
            "step": name,
            "scored": int(known.sum()),
            "spearman": audit.spearman(score[known], length[known]),
            "length_only": shared_with_length(length[inside], fate[inside] == number),
            **{
                which: audit.lengths(length[chosen], tokens[chosen] if counted else None)
                for which, chosen in (("removed", fate == number), ("kept", fate > number))
            },
        }


class Example(NamedTuple):
    """A removed document: where it is, its score, and the address of what it resembles (None for some steps)."""

    key: tuple[bool, int]
    unit: int
    row: int
    score: float
    neighbour: tuple[int, int] | None


@dataclass
class Examples:
    """A few removed documents of each step, of readable length where there are any, by a seeded hash of their ids."""

    steps: int
    seed: int
    held: dict[int, list[Example]] = field(default_factory=dict)

    def add(self, view: View) -> None:
        ticket = seeded(view.ids, self.seed, "examples")
        size = np.zeros(len(ticket), np.int64) if view.characters is None else view.characters
        awkward = (size < READABLE[0]) | (size > READABLE[1])
        for number in range(self.steps):
            removed = np.flatnonzero(view.fate == number)
            first = removed[np.lexsort((ticket[removed], awkward[removed]))[:HELD]]
            found = [self._example(view, at, (bool(awkward[at]), int(ticket[at]))) for at in first]
            self.held[number] = sorted([*self.held.get(number, []), *found])[:HELD]

    @staticmethod
    def _example(view: View, at: Any, key: tuple[bool, int]) -> Example:
        unit, row = (int(column[at]) for column in view.neighbours)
        neighbour = None if row == NONE else (unit, row)
        return Example(key, view.unit, int(view.rows[at]), float(view.decided_score[at]), neighbour)

    def spread(self, number: int, most: int) -> list[Example]:
        """Up to `most` examples of a step, from its lowest removed score to its highest; readable ones if there are."""
        held = self.held.get(number, [])
        readable = [example for example in held if not example.key[0]] or held
        ordered = sorted(readable, key=lambda example: (example.score, example.key))
        places = np.unique(np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int))
        return [ordered[place] for place in places]
