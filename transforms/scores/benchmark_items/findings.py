"""What is looked for of benchmark items; and what was found, counted for each item, with some documents as examples."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.models.arrays.vectors import COARSE, coarse
from sluice.models.methods.shared_words import Index
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes
from sluice.transforms.stages.stats import merge_stats
from sluice.transforms.stages.writing import report

FOUND = pa.schema(
    [
        ("benchmark", pa.string()),
        ("id", pa.string()),
        ("text", pa.string()),
        ("too_short", pa.bool_()),
        ("overlapping", pa.int64()),
        ("similar", pa.int64()),
        ("examples", pa.list_(pa.string())),
    ]
)
EXAMPLES = 3
HEAD = 200


@dataclass(frozen=True)
class Search:
    """What is looked for. ngram None: no shared words; limit None: no similarity, else a dot product at `scale`."""

    ngram: int | None
    shortest: int
    limit: int | None
    scale: int = COARSE

    def points(self, vectors: np.ndarray) -> np.ndarray:
        return coarse(vectors) if self.scale == COARSE else vectors.astype(np.float64)

    def index(self, items: Artifact) -> Index | None:
        if self.ngram is None:
            return None
        texts = [text or "" for text in items.read(0, ["text"])["text"].to_pylist()]
        return Index(texts, n=self.ngram, shortest=self.shortest)


Finding = tuple[int, tuple[int, int, tuple[tuple[int, str], ...]]]


class SendFindings(beam.DoFn):
    """Part of matches/ -> (item, (overlapping, similar, examples)) for the items that a unit's documents match."""

    def __init__(self, matches: Artifact, documents: Artifact, seed: int):
        self.matches, self.documents, self.seed = matches, documents, seed

    def process(self, part: Part) -> Iterator[Finding]:
        table = self.matches.read_unfinished(part.unit, ["overlaps", "similar"])
        documents = self.documents.read(part.unit, ["id", "id_hash"])
        ticket = seeded(fixed_bytes(documents["id_hash"], "V16"), self.seed, "examples")
        counts: dict[int, list[int]] = {}
        members: dict[int, set[int]] = {}
        for kind, name in enumerate(table.column_names):
            column = table[name].combine_chunks()
            lists = np.diff(column.offsets.to_numpy())
            for place, item in zip(np.repeat(np.arange(len(table)), lists).tolist(), column.flatten().to_pylist()):
                counts.setdefault(item, [0, 0])[kind] += 1
                members.setdefault(item, set()).add(place)
        for item, (overlapping, similar) in counts.items():
            first = sorted(members[item], key=lambda place: (int(ticket[place]), place))[:EXAMPLES]
            examples = tuple((int(ticket[place]), documents["id"][place].as_py()) for place in first)
            yield item, (overlapping, similar, examples)


def add_findings(findings: Iterable[tuple[int, int, tuple]]) -> tuple[int, int, tuple]:
    """Sums, and the first EXAMPLES documents by ticket."""
    overlapping = similar = 0
    examples: list[tuple[int, str]] = []
    for one in findings:
        overlapping, similar = overlapping + one[0], similar + one[1]
        examples = sorted([*examples, *one[2]])[:EXAMPLES]
    return overlapping, similar, tuple(examples)


class WriteFound(beam.DoFn):
    """All findings -> the one part of found/, a row for every item, and totals for each benchmark."""

    def __init__(self, target: Artifact, items: Artifact, search: Search):
        self.target, self.items, self.search = target, items, search

    def process(self, items: Artifact, findings: dict[int, tuple[int, int, tuple]]) -> Iterator[Part]:
        started = time.monotonic()
        table = items.read(0, ["benchmark", "id", "text"])
        index = self.search.index(items)
        skipped = set(index.skipped) if index is not None else set()
        rows = []
        totals: dict[str, dict[str, int]] = {}
        for number, row in enumerate(table.to_pylist()):
            overlapping, similar, examples = findings.get(number, (0, 0, ()))
            rows.append(
                row
                | {
                    "text": None if row["text"] is None else row["text"][:HEAD],
                    "too_short": number in skipped,
                    "overlapping": overlapping,
                    "similar": similar,
                    "examples": [name for _, name in examples],
                }
            )
            counted = {"items": 1, "too_short": int(number in skipped), "found": int(overlapping + similar > 0)}
            counted |= {"overlapping": overlapping, "similar": similar}
            totals[row["benchmark"]] = merge_stats([totals.get(row["benchmark"], {}), counted])
        found = self.target.existing(0) is not None
        if not found:
            self.target.write(0, [pa.Table.from_pylist(rows, FOUND)], FOUND, {"benchmarks": totals})
        part = self.target.describe(0)
        report(part, part.rows, found=found, seconds=time.monotonic() - started)
        yield part
