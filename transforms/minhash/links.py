"""Documents that share a band -> links/, verified or not."""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.transforms.minhash.bands import FIRST, Bands, SendBands, band_edges, link_bands
from sluice.transforms.minhash.edges import write_edges
from sluice.transforms.minhash.verify import KeepSimilar, SendSets, Verification
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.stage import GatherByUnit, StageTransform
from sluice.transforms.stages.writing import WriteGathered

# Rows of 24 bytes that one key gathers, about.
ROWS_PER_KEY = 4_000_000


class WriteLinks(WriteGathered):
    """Unit and its FIRST rows -> its part of links/: as few links as connect what shares bands."""

    dtype: np.dtype = FIRST

    def __init__(self, target: Artifact, bands: Bands):
        super().__init__(target)
        self.bands = bands

    def write(self, unit: Unit) -> None:
        write_edges(self.target, unit.id, band_edges(self.bands, unit.id, self.rows, contract=True))


@dataclass
class LinkBands(StageTransform):
    """pipeline -> links/ of all units; with `verification` only pairs that are really similar, in units of the first.

    documents: how many have a signature.
    """

    version = 3

    bands: Bands
    documents: int
    verification: Verification | None = None

    @property
    def config(self) -> dict[str, Any]:
        return {"bands": self.bands.count}

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        keys = self.documents * self.bands.count // ROWS_PER_KEY + 1
        firsts = (
            units
            | "SendBands" >> beam.ParDo(SendBands(self.bands, keys)).with_output_types(tuple[int, bytes])
            | "GroupByBand" >> beam.GroupByKey()
            | "LinkBands" >> beam.FlatMap(link_bands).with_output_types(tuple[int, bytes])
        )
        gathered = (units, firsts) | GatherByUnit()
        if self.verification is None:
            return gathered | "WriteLinks" >> beam.ParDo(WriteLinks(self.target, self.bands))
        send = SendSets(self.bands, self.verification)
        sets = gathered | "SendSets" >> beam.ParDo(send).with_output_types(tuple[int, Any])
        return (
            (units, sets)
            | "GatherSets" >> GatherByUnit()
            | "KeepSimilar" >> beam.ParDo(KeepSimilar(self.target, self.verification))
        )
