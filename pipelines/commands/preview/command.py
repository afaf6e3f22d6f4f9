"""What each threshold of a semdedup step would keep, with pairs of documents just either side of it.

sluice preview runs/first
"""

import argparse
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sluice.pipelines.base.step import Step
from sluice.pipelines.commands.preview.page import CHARACTERS, render
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.run.finished import Text as Document
from sluice.pipelines.terminal.printing import emit
from sluice.transforms.audit.chance import chance
from sluice.transforms.audit.probes import Probed
from sluice.transforms.scores.base import NEVER, token_weights
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import not_null, numbers

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.97, 0.98, 0.99)
SHOWN = (0.7, 0.8, 0.9, 0.96)
PAIRS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="RUN", help="run directory; its later stages need not have run")
    parser.add_argument("--step", help="a semdedup step, as 02-semdedup (default: the last one that has scores)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    found = preview(args.url, args.step)
    emit(found, render(found), as_json=args.json)
    return 0


class Pair(NamedTuple):
    """A scored document and its nearest earlier neighbour; `distance` is how far its score is from a threshold."""

    distance: float
    unit: int
    row: int
    score: float
    neighbour: tuple[int, int]


def preview(url: str, step: str | None = None) -> dict[str, Any]:
    """For each of THRESHOLDS and the run's own, the share of documents and tokens left if semdedup were cut there.

    Shares are of all valid documents, so what earlier steps removed is gone; later steps are left out. Only scores are
    read. Raises FileNotFoundError where a step has none yet, ValueError for a step that is no semdedup step, or whose
    rule makes scores for its own threshold only.
    """
    found = Finished(url)
    name = step or _last_scored(found)
    options = found.options(name)
    if options.vector_scale is None:
        raise ValueError(f"step {name} of {found.url} is no semdedup step; its steps are {', '.join(found.steps)}")
    if options.binding_rule is not None:
        raise ValueError(f"step {name} has rule {options.binding_rule}, whose scores hold for its own threshold only")
    scores = found.artifact(f"steps/{name}/scores")
    own = _own_threshold(found, name, options)
    thresholds = sorted({*THRESHOLDS, *([own] if own is not None else [])})
    shown = sorted({*SHOWN, *([own] if own is not None else [])})
    return Preview(found, name, scores, options.vector_scale, thresholds, shown).make() | {"own_threshold": own}


def _last_scored(run: Finished) -> str:
    names = [name for name, step in zip(run.steps, run.all_options) if step.vector_scale is not None]
    if not names:
        raise ValueError(f"the recipe of {run.url} has no semdedup step; its steps are {', '.join(run.steps)}")
    return next((name for name in reversed(names) if run.find(f"steps/{name}/scores")), names[-1])


def _own_threshold(run: Finished, name: str, options: Step) -> float | None:
    """The highest score that the run's cut kept; None when there is none or the cut has not been made."""
    if options.asked is not None and options.asked.limit is not None:
        return float(options.asked.limit)
    keep = run.find(f"steps/{name}/keep")
    highest = None if keep is None else keep.manifest["totals"].get("max_kept_score")
    return None if keep is None or highest is None else highest / keep.manifest["config"]["scale"]


@dataclass
class Preview:
    """Adds up one semdedup step's scores, part by part; removed iff score > threshold."""

    run: Finished
    name: str
    scores: Artifact
    vector_scale: int
    thresholds: list[float]
    shown: list[float]

    @property
    def scale(self) -> int:
        """What a cosine of 1 is as a score."""
        return self.vector_scale**2

    def make(self) -> dict[str, Any]:
        documents = self.run.artifact("documents")
        totals = documents.manifest["totals"]
        # Exactly as the cut does it: a whole score is above a threshold just when it is above its floor.
        limits = np.array([self._whole(threshold) for threshold in self.thresholds], np.int64)
        kept, tokens_kept = np.zeros(len(limits), np.int64), np.zeros(len(limits), np.int64)
        pairs: dict[tuple[float, str], list[Pair]] = {}
        for part in documents.manifest["parts"]:
            unit = part["unit"]
            table = self.scores.read(unit)
            known = documents.read(unit, ["row", "tokens"])
            alive = not_null(table, "score")
            column = numbers(table, "score", missing=0)
            score = column[alive]
            weight = token_weights(known)[alive]
            order = np.argsort(score, kind="stable")
            below = np.searchsorted(score[order], limits, side="right")
            kept += below
            tokens_kept += np.r_[0, np.cumsum(weight[order])][below]
            rows = numbers(known, "row")
            neighbours = [numbers(table, column, missing=0) for column in ("neighbour_unit", "neighbour_row")]
            linked = alive & not_null(table, "neighbour_row")
            self._hold(pairs, unit, rows[linked], column[linked], [one[linked] for one in neighbours])
        counted = self.run.recipe.counting[0] != "none"
        return {
            "run": self.run.url,
            "step": self.name,
            "documents": totals["documents"],
            "documents_before": self.scores.manifest["totals"]["alive"],
            "tokens": totals["tokens"] if counted else None,
            "thresholds": [
                {
                    "threshold": threshold,
                    "kept": int(kept[place]),
                    "share": int(kept[place]) / max(totals["documents"], 1),
                    "kept_tokens": int(tokens_kept[place]) if counted else None,
                    "share_of_tokens": int(tokens_kept[place]) / max(totals["tokens"], 1) if counted else None,
                }
                for place, threshold in enumerate(self.thresholds)
            ],
            "chance": self._chance([part["unit"] for part in documents.manifest["parts"]]),
            "pairs": self._with_texts(pairs),
        }

    def _chance(self, units: list[int]) -> dict[str, Any] | None:
        """How similar documents are by chance, as transforms.audit.chance has it."""
        run, name = self.run, self.name
        probed = Probed(run.centroids(name), run.clusters(name), 0, 0, self.vector_scale, run.recipe.seed)
        found = chance(probed, units)
        # Which of many thresholds is meant is the reader's choice.
        return None if found is None else {name: value for name, value in found.items() if name != "threshold_below"}

    def _whole(self, threshold: float) -> int:
        # A little more, as a score shown as a cosine and taken back may come out just below itself.
        return int(np.floor(threshold * self.scale + 1e-6))

    def _hold(
        self,
        pairs: dict[tuple[float, str], list[Pair]],
        unit: int,
        rows: np.ndarray,
        score: np.ndarray,
        neighbours: list[np.ndarray],
    ) -> None:
        """Keep the PAIRS scores nearest to each shown threshold on either side; equal vectors show nothing."""
        useful = np.flatnonzero((score > NEVER) & (score < self.scale))
        for threshold in self.shown:
            limit = self._whole(threshold)
            for side, chosen in (("above", score[useful] > limit), ("below", score[useful] <= limit)):
                here = useful[chosen]
                nearest = here[np.argsort(np.abs(score[here] - limit), kind="stable")[:PAIRS]]
                found = [
                    Pair(
                        abs(int(score[at]) - limit),
                        unit,
                        int(rows[at]),
                        float(score[at] / self.scale),
                        (int(neighbours[0][at]), int(neighbours[1][at])),
                    )
                    for at in nearest
                ]
                pairs[threshold, side] = sorted([*pairs.get((threshold, side), []), *found])[:PAIRS]

    def _with_texts(self, pairs: dict[tuple[float, str], list[Pair]]) -> list[dict[str, Any]]:
        wanted = [at for held in pairs.values() for one in held for at in ((one.unit, one.row), one.neighbour)]
        texts = self.run.texts(wanted)
        return [
            {
                "threshold": threshold,
                **{
                    side: [_pair(one, texts) for one in pairs.get((threshold, side), [])] for side in ("above", "below")
                },
            }
            for threshold in self.shown
        ]


def _pair(pair: Pair, texts: dict[tuple[int, int], Document]) -> dict[str, Any]:
    return {
        "score": pair.score,
        "document": _shown((pair.unit, pair.row), texts),
        "neighbour": _shown(pair.neighbour, texts),
    }


def _shown(at: tuple[int, int], texts: dict[tuple[int, int], Document]) -> dict[str, Any]:
    found = texts[at]
    text = None if found.text is None else found.text[: 4 * CHARACTERS]
    return {"unit": at[0], "row": at[1], "id": found.id, "text": text, "problem": found.problem}
