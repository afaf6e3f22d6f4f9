"""Documents that hold benchmark items, word for word or in other words; what is found is counted for every item."""

from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.parallel import parallel
from sluice.models.arrays.products import above, best_match
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.prefetch import ahead
from sluice.transforms.records.records import Fields, Unit
from sluice.transforms.scores.base import NEVER
from sluice.transforms.scores.benchmark_items.findings import Finding, Search, SendFindings, WriteFound, add_findings
from sluice.transforms.scores.benchmark_items.read_items import item_vectors
from sluice.transforms.scores.simple import WriteScores
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, not_null, numbers, read_not_null, read_numbers, survivors
from sluice.transforms.stages.commit import Commit
from sluice.transforms.stages.stage import ReadUnits, StageTransform, Start
from sluice.transforms.stages.writing import WriteUnit

LIST = pa.list_(pa.uint32())
# nearest: the item with the largest dot product; overlaps and similar: all items that a document shares an n-gram with,
# and those whose product is above the limit.
MATCHES = pa.schema([("dot", pa.int32()), ("nearest", pa.uint32()), ("overlaps", LIST), ("similar", LIST)])
WINDOW_ROWS = 8192
ROWS = 1024
# What a document scores that shares an n-gram with an item, as a cosine: above any.
OVERLAP = 2


class WriteMatches(WriteUnit):
    """Unit -> its part of matches/, row-aligned with documents/."""

    def __init__(
        self,
        target: Artifact,
        items: Artifact,
        search: Search,
        *,
        documents: Artifact,
        embeddings: Artifact | None,
        keep: Artifact | None,
        fields: Fields,
        on_unreadable: str,
    ):
        super().__init__(target)
        self.items, self.search, self.documents, self.embeddings = items, search, documents, embeddings
        self.keep, self.on_unreadable = keep, on_unreadable
        # Rows count rejects, so which records are valid does not matter here.
        self.fields = replace(fields, columns=(), vector=None)

    def setup(self) -> None:
        self._index = self.search.index(self.items)
        if self.search.limit is not None:
            self._points = self.search.points(item_vectors(self.items))

    def write(self, unit: Unit) -> None:
        rows = read_numbers(self.documents, unit.id, "row")
        alive = survivors(self.keep, unit.id, len(rows))
        overlaps: dict[int, list[int]] = {}
        if self._index is not None:
            overlaps = self._overlaps(unit, rows, alive)
        table = self._table(unit, alive, overlaps)
        self.target.write(unit.id, [table], MATCHES, {"alive": int(alive.sum())})
        progress.add(self.stage, len(rows))

    def _overlaps(self, unit: Unit, rows: np.ndarray, alive: np.ndarray) -> dict[int, list[int]]:
        """Items by place in documents/, for the documents still in that share an n-gram with any."""
        assert self._index is not None
        found: dict[int, list[int]] = {}
        with ahead(reading.read_unit(unit, self.fields, on_unreadable=self.on_unreadable)) as windows:
            for window in windows:
                places = np.minimum(np.searchsorted(rows, window.rows), max(len(rows) - 1, 0))
                for place, row, text in zip(places, window.rows, window.texts or ()):
                    if len(rows) and rows[place] == row and alive[place] and (items := self._index.matches(text)):
                        found[int(place)] = items
        return found

    def _table(self, unit: Unit, alive: np.ndarray, overlaps: dict[int, list[int]]) -> pa.Table:
        dot, nearest = np.zeros(len(alive), np.int32), np.zeros(len(alive), np.uint32)
        similar: dict[int, list[int]] = {}
        if self.embeddings is not None and self.search.limit is not None:
            self._compare(unit, alive, dot=dot, nearest=nearest, similar=similar)
        without = ~alive if self.embeddings is not None else np.ones(len(alive), bool)
        columns = [pa.array(dot, mask=without), pa.array(nearest, mask=without)]
        columns += [pa.array([one.get(at) for at in range(len(alive))], LIST) for one in (overlaps, similar)]
        return pa.table(columns, schema=MATCHES)

    def _compare(
        self, unit: Unit, alive: np.ndarray, *, dot: np.ndarray, nearest: np.ndarray, similar: dict[int, list[int]]
    ) -> None:
        assert self.embeddings is not None and self.search.limit is not None
        limit, start = self.search.limit, 0
        for batch in self.embeddings.windows(unit.id, ["vector"], WINDOW_ROWS):
            here = start + np.flatnonzero(alive[start : start + len(batch)])
            points = self.search.points(fixed_bytes(batch.column(0), "<i2")[here - start])

            def compare(first: int, points: np.ndarray = points) -> tuple:
                block = points[first : first + ROWS]
                best = best_match(block, self._points)
                pairs = above(block, self._points, limit) if (best[0] > limit).any() else None
                return first, *best, pairs

            for first, dots, where, pairs in parallel(compare, range(0, len(points), ROWS)):
                at = here[first : first + len(dots)]
                dot[at], nearest[at] = dots, where
                if pairs is not None:
                    for row, item in zip(pairs[0].tolist(), pairs[1].tolist()):
                        similar.setdefault(int(at[row]), []).append(item)
            start += len(batch)


