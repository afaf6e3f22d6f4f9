"""MinHash signatures: texts -> signatures/, 8 bytes a band for each document still in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.methods import minhash
from sluice.models.methods.minhash import Scheme
from sluice.transforms.documents.texts import Texts
from sluice.transforms.records.records import Unit
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import to_fixed
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.writing import WriteUnit


class WriteSignatures(WriteUnit):
    """Unit -> its part of signatures/: 8 bytes a band, null for documents without; with `sets`, shingle hashes too."""

    def __init__(self, target: Artifact, texts: Texts, scheme: Scheme, *, seed: int, sets: bool):
        super().__init__(target)
        self.texts, self.scheme, self.seed, self.sets = texts, scheme, seed, sets

    @property
    def schema(self) -> pa.Schema:
        bands = [pa.field("bands", pa.binary(8 * self.scheme.bands))]
        return pa.schema([*bands, pa.field("shingles", pa.large_binary())] if self.sets else bands)

    def write(self, unit: Unit) -> None:
        stats = {"signed": 0, "too_short": 0}
        self.target.write(unit.id, self._tables(unit, stats), self.schema, stats)

    def _tables(self, unit: Unit, stats: dict[str, int]) -> Iterator[pa.Table]:
        for alive, texts in self.texts.windows(unit):
            found, known = minhash.band_hashes(texts, self.scheme, seed=self.seed)
            bands = np.zeros((len(alive), self.scheme.bands), np.uint64)
            bands[alive] = found
            valid = alive.copy()
            valid[alive] = known
            columns = [to_fixed(bands, valid)]
            if self.sets:
                sets = iter(minhash.shingle_sets(texts, self.scheme))
                packed = [next(sets).astype("<u8").tobytes() if there else None for there in alive]
                columns.append(pa.array(packed, pa.large_binary()))
            stats["signed"] += int(known.sum())
            stats["too_short"] += int((~known).sum())
            yield pa.table(columns, schema=self.schema)
            progress.add(self.stage, len(alive))


@dataclass
class Sign(StageTransform):
    """pipeline -> signatures/ of all units and the manifest."""

    version = 3

    texts: Texts
    scheme: Scheme
    seed: int
    sets: bool = False

    @property
    def config(self) -> dict[str, Any]:
        how = self.scheme.shingling
        return {
            "shingles": {"of": how.of, "width": how.width, "text": how.text, "shortest": how.shortest},
            "bands": self.scheme.bands,
            "rows": self.scheme.rows,
            "threshold": self.scheme.threshold,
        }

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        write = WriteSignatures(self.target, self.texts, self.scheme, seed=self.seed, sets=self.sets)
        return units | "Sign" >> beam.ParDo(write)
