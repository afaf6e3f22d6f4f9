"""The first stage: inputs -> inventory/, the units of a run, fixed once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from sluice.transforms.corpus.inventory import SCHEMA, Planned, plan_inputs, units_to_table
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact, Part, digest_of
from sluice.transforms.stages.stage import Commit, StageTransform, Start, report


@dataclass(frozen=True)
class Inputs:
    """What `plan_inputs` takes."""

    paths: tuple[str, ...]
    format: str | None
    unit_bytes: int

    def plan(self) -> list[Unit]:
        return self.planned().units

    def planned(self) -> Planned:
        return plan_inputs(self.paths, format=self.format, unit_bytes=self.unit_bytes)


def units_digest(units: Sequence[Unit]) -> str:
    """Changes with any file's path, size or etag, and with how units are cut."""
    return digest_of([(unit.id, unit.format, unit.compression, unit.spans) for unit in units])


@dataclass
class TakeInventory(StageTransform):
    """pipeline -> inventory/: lists the inputs on a worker. Fails when they changed since `digest` was taken."""

    version = 3

    inputs: Inputs
    digest: str
    inventory: Artifact
    config: dict[str, Any]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        parts = pipeline | "Inputs" >> Start(self.inputs) | "Plan" >> beam.Map(self._write)
        return parts | Commit(artifacts=(self.inventory,), expected=1, config=self.config)

    def _write(self, inputs: Inputs) -> Part:
        started = time.monotonic()
        units, unread = inputs.planned()
        if units_digest(units) != self.digest:
            raise ValueError("the input files changed while they were listed; try again")
        size = sum({span.path: span.size for unit in units for span in unit.spans}.values())
        stats = {
            "units": len(units),
            "bytes": size,
            "files": len({s.path for unit in units for s in unit.spans}),
            "unread": unread,
        }
        self.inventory.discard_damaged(0)
        self.inventory.write(0, [units_to_table(units)], SCHEMA, stats)
        part = self.inventory.describe(0)
        report(part, part.rows, found=False, seconds=time.monotonic() - started)
        return part
