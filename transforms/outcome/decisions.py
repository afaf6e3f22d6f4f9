"""What became of every document, and the kept ones written out."""

import logging
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.transforms import storage
from sluice.transforms.corpus import reading
from sluice.transforms.outcome.copied import corpus_folder, damaged_files
from sluice.transforms.outcome.fates import KEPT
from sluice.transforms.outcome.losses import ClusteredStep, FindLosses
from sluice.transforms.records.records import Fields, Unit
from sluice.transforms.scores.base import NEVER, token_weights
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import numbers, survivors
from sluice.transforms.stages.commit import drop_other_keys
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.writing import WriteUnit
from sluice.transforms.storage.sealed import checksum_of

log = logging.getLogger("sluice")

DECISIONS = pa.schema(
    [
        ("unit", pa.uint32()),
        ("row", pa.uint32()),
        ("id", pa.string()),
        ("fate", pa.string()),
        ("score", pa.float64()),
        ("threshold", pa.float64()),
        ("neighbour_unit", pa.uint32()),
        ("neighbour_row", pa.uint32()),
    ]
)


@dataclass(frozen=True)
class DecidedStep:
    """A finished step: its name, scores and keep masks; `scale` turns its scores into shown ones (score / scale).

    clusters: its last clustering, of the documents that were still in after `before` (None: all); None without one.
    """

    name: str
    scores: Artifact
    keep: Artifact
    scale: float
    threshold: float | None
    clusters: Artifact | None = None
    before: Artifact | None = None

    @property
    def described(self) -> list[str | float | None]:
        """What decisions/ are made of, for their key."""
        return [self.name, self.scale, self.threshold, self.scores.digest, self.keep.digest]


class WriteDecisions(WriteUnit):
    """Unit -> one row per document: `fate` is kept or the step that removed it, with the score and threshold there."""

    def __init__(self, target: Artifact, documents: Artifact, steps: tuple[DecidedStep, ...]):
        super().__init__(target)
        self.documents, self.steps = documents, steps

    def write(self, unit: Unit) -> None:
        documents = self.documents.read(unit.id, ["row", "id", "tokens"])
        size = len(documents)
        fate = np.full(size, len(self.steps))
        score, threshold = np.full(size, np.nan), np.full(size, np.nan)
        neighbour = {name: np.full(size, 2**32 - 1, np.uint32) for name in ("neighbour_unit", "neighbour_row")}
        before = np.ones(size, bool)
        for number, step in enumerate(self.steps):
            after = survivors(step.keep, unit.id, size)
            if (after & ~before).any():
                raise ValueError(f"{step.name} keeps documents that were removed before it, in unit {unit.id}")
            table = self.scores_of(step, unit.id)
            # The last step's score stays with the documents it kept; every removed one has its own step's.
            shown = before if number == len(self.steps) - 1 else before & ~after
            values = numbers(table, "score")
            score[shown] = values[shown]
            for name, column in neighbour.items():
                column[shown] = numbers(table, name, missing=2**32 - 1)[shown]
            if step.threshold is not None:
                threshold[shown] = step.threshold
            fate[before & ~after] = number
            before = after
        names = np.array([*(step.name for step in self.steps), KEPT], dtype=object)
        tokens = token_weights(documents)
        without = neighbour["neighbour_row"] == 2**32 - 1
        table = pa.table(
            {
                "unit": np.full(size, unit.id, np.uint32),
                "row": documents["row"],
                "id": documents["id"],
                "fate": pa.array(names[fate], pa.string()),
                "score": pa.array(score, mask=~np.isfinite(score)),
                "threshold": pa.array(threshold, mask=np.isnan(threshold)),
                **{name: pa.array(column, mask=without) for name, column in neighbour.items()},
            },
            schema=DECISIONS,
        )
        stats = {
            "documents": size,
            "fates": {name: int((fate == number).sum()) for number, name in enumerate(names)},
            "tokens": {name: int(tokens[fate == number].sum()) for number, name in enumerate(names)},
        }
        self.target.write(unit.id, [table], DECISIONS, stats)
        progress.add(self.stage, size)

    @staticmethod
    def scores_of(step: DecidedStep, unit: int) -> pa.Table:
        """A step's scores in shown units (cosines for similarities), null where it had nothing against a document."""
        table = step.scores.read(unit)
        raw = numbers(table, "score").astype(np.float64)
        raw[raw == float(NEVER)] = np.nan
        return table.set_column(0, "score", pa.array(raw / step.scale))


