"""Embedding: the documents still in -> embeddings/, one int16 unit vector and its digest for each."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models import vectors
from sluice.models.embedder import Embedder, EmbedderConfig, load
from sluice.transforms import progress, reading
from sluice.transforms.artifacts import Artifact, ArtifactError
from sluice.transforms.prefetch import ahead
from sluice.transforms.records import Fields, Unit, Window
from sluice.transforms.stages import Commit, ReadUnits, WriteUnit
from sluice.transforms.survivors import survivors, to_fixed

# Documents whose lengths are sorted together before batches are cut: more waste less padding, fewer use less memory.
WINDOW_DOCUMENTS = 4096
WINDOW_CHARACTERS = 32_000_000


class WriteEmbeddings(WriteUnit):
    """Unit -> its part of embeddings/: rows as in documents/, null where a document is no longer in.

    With `embedder` None the vectors are those that fields.vector names.
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
    ):
        super().__init__(target)
        self.documents = documents
        self.keep = keep
        # Columns do not decide which records are valid; texts are not needed where vectors are given.
        self.fields = replace(fields, columns=())
        self.config = embedder
        self.on_unreadable = on_unreadable
        self._embedder: Embedder | None = None

    def setup(self) -> None:
        self._embedder = load(self.config) if self.config else None

    def write(self, unit: Unit) -> None:
        stats: dict[str, Any] = {"embedded": 0}
        tables = self._tables(unit, stats)
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
        self.target.write(unit.id, all_tables(), schema, stats)

    def _tables(self, unit: Unit, stats: dict[str, Any]) -> Iterator[pa.Table]:
        rows = self.documents.read(unit.id, ["row"])["row"].to_numpy()
        alive = survivors(self.keep, unit.id, len(rows))
        position = 0
        found = _grouped(reading.read_unit(unit, self.fields, on_unreadable=self.on_unreadable))
        with ahead(found) as windows:
            for window in windows:
                stop = position + len(window.rows)
                if not np.array_equal(rows[position:stop], window.rows):
                    raise ArtifactError(f"unit {unit.id} no longer has the records it had: was the input changed?")
                yield self._table(window, alive[position:stop], stats)
                position = stop
                progress.add(self.stage, len(window.rows))
        if position != len(rows):
            raise ArtifactError(f"unit {unit.id} has {position} valid records, it had {len(rows)}")

    def _table(self, window: Window, alive: np.ndarray, stats: dict[str, Any]) -> pa.Table:
        chosen = np.flatnonzero(alive)
        if self._embedder is None:
            if window.vectors is None:
                raise ArtifactError(f"no vectors in field {self.fields.vector!r}")
            found = vectors.quantise(window.vectors[chosen])
        else:
            before = asdict(self._embedder.counters)
            texts = window.texts or []
            found = vectors.quantise(self._embedder.embed([texts[index] for index in chosen]))
            for name, value in asdict(self._embedder.counters).items():
                stats[name] = stats.get(name, 0) + value - before.get(name, 0)
        stats["embedded"] += len(chosen)
        full = np.zeros((len(alive), found.shape[1]), np.int16)
        full[chosen] = found
        digests = np.zeros(len(alive), "V16")
        digests[chosen] = vectors.digests(found)
        return pa.table([to_fixed(full, alive), to_fixed(digests, alive)], schema=embedding_schema(found.shape[1]))


def embedding_schema(dimension: int) -> pa.Schema:
    """vector: int16 little-endian x dimension, unit length times 32512; digest: 16 bytes of it."""
    return pa.schema([("vector", pa.binary(2 * dimension)), ("digest", pa.binary(16))])


def _grouped(windows: Iterator[Window]) -> Iterator[Window]:
    """Join small windows up to WINDOW_DOCUMENTS or WINDOW_CHARACTERS."""
    held: list[Window] = []
    for window in windows:
        held.append(window)
        characters = sum(len(text) for one in held for text in one.texts or ())
        if sum(len(one.rows) for one in held) >= WINDOW_DOCUMENTS or characters >= WINDOW_CHARACTERS:
            yield _join(held)
            held = []
    if held:
        yield _join(held)


def _join(windows: list[Window]) -> Window:
    if len(windows) == 1:
        return windows[0]
    given = [window.vectors for window in windows if window.vectors is not None and len(window.rows)]
    return Window(
        records=sum(window.records for window in windows),
        rows=np.concatenate([window.rows for window in windows]),
        ids=[],
        texts=[text for window in windows for text in window.texts or ()],
        vectors=np.concatenate(given) if given else None,
    )


@dataclass
class Embed(beam.PTransform):
    """pipeline -> embeddings/ of all units, and its manifest, which holds the whole embedding recipe."""

    inventory: Artifact
    documents: Artifact
    embeddings: Artifact
    keep: Artifact | None
    fields: Fields
    embedder: EmbedderConfig | None
    units: int
    recipe: dict[str, Any] = field(default_factory=dict)
    on_unreadable: str = "fail"

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        write = WriteEmbeddings(
            self.embeddings,
            self.documents,
            keep=self.keep,
            fields=self.fields,
            embedder=self.embedder,
            on_unreadable=self.on_unreadable,
        )
        parts = pipeline | ReadUnits(self.inventory) | "Embed" >> beam.ParDo(write)
        return parts | Commit(artifacts=(self.embeddings,), expected=self.units, config=self.recipe)
