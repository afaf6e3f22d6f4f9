"""The shape that every stage shares: units in, one part per unit written by a DoFn, a manifest at the end.

The graph has a handful of transforms whatever the number of units: the unit list is read from the inventory by a
worker.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import apache_beam as beam

from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.commit import Commit
from sluice.transforms.stages.units import read_units
from sluice.transforms.stages.writing import WriteUnit, report


class Start(beam.PTransform):
    """A pipeline, or what a stage before in the same pipeline returned -> one value, once that stage is finished."""

    def __init__(self, value: Any):
        self.value = value

    def expand(self, before: Any) -> beam.PCollection:
        if not isinstance(before, beam.PCollection):
            return before | beam.Create([self.value])
        return before | beam.combiners.Count.Globally() | beam.Map(lambda _, value: value, self.value)


class ReadUnits(beam.PTransform):
    """A pipeline, or a stage before -> the units of an inventory, spread over the workers."""

    def __init__(self, inventory: Artifact):
        self.inventory = inventory

    def expand(self, before: Any) -> beam.PCollection[Unit]:
        return (
            before
            | "Inventory" >> Start(self.inventory)
            | "ReadInventory" >> beam.FlatMap(read_units).with_output_types(Unit)
            | "SpreadUnits" >> beam.Reshuffle()
        )


@dataclass
class StageTransform(beam.PTransform):
    """A pipeline (or what a stage before in the same pipeline returned) -> the stage's artifacts, finished.

    inventory: its units have a part each; target: the artifact that they are parts of. A subclass says by `parts` how
    they come about; one whose units are not the first thing it needs defines `expand`, which ends with `finished`.
    """

    version: ClassVar[int]

    inventory: Artifact
    target: Artifact

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        """The parts of all units, and totals as Commit takes them."""
        raise TypeError(f"{type(self).__name__} must define parts")

    @property
    def config(self) -> dict[str, Any]:
        """What the manifest says about how the artifact was made."""
        return {}

    def expand(self, before: Any) -> beam.PCollection:
        return self.finished(self.parts(before | ReadUnits(self.inventory)))

    def finished(self, parts: beam.PCollection) -> beam.PCollection:
        return parts | Commit((self.target,), self.inventory, self.config)


@dataclass
class WriteUnits(StageTransform):
    """A stage whose units need nothing of each other: `write` makes the part of each, and has the stage's version.

    settings: what the manifest says of how it was made.
    """

    write: WriteUnit
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        return self.settings

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        return units | "Write" >> beam.ParDo(self.write)


@dataclass
class OnePart(beam.PTransform):
    """A pipeline (or what a stage before returned) -> an artifact of one part, which one worker writes."""

    version: ClassVar[int]

    target: Artifact

    def write(self) -> dict[str, Any]:
        """Write part 0 of the target, unless an earlier try did; returns further totals for its manifest."""
        raise TypeError(f"{type(self).__name__} must define write")

    @property
    def config(self) -> dict[str, Any]:
        """What the manifest says about how the artifact was made."""
        return {}

    def expand(self, before: Any) -> beam.PCollection:
        written = before | "Once" >> Start(self.target) | "Write" >> beam.FlatMap(self._written)
        return written | Commit((self.target,), config=self.config)

    def _written(self, target: Artifact) -> Iterator[Part | dict[str, Any]]:
        started = time.monotonic()
        found = target.existing(0) is not None
        totals = self.write()
        part = target.describe(0)
        report(part, part.rows, found=found, seconds=time.monotonic() - started)
        yield part
        if totals:
            yield {"folder": target.url, "totals": totals}


class GatherByUnit(beam.PTransform):
    """(units, (unit id, block of rows)) -> (unit id, its Unit and all its blocks), for every unit."""

    def expand(self, both: Any) -> beam.PCollection:
        units, blocks = both
        named = units | "KeyUnits" >> beam.Map(lambda unit: (unit.id, unit)).with_output_types(tuple[int, Unit])
        return (named, blocks) | "UnitsAndBlocks" >> beam.Flatten() | "GroupByUnit" >> beam.GroupByKey()


class Learn(beam.PTransform):
    """Parts -> the same parts, and the totals that `learner` yields: a DoFn that gets (0, all parts), on one worker."""

    def __init__(self, learner: beam.DoFn):
        self.learner = learner

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        totals = (
            parts
            | "ToOne" >> beam.Map(lambda part: (0, part)).with_output_types(tuple[int, Part])
            | "Gather" >> beam.GroupByKey()
            | "Learn" >> beam.ParDo(self.learner)
        )
        return (parts, totals) | "PartsAndTotals" >> beam.Flatten()