@dataclass
class Decide(StageTransform):
    """pipeline -> decisions/ of all units, and its manifest, whose totals name what lost too much.

    lost_share: as FindLosses has it.
    """

    version = 3

    documents: Artifact
    steps: tuple[DecidedStep, ...]
    lost_share: float = 0.01

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        parts = units | "Decide" >> beam.ParDo(WriteDecisions(self.target, self.documents, self.steps))
        clustered = tuple(ClusteredStep(s.name, s.clusters, s.before, s.keep) for s in self.steps if s.clusters)
        find = FindLosses(self.target.url, self.documents, self.steps[-1].keep, clustered, share=self.lost_share)
        return (parts, parts | find) | "PartsAndLosses" >> beam.Flatten()


class WriteCorpus(WriteUnit):
    """Unit -> its kept records in corpus/, copied from the input in its own format; its part lists the files."""

    def __init__(
        self,
        target: Artifact,
        documents: Artifact,
        *,
        keep: Artifact | None,
        fields: Fields,
        on_unreadable: str = "fail",
    ):
        super().__init__(target)
        self.documents, self.keep, self.fields, self.on_unreadable = documents, keep, fields, on_unreadable

    @property
    def folder(self) -> str:
        return corpus_folder(self.target)

    def rows_of(self, part: Part) -> int:
        return part.stats["kept"]

    def existing(self, unit: Unit) -> Part | None:
        found = super().existing(unit)
        if found is not None:
            for name, problem in damaged_files(self.folder, self.target.read_unfinished(unit.id)):
                log.warning("%s/%s is damaged: %s; it is made again", self.folder, name, problem)
                found = None
        return found

    def write(self, unit: Unit) -> None:
        # Copying again after a crash replaces what is there by the same bytes; the list of names, which is the part,
        # makes sure that all of a unit's files are there.
        table = self.documents.read(unit.id, ["row"])
        keep = np.zeros(self.documents.part(unit.id)["stats"]["records"], bool)
        keep[numbers(table, "row")[survivors(self.keep, unit.id, len(table))]] = True
        names = reading.export_unit(
            unit,
            keep,
            storage.join(self.folder, self.target.path(unit.id, "").rsplit("/", 1)[-1]),
            max_document_bytes=self.fields.max_document_bytes,
            on_unreadable=self.on_unreadable,
        )
        written = sum(count for _, count in names)
        if written != keep.sum():
            raise ValueError(f"unit {unit.id}: {written} documents were written, {keep.sum()} are kept")
        rows: dict[str, list] = {"name": [], "documents": [], "bytes": [], "crc32c": []}
        for name, count in names:
            with storage.local_copy(storage.join(self.folder, name)) as path:
                checksum, size = checksum_of(path)
            for column, value in zip(rows, (name, count, size, checksum)):
                rows[column].append(value)
        schema = pa.schema(
            [("name", pa.string()), ("documents", pa.int64()), ("bytes", pa.int64()), ("crc32c", pa.int64())]
        )
        stats = {"kept": written, "corpus_bytes": sum(rows["bytes"]), "files": len(names)}
        self.target.write(unit.id, [pa.table(rows, schema=schema)], schema, stats)
        progress.add(self.stage, len(table))


@dataclass
class ExportCorpus(StageTransform):
    """pipeline -> corpus/: the kept documents in the input's own format; the target is at corpus/_parts."""

    version = 3

    documents: Artifact
    keep: Artifact | None
    fields: Fields
    on_unreadable: str = "fail"

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        write = WriteCorpus(
            self.target, self.documents, keep=self.keep, fields=self.fields, on_unreadable=self.on_unreadable
        )
        return units | "Copy" >> beam.ParDo(write)

    def finished(self, parts: beam.PCollection) -> beam.PCollection:
        return super().finished(parts) | "DropStale" >> beam.Map(
            lambda _, corpus: drop_other_keys(corpus_folder(corpus), corpus.key), self.target
        )
