"""The stage that reads benchmark items, and embeds them where that is wanted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.models.arrays import vectors
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.transforms.scores.benchmark_items.items import BadItems, Items
from sluice.transforms.stages import memory
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, to_fixed
from sluice.transforms.stages.stage import OnePart


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
