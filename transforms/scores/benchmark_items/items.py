"""Benchmark items: JSON lines (or any other format of documents) -> one part, with each item's vector where wanted.

Benchmarks are small and chosen by whoever runs this, so a bad line is an error, not a reject.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.models.arrays import vectors
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.documents.inventory import units_digest
from sluice.transforms.records.records import Fields, Unit, Window
from sluice.transforms.stages import memory
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, to_fixed
from sluice.transforms.stages.manifests import digest_of
from sluice.transforms.stages.stage import OnePart

MOST_ITEMS = 1_000_000
UNIT_BYTES = 128 << 20


class BadItems(ValueError):
    """A benchmark file that cannot be used."""


@dataclass(frozen=True)
class Items:
    """Where benchmark items are: files, and the fields of a record. vector None: the embedder's, of the text."""

    paths: tuple[str, ...]
    text: str | None = "text"
    id: str | None = None
    vector: str | None = None

    def units(self) -> list[Unit]:
        return plan_units(self.paths, unit_bytes=UNIT_BYTES)

    def digest(self) -> str:
        """Changes with the files and with the fields that are read. Raises FileNotFoundError."""
        return digest_of([units_digest(self.units()), self.text, self.id, self.vector])

    def windows(self) -> Iterator[tuple[str, Window]]:
        """(benchmark, its records) by path; a benchmark is named by its file. Raises BadItems."""
        fields = Fields(self.text, self.id, self.vector)
        count = 0
        for unit in self.units():
            for span in unit.spans:
                one = Unit(unit.id, unit.format, unit.compression, (span,))
                for window in reading.read_unit(one, fields):
                    if window.rejects:
                        bad = window.rejects[0]
                        raise BadItems(f"{span.path}, record {bad.row}: {bad.reason} ({bad.head[:80]!r})")
                    count += len(window.rows)
                    if count > MOST_ITEMS:
                        raise BadItems(f"there are more than {MOST_ITEMS:,} benchmark items")
                    yield span.relative.rsplit("/", 1)[-1].split(".")[0], window
        if not count:
            raise BadItems(f"there are no benchmark items in {', '.join(self.paths)}")


@dataclass
class ReadItems(OnePart):
    """pipeline -> items in the order of files and records: benchmark, id, text, and with `embed` the vector."""

    version = 3

    items: Items
    embedder: EmbedderConfig | None
    embed: bool

    @property
    def worker_memory(self) -> int:
        """Bytes that the one worker needs, as transforms.stages.memory counts them."""
        return memory.PROCESS + (memory.MODEL_RUNTIME if self.embed and self.embedder else 0)

    def write(self) -> dict[str, Any]:
        if self.target.existing(0) is not None:
            return {}
        tables = list(self._tables())
        stats: dict[str, Any] = {"items": sum(map(len, tables))}
        if self.embed:
            widths = {table.schema.field("vector").type.byte_width // 2 for table in tables}
            if len(widths) > 1:
                raise BadItems(f"benchmark items have vectors of {sorted(widths)} numbers")
            stats["max_dimension"] = stats["min_dimension"] = widths.pop()
        self.target.write(0, tables, tables[0].schema, stats)
        return {}

    def _tables(self) -> Iterator[pa.Table]:
        embedder = load(self.embedder) if self.embedder is not None and self.embed else None
        for benchmark, window in self.items.windows():
            texts: list[Any] = [None] * len(window.rows) if window.texts is None else list(window.texts)
            columns: dict[str, Any] = {
                "benchmark": pa.array([benchmark] * len(window.rows), pa.string()),
                "id": pa.array(window.ids, pa.string()),
                "text": pa.array(texts, pa.string()),
            }
            if self.embed:
                given = window.vectors if embedder is None else embedder.embed(window.texts or [])
                if given is None:
                    raise BadItems(f"benchmark {benchmark} has no vectors in field {self.items.vector!r}")
                columns["vector"] = to_fixed(vectors.quantise(np.asarray(given)))
            yield pa.table(columns)


def item_vectors(items: Artifact) -> np.ndarray:
    """int16 [m, d] of a finished artifact of items."""
    return fixed_bytes(items.read(0, ["vector"])["vector"], "<i2")
