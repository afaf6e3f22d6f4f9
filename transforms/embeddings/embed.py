"""Embedding: the documents still in -> embeddings/, one int16 unit vector and its digest for each."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays import device, vectors
from sluice.models.checkpoints.files import WEIGHTS, local_directory
from sluice.models.embedders.load import Embedder, EmbedderConfig, load
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.prefetch import ahead
from sluice.transforms.embeddings.unfinished import Unfinished
from sluice.transforms.records.records import Fields, Unit, Window
from sluice.transforms.records.windows import regrouped
from sluice.transforms.scores.base import token_weights
from sluice.transforms.stages import memory, progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, numbers, survivors, to_fixed
from sluice.transforms.stages.commit import Commit
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.stats import merge_stats
from sluice.transforms.stages.writing import WriteUnit
from sluice.transforms.storage.damage import ArtifactError

# A window is as many documents as the embedder wants, or GIVEN with their vectors, or so many characters.
GIVEN = 4096
WINDOW_CHARACTERS = 32_000_000
NO_VECTOR = "the model computes no finite vector for it"


class WriteEmbeddings(WriteUnit):
    """Unit -> its part of embeddings/: rows as in documents/, null where a document is no longer in.

    With `embedder` None the vectors are those that fields.vector names. `previous`: embeddings by the same embedder for
    other survivors of the same documents; a row that has its vector there is not embedded again. `tokens_known`: the
    documents' tokens were counted by the model's own tokenizer, so what truncation cuts need not be counted again.
    `accelerator`: one was asked for, so a worker without it fails instead of taking its time on the CPU.

    A document that the model computes no vector for, because it is not finite or zero, has a null row too; `reasons`
    counts it.
    """

    def __init__(
        self,
        target: Artifact,
        documents: Artifact,
        *,
        keep: Artifact | None,
        fields: Fields,
        embedder: EmbedderConfig | None,
        on_unreadable: str = "fail",
        previous: Artifact | None = None,
        tokens_known: bool = False,
        accelerator: bool = False,
    ):
        super().__init__(target)
        self.accelerator = accelerator
        self.documents = documents
        self.keep = keep
        # Columns do not decide which records are valid; texts are not needed where vectors are given.
        self.fields = replace(fields, columns=())
        self.config = embedder
        self.on_unreadable = on_unreadable
        self.previous = previous
        self.tokens_known = tokens_known
        self._embedder: Embedder | None = None

    def setup(self) -> None:
        if self.accelerator and device.on_cpu():
            raise ValueError(
                "an accelerator was asked for and JAX finds none: has the image its libraries, the machine its driver?"
            )
        self._embedder = load(self.config) if self.config else None

    def write(self, unit: Unit) -> int | None:
        stats: dict[str, Any] = {"records": 0, "embedded": 0, "reused": 0, "documents": 0, "reasons": {}}
        unfinished = Unfinished(self.target, unit.id)
        tables = self._tables(unit, unfinished, stats)
        first = next(tables, None)
        schema = (
            first.schema if first is not None else embedding_schema(self._embedder.dimension if self._embedder else 1)
        )

        def all_tables() -> Iterator[pa.Table]:
            if first is not None:
                yield first
                yield from tables

        if first is not None:
            stats["max_dimension"] = stats["min_dimension"] = schema.field("vector").type.byte_width // 2
        if self._embedder is not None:
            stats["dtypes"] = {self._embedder.dtype: 1}
        self.target.write(unit.id, all_tables(), schema, stats)
        unfinished.drop()
        return sum(len(table) for table, _ in unfinished.windows)

    def _tables(self, unit: Unit, unfinished: Unfinished, total: dict[str, Any]) -> Iterator[pa.Table]:
        """The part's windows; what they count is in `total` after each."""
        # A thread reads and tokenizes the next window while the model computes this one.
        with ahead(self._work(unit, unfinished.windows)) as found:
            for work in found:
                if isinstance(work, _Work):
                    table, stats = self._table(work)
                    if self._embedder:
                        unfinished.add(table, stats)
                    # Those that a model embedded have been counted a batch at a time: a window can take minutes.
                    progress.add(self.stage, len(work.alive) - (len(work.chosen) if self._embedder else 0))
                else:
                    table, stats = work
                    progress.add(self.stage, len(table))
                total.update(merge_stats([total, stats]))
                yield table

    def _work(
        self, unit: Unit, done: list[tuple[pa.Table, dict[str, Any]]]
    ) -> "Iterator[_Work | tuple[pa.Table, dict[str, Any]]]":
        documents = self.documents.read(unit.id, ["row", "tokens"])
        rows = numbers(documents, "row")
        tokens = token_weights(documents) if self.tokens_known else None
        alive = survivors(self.keep, unit.id, len(rows))
        old = self._previous(unit.id)
        position = 0
        documents_at_once = self._embedder.window if self._embedder else GIVEN
        found = reading.read_unit(unit, self.fields, on_unreadable=self.on_unreadable)
        windows = regrouped(found, documents=documents_at_once, characters=WINDOW_CHARACTERS)
        for number, window in enumerate(windows):
            stop = position + len(window.rows)
            if not np.array_equal(rows[position:stop], window.rows):
                raise ArtifactError(f"unit {unit.id} no longer has the records it had: was the input changed?")
            if number < len(done) and len(done[number][0]) == len(window.rows):
                yield done[number]
            else:
                had = None if old is None else old.slice(position, stop - position)
                counted = None if tokens is None else tokens[position:stop]
                yield self._prepared(window, alive[position:stop], had, counted)
            position = stop
        if position != len(rows):
            raise ArtifactError(f"unit {unit.id} has {position} valid records, it had {len(rows)}")

    def _prepared(
        self, window: Window, alive: np.ndarray, old: pa.ChunkedArray | None, tokens: np.ndarray | None
    ) -> "_Work":
        known = np.zeros(len(alive), bool) if old is None else alive & old.is_valid().to_numpy()
        chosen = np.flatnonzero(alive & ~known)
        if self._embedder is None:
            if window.vectors is None:
                raise ArtifactError(f"no vectors in field {self.fields.vector!r}")
            return _Work(alive, known, chosen, old, window.vectors[chosen])
        texts = window.texts or []
        counted = None if tokens is None else tokens[chosen]
        return _Work(
            alive, known, chosen, old, self._embedder.prepare([texts[index] for index in chosen], tokens=counted)
        )

    def _previous(self, unit: int) -> pa.ChunkedArray | None:
        """The vectors that a unit had; None when there are none, or another run has just replaced them."""
        if self.previous is None or self._embedder is None:
            return None
        try:
            return self.previous.read(unit, ["vector"])["vector"]
        except (FileNotFoundError, ArtifactError):
            return None

    def _table(self, work: "_Work") -> tuple[pa.Table, dict[str, Any]]:
        """A window's rows, and what it adds to the part's stats."""
        alive, known, chosen, old = work.alive, work.known, work.chosen, work.old
        given, valid, stats = self._vectors(work)
        found = vectors.quantise(given[valid])
        stats |= {
            "records": int(alive.sum()),
            "embedded": len(found),
            "reused": int(known.sum()),
            "documents": len(found) + int(known.sum()),
            "reasons": {NO_VECTOR: len(chosen) - len(found)} if len(found) < len(chosen) else {},
        }
        full = np.zeros((len(alive), found.shape[1]), np.int16)
        full[chosen[valid]] = found
        if old is not None and known.any():
            full[known] = fixed_bytes(old, "<i2")[known]
        there = known.copy()
        there[chosen[valid]] = True
        digests = np.zeros(len(alive), "V16")
        digests[there] = vectors.digests(full[there])
        table = pa.table([to_fixed(full, there), to_fixed(digests, there)], schema=embedding_schema(found.shape[1]))
        return table, stats

    def _vectors(self, work: "_Work") -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """float32 [chosen, d] of the chosen documents, whether each has a vector, and what the embedder counted."""
        if self._embedder is None:
            return work.given, np.ones(len(work.chosen), bool), {}
        before = asdict(self._embedder.counters)
        found, valid = self._embedder.compute(work.given, done=partial(progress.add, self.stage))
        counted = asdict(self._embedder.counters)
        return found, valid, {name: counted[name] - before[name] for name in counted if name != "documents"}