@dataclass
class FindItems(StageTransform):
    """pipeline -> matches/ of all units, and found/: for each item how many documents hold it, and a few of them."""

    version = 3

    write: WriteMatches
    found: Artifact
    seed: int

    def expand(self, before: Any) -> beam.PCollection:
        matches, items = self.target, self.write.items
        parts = before | ReadUnits(self.inventory) | "Match" >> beam.ParDo(self.write)
        send = SendFindings(matches, self.write.documents, self.seed)
        findings = (
            parts
            | "SendFindings" >> beam.ParDo(send).with_output_types(Finding)
            | "AddFindings" >> beam.CombinePerKey(add_findings)
        )
        write = WriteFound(self.found, items, self.write.search)
        found = before | "ItemsOnce" >> Start(items) | "WriteFound" >> beam.ParDo(write, beam.pvalue.AsDict(findings))
        both = (
            parts | "CommitMatches" >> Commit((matches,), self.inventory),
            found | "CommitFound" >> Commit((self.found,)),
        )
        return both | "Both" >> beam.Flatten()


@dataclass
class ContaminationScores(WriteScores):
    """OVERLAP for a document that shares an n-gram with an item, else the cosine to the nearest one, times scale**2."""

    version = 3

    matches: Artifact
    search: Search

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        table = self.matches.read(unit, ["dot", "overlaps"])
        score = np.where(not_null(table, "dot"), numbers(table, "dot", missing=0), NEVER)
        score[self._overlapping(unit)] = OVERLAP * self.search.scale**2
        return score.astype(np.int64), None

    def _overlapping(self, unit: int) -> np.ndarray:
        return read_not_null(self.matches, unit, "overlaps")

    def stats(self, unit: int, documents: pa.Table) -> dict[str, Any]:
        overlapping = self._overlapping(unit)
        similar = read_not_null(self.matches, unit, "similar")
        return {
            "overlapping": int(overlapping.sum()),
            "similar": int(similar.sum()),
            "overlapping_and_similar": int((overlapping & similar).sum()),
        }

    def extra(self, unit: int, documents: pa.Table) -> dict[str, pa.Array]:
        """item: the first one that words are shared with, else the nearest one."""
        table = self.matches.read(unit, ["nearest", "overlaps"])
        column = table["overlaps"].combine_chunks()
        item = numbers(table, "nearest", missing=0).copy()
        without = ~not_null(table, "nearest").copy()
        shared = self._overlapping(unit)
        item[shared] = column.flatten().to_numpy(zero_copy_only=False)[column.offsets.to_numpy()[:-1][shared]]
        without[shared] = False
        return {"item": pa.array(item, pa.uint32(), mask=without)}
