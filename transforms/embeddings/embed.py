"""Embedding: the documents still in -> embeddings/, one int16 unit vector and its digest for each."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays import device
from sluice.models.checkpoints.files import weight_bytes
from sluice.models.embedders.load import Embedder, EmbedderConfig, load
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.prefetch import ahead
from sluice.transforms.embeddings.unfinished import Unfinished
from sluice.transforms.embeddings.windows import Rows, choose, embedding_schema, in_step
from sluice.transforms.records.records import Fields, Unit, Window
from sluice.transforms.records.windows import regrouped
from sluice.transforms.scores.base import token_weights
from sluice.transforms.stages import memory, progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import numbers, survivors
from sluice.transforms.stages.commit import Commit
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.stats import merge_stats
from sluice.transforms.stages.writing import WriteUnit
from sluice.transforms.storage.damage import ArtifactError

# A window is as many documents as the embedder wants, or GIVEN with their vectors, or so many characters.
GIVEN = 4096
WINDOW_CHARACTERS = 32_000_000


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
        unfinished = Unfinished(self.target, unit.id)
        stats: dict[str, Any] = {"records": 0, "embedded": 0, "reused": 0, "documents": 0, "reasons": {}}
        tables = self._tables(unit, unfinished)
        first = next(tables, None)
        if first is None:
            schema = embedding_schema(self._embedder.dimension if self._embedder else 1)
        else:
            # Vectors that are given have a dimension once one is read.
            schema = first[0].schema
            stats["max_dimension"] = stats["min_dimension"] = schema.field("vector").type.byte_width // 2
        if self._embedder is not None:
            stats["dtypes"] = {self._embedder.dtype: 1}
        with self.target.writer(unit.id, schema, stats) as write:
            for table, counted in chain([first] if first else [], tables):
                write(table)
                stats.update(merge_stats([stats, counted]))
        unfinished.drop()
        return sum(len(table) for table, _ in unfinished.windows)

    def _tables(self, unit: Unit, unfinished: Unfinished) -> Iterator[tuple[pa.Table, dict[str, Any]]]:
        """The part's windows, each with what it adds to the part's stats."""
        # A thread reads and tokenizes the next window while the model computes this one.
        with ahead(self._prepared(unit, unfinished.windows)) as windows:
            for number, (rows, given) in enumerate(windows):
                if rows is None:
                    table, stats = unfinished.windows[number]
                    progress.add(self.stage, len(table))
                else:
                    vectors, valid, counted = self._vectors(rows, given)
                    table, stats = rows.together(vectors, valid)
                    stats = counted | stats
                    if self._embedder:
                        unfinished.add(table, stats)
                    # Those that a model embedded have been counted a batch at a time: a window can take minutes.
                    progress.add(self.stage, len(rows.alive) - (len(rows.chosen) if self._embedder else 0))
                yield table, stats

    def _prepared(self, unit: Unit, done: list[tuple[pa.Table, dict[str, Any]]]) -> Iterator[tuple[Rows | None, Any]]:
        """For each window its rows, and what is to be embedded: what the embedder prepared of their texts, or vectors
        where these are given. None for a window that an earlier try has done."""
        documents = self.documents.read(unit.id, ["row", "tokens"])
        tokens = token_weights(documents) if self.tokens_known else None
        alive = survivors(self.keep, unit.id, len(documents))
        old = self._previous(unit.id)
        records = reading.read_unit(unit, self.fields, on_unreadable=self.on_unreadable)
        size = self._embedder.window if self._embedder else GIVEN
        windows = regrouped(records, documents=size, characters=WINDOW_CHARACTERS)
        for number, (here, window) in enumerate(in_step(unit, numbers(documents, "row"), windows)):
            if number < len(done) and len(done[number][0]) == len(window.rows):
                yield None, None
                continue
            rows = choose(alive[here], None if old is None else old.slice(here.start, len(window.rows)))
            yield rows, self._given(window, rows, None if tokens is None else tokens[here])

    def _given(self, window: Window, rows: Rows, tokens: np.ndarray | None) -> Any:
        if self._embedder is None:
            if window.vectors is None:
                raise ArtifactError(f"no vectors in field {self.fields.vector!r}")
            return window.vectors[rows.chosen]
        texts = window.texts or []
        counted = None if tokens is None else tokens[rows.chosen]
        return self._embedder.prepare([texts[index] for index in rows.chosen], tokens=counted)

    def _previous(self, unit: int) -> pa.ChunkedArray | None:
        """The vectors that a unit had; None when there are none, or another run has just replaced them."""
        if self.previous is None or self._embedder is None:
            return None
        try:
            return self.previous.read(unit, ["vector"])["vector"]
        except (FileNotFoundError, ArtifactError):
            return None

    def _vectors(self, rows: Rows, given: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """float32 [chosen, d] of the chosen rows, whether each has a vector, and what the embedder counted."""
        if self._embedder is None:
            return given, np.ones(len(rows.chosen), bool), {}
        before = asdict(self._embedder.counters)
        vectors, valid = self._embedder.compute(given, done=partial(progress.add, self.stage))
        counted = asdict(self._embedder.counters)
        return vectors, valid, {name: counted[name] - before[name] for name in counted if name != "documents"}


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
        weights = 0 if self.embedder is None else weight_bytes(self.embedder.model)
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