class _Work(NamedTuple):
    """What is to be done for a window: which documents are still in [n], which have a vector in `old`, and the places
    of the others, with what the embedder prepared of their texts, or their vectors where these are given.
    """

    alive: np.ndarray
    known: np.ndarray
    chosen: np.ndarray
    old: pa.ChunkedArray | None
    given: Any


def embedding_schema(dimension: int) -> pa.Schema:
    """vector: int16 little-endian x dimension, unit length times 32512; digest: 16 bytes of it."""
    return pa.schema([("vector", pa.binary(2 * dimension)), ("digest", pa.binary(16))])


@dataclass
class Embed(StageTransform):
    """pipeline -> embeddings/ of all units, and its manifest, whose configuration is `embedder`, how the vectors were
    made (`recipe`), and `documents`, of what: embeddings that agree in both can lend each other their rows."""

    version = 3

    documents: Artifact
    keep: Artifact | None
    fields: Fields
    embedder: EmbedderConfig | None
    recipe: dict[str, Any] = field(default_factory=dict)
    rows: str = ""
    on_unreadable: str = "fail"
    previous: Artifact | None = None
    tokens_known: bool = False
    max_reject_share: float | None = None
    accelerator: bool = False

    @property
    def worker_memory(self) -> int:
        """Bytes that a worker needs, as transforms.stages.memory counts them."""
        weights = 0
        if self.embedder is not None:
            files = Path(local_directory(self.embedder.model)).rglob("*")
            weights = sum(path.stat().st_size for path in files if path.suffix in WEIGHTS)
        return memory.embedding(weights=weights, window_characters=WINDOW_CHARACTERS)

    @property
    def config(self) -> dict[str, Any]:
        # Vectors of another version are not to be lent; the first releases named none.
        version = {} if self.version == 3 else {"version": self.version}
        return {"embedder": self.recipe, "documents": self.rows, **version}

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        write = WriteEmbeddings(
            self.target,
            self.documents,
            keep=self.keep,
            fields=self.fields,
            embedder=self.embedder,
            on_unreadable=self.on_unreadable,
            previous=self.previous,
            tokens_known=self.tokens_known,
            accelerator=self.accelerator,
        )
        return units | "Embed" >> beam.ParDo(write)

    def finished(self, parts: beam.PCollection) -> beam.PCollection:
        return parts | Commit((self.target,), self.inventory, self.config, self.max_reject_share)
