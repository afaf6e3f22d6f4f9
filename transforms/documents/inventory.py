"""The first stage: inputs -> inventory/, the units of a run, fixed once."""

from dataclasses import dataclass, field
from typing import Any

from sluice.transforms.corpus.inventory import SCHEMA, Planned, plan_inputs, units_to_table
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.stage import OnePart
from sluice.transforms.stages.units import units_digest


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


@dataclass
class TakeInventory(OnePart):
    """pipeline -> inventory/: lists the inputs on a worker. Fails when they changed since `digest` was taken.

    settings: what the manifest says of the inputs.
    """

    version = 3

    inputs: Inputs
    digest: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        return self.settings

    def write(self) -> dict[str, Any]:
        units, unread = self.inputs.planned()
        if units_digest(units) != self.digest:
            raise ValueError("the input files changed while they were listed; try again")
        sizes = {span.path: span.size for unit in units for span in unit.spans}
        stats = {"units": len(units), "bytes": sum(sizes.values()), "files": len(sizes), "unread": unread}
        self.target.write(0, [units_to_table(units)], SCHEMA, stats)
        return {}
