"""The cut that all steps share: scores -> keep masks, by an exact target or a threshold.

Documents still in are ordered by (score, seeded hash of the id, place). A target keeps the longest prefix of that order
whose weight (documents or tokens) is within it; the document that would cross it goes, and so do all after it. A
threshold removes scores strictly above it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.models.cut import select
from sluice.models.cut.select import Boundary, Keys, Scale
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import NEVER, token_weights
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import KEEP, fixed_bytes, not_null, numbers
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.writing import WriteUnit


@dataclass(frozen=True)
class Ranked:
    """What a cut looks at: a step's scores, and the documents they are of."""

    documents: Artifact
    scores: Artifact
    seed: int
    by: str = "documents"
    scale: Scale = field(default_factory=Scale)

    def read(self, unit: int) -> tuple[np.ndarray, Keys, np.ndarray, pa.Table, np.ndarray]:
        """(positions still in, their keys, their weights, all documents, all scores) of a unit."""
        documents = self.documents.read(unit, ["row", "id_hash", "tokens"])
        scores = self.scores.read(unit, ["score"])
        positions = np.flatnonzero(not_null(scores, "score"))
        score = numbers(scores, "score", missing=0)
        tie = seeded(fixed_bytes(documents["id_hash"], "V16"), self.seed, "tie")
        row = numbers(documents, "row")
        units = np.full(len(positions), unit, np.uint32)
        keys = Keys(self.scale.keys(score[positions]), tie[positions], units, row[positions], self.scale)
        tokens = token_weights(documents)
        weights = tokens[positions] if self.by == "tokens" else np.ones(len(positions), np.int64)
        return positions, keys, weights, documents, score


# The boundary travels with the counts, so that one grouping a pass does: (0, (boundary so far, rows as bytes)).
Counted = tuple[int, tuple[Boundary, bytes]]


class LookAtUnit(beam.DoFn):
    """Unit, boundary so far -> what `look` (select.histogram or select.candidates) sees, nothing when all fits."""

    def __init__(self, ranked: Ranked, look: Callable[[Keys, np.ndarray, Boundary], np.ndarray]):
        self.ranked, self.look = ranked, look

    def process(self, unit: Unit, boundary: Boundary) -> Iterable[Counted]:
        block = b""
        if not boundary.everything:
            keys, weights = self.ranked.read(unit.id)[1:3]
            block = self.look(keys, weights, boundary).tobytes()
        yield 0, (boundary, block)


def add_histograms(counts: Iterable[tuple[Boundary, bytes]]) -> tuple[Boundary, bytes]:
    """Every count of a pass has the same boundary; an empty list (a combiner's start) has none that matters."""
    total = np.zeros(select.DIGITS, np.int64)
    common = Boundary(0)
    for boundary, block in counts:
        common = boundary
        if block:
            total += np.frombuffer(block, np.int64)
    return common, total.tobytes()


def narrow(counted: Counted) -> Boundary:
    boundary, total = counted[1]
    return select.narrow(boundary, np.frombuffer(total, np.int64))


def settle(sent: tuple[int, Iterable[tuple[Boundary, bytes]]]) -> Boundary:
    found = list(sent[1])
    return select.settle(found[0][0], np.frombuffer(b"".join(block for _, block in found), select.CANDIDATE))


class FindBoundary(beam.PTransform):
    """units -> one Boundary: the first document in the order that does not fit the target, after so many passes."""

    def __init__(self, ranked: Ranked, target: int, passes: int):
        self.ranked, self.target, self.passes = ranked, target, passes

    def expand(self, units: beam.PCollection[Unit]) -> beam.PCollection[Boundary]:
        count, send = LookAtUnit(self.ranked, select.histogram), LookAtUnit(self.ranked, select.candidates)
        boundary: Any = Boundary(self.target)
        for number in range(self.passes):
            boundary = (
                units
                | f"Count{number}" >> beam.ParDo(count, boundary).with_output_types(Counted)
                | f"Add{number}" >> beam.CombinePerKey(add_histograms)
                | f"Narrow{number}" >> beam.Map(narrow).with_output_types(Boundary)
            )
            boundary = beam.pvalue.AsSingleton(boundary)
        return (
            units
            | "SendCandidates" >> beam.ParDo(send, boundary).with_output_types(Counted)
            | "GroupCandidates" >> beam.GroupByKey()
            | "Settle" >> beam.Map(settle).with_output_types(Boundary)
        )


class WriteKeep(WriteUnit):
    """Unit, boundary or None -> its part of keep/."""

    def __init__(self, target: Artifact, ranked: Ranked, *, threshold: float | None):
        super().__init__(target)
        self.ranked, self.threshold = ranked, threshold

    def process(self, unit: Unit, boundary: Boundary | None = None) -> Iterator[Part]:  # type: ignore[override]
        self._boundary = boundary
        yield from super().process(unit)

    def write(self, unit: Unit) -> None:
        positions, keys, _, documents, score = self.ranked.read(unit.id)
        keeps = keys.below(self._boundary) if self._boundary is not None else score[positions] <= self.threshold
        # What a step has nothing against stays, whatever the target: targets below that were refused.
        keep = np.zeros(len(documents), bool)
        keep[positions] = keeps
        removed = score[positions[~keeps]]
        tokens = token_weights(documents)
        stats = {
            "kept": int(keep.sum()),
            "removed": int((~keeps).sum()),
            "kept_tokens": int(tokens[keep].sum()),
            "removed_tokens": int(tokens[positions[~keeps]].sum()),
            "min_removed_score": removed.min().item() if len(removed) else None,
            "max_kept_score": _highest(score[positions[keeps]]),
        }
        self.target.write(unit.id, [pa.table({"keep": keep}, schema=KEEP)], KEEP, stats)
        progress.add(self.stage, len(documents))


def _highest(score: np.ndarray) -> Any:
    found = score[score > NEVER] if np.issubdtype(score.dtype, np.integer) else score[np.isfinite(score)]
    return found.max().item() if len(found) else None


@dataclass
class MakeCut(StageTransform):
    """pipeline -> keep/ of all units: with at most `most` documents (or tokens, as ranked.by), or by `threshold`.

    documents: how many are still in; what it decides is how the boundary is looked for, never which it is. shown_scale:
    people see scores divided by it, which the manifest says.
    """

    version = 3

    ranked: Ranked
    most: int | None = None
    threshold: float | None = None
    documents: int = select.FEW + 1
    shown_scale: int = 1

    def __post_init__(self) -> None:
        if (self.most is None) == (self.threshold is None):
            raise ValueError(f"a cut needs a target or a threshold, not {self.most} and {self.threshold}")

    @property
    def config(self) -> dict[str, Any]:
        return {
            "by": self.ranked.by,
            "target": self.most,
            "threshold": self.threshold,
            "scale": self.shown_scale,
        }

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        write = WriteKeep(self.target, self.ranked, threshold=self.threshold)
        if self.most is None:
            return units | "Keep" >> beam.ParDo(write)
        passes = select.passes(self.ranked.scale, self.documents)
        boundary = units | FindBoundary(self.ranked, self.most, passes)
        return units | "Keep" >> beam.ParDo(write, beam.pvalue.AsSingleton(boundary))
