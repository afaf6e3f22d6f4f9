"""The shape that every stage shares: units in, one part per unit written by a DoFn, a manifest at the end.

The graph has a handful of transforms whatever the number of units: the unit list is read from the inventory by a
worker.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import apache_beam as beam
import numpy as np

from sluice.transforms.corpus.inventory import table_to_units
from sluice.transforms.records.records import Unit
from sluice.transforms.records.validation import is_fault
from sluice.transforms.stages import artifacts, counters, progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.stats import merge_stats

log = logging.getLogger("sluice")


def read_units(inventory: Artifact) -> list[Unit]:
    """The units of a finished inventory, by id."""
    return table_to_units(inventory.read(0))


class StageTransform(beam.PTransform):
    """pipeline -> the artifacts of a stage, finished."""

    version: ClassVar[int]


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


class WriteUnit(beam.DoFn):
    """Unit -> Part, by `write`; a unit that already has its part is not done again."""

    def __init__(self, target: Artifact):
        self.target = target

    @property
    def stage(self) -> str:
        return stage_of(self.target.url)

    def write(self, unit: Unit) -> int | None:
        """Write the unit's part (and any further files, before it) into self.target.

        Returns how many of its rows an earlier try had done, None for none.
        """
        raise TypeError(f"{type(self).__name__} must define write")

    def existing(self, unit: Unit) -> Part | None:
        """The unit's part in self.target, or None where there is something to write."""
        return self.target.existing(unit.id)

    def parts(self, unit: Unit) -> Iterator[Part]:
        """What the unit has in the end; more than one where a stage fills several folders."""
        yield self.target.describe(unit.id)

    def rows_of(self, part: Part) -> int:
        """How many documents a part of the stage stands for."""
        return part.rows

    def process(self, unit: Unit) -> Iterator[Part]:
        started = time.monotonic()
        found = self.existing(unit)
        had = self.write(unit) if found is None else None
        for part in self.parts(unit):
            yield part
            if part.folder == self.target.url:
                if found is not None:
                    progress.add(self.stage, self.rows_of(part))
                report(part, self.rows_of(part), found=found is not None, seconds=time.monotonic() - started, had=had)


def report(part: Part, rows: int, *, found: bool, seconds: float, had: int | None = None) -> None:
    """Count a part that a job wrote, or found there from an earlier try, and leave a line about it in the log."""
    if found:
        counters.add("units_found")
        counters.add("rows_found", rows)
    else:
        counters.add("units_written")
        counters.add("rows", rows)
        counters.add("bytes_written", part.bytes)
        counters.count_stats(part.stats)
        counters.observe("unit_milliseconds", seconds)
    log.info("%s", unit_line(part, rows, found=found, seconds=seconds, had=had))


def unit_line(part: Part, rows: int, *, found: bool, seconds: float, had: int | None = None) -> str:
    """key=value: `stage=documents unit=3 rows=512 seconds=1.52 rows_per_second=337 part=written`.

    rows_had: those that an earlier try had done; the others make up the rate.
    """
    rate = "" if found else f" rows_per_second={(rows - (had or 0)) / max(seconds, 1e-3):.0f}"
    state = "found" if found else "written"
    before = f" rows_had={had}" if had else ""
    return (
        f"stage={stage_of(part.folder)} unit={part.unit} rows={rows}{before} seconds={seconds:.2f}{rate} part={state}"
    )


def stage_of(url: str) -> str:
    """The name of the stage that fills a folder of a run: `.../steps/02-semdedup/keep` -> `02-semdedup/keep`."""
    _, step, name = url.rstrip("/").rpartition("/steps/")
    return name if step else url.rstrip("/").removesuffix("/_parts").rsplit("/", 1)[-1]


class WriteGathered(WriteUnit):
    """(unit id, its Unit and blocks of rows) -> Part; `write` finds the rows, of one dtype, in self.rows."""

    dtype: np.dtype

    def process(self, group: tuple[int, Iterable[Unit | bytes]]) -> Iterator[Part]:  # type: ignore[override]
        values = list(group[1])
        unit = next(value for value in values if isinstance(value, Unit))
        self.rows = np.frombuffer(b"".join(value for value in values if isinstance(value, bytes)), self.dtype)
        yield from super().process(unit)


class GatherByUnit(beam.PTransform):
    """(units, (unit id, block of rows)) -> (unit id, its Unit and all its blocks), for every unit."""

    def expand(self, both: Any) -> beam.PCollection:
        units, blocks = both
        named = units | "KeyUnits" >> beam.Map(lambda unit: (unit.id, unit)).with_output_types(tuple[int, Unit])
        return (named, blocks) | "UnitsAndBlocks" >> beam.Flatten() | "GroupByUnit" >> beam.GroupByKey()


@dataclass
class Commit(beam.PTransform):
    """Parts (and totals, dicts of numbers) -> the manifests of the artifacts they belong to.

    `configs` maps each artifact to the configuration written into its manifest; `expected` is the number of parts that
    each must have; `max_reject_share` fails a run whose inputs are worse than that.
    """

    artifacts: tuple[Artifact, ...]
    expected: int
    config: dict[str, Any] = field(default_factory=dict)
    max_reject_share: float | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        return (
            parts
            | "KeyByFolder" >> beam.Map(_by_folder).with_output_types(tuple[str, Any])
            | "GroupByFolder" >> beam.GroupByKey()
            | "WriteManifest" >> beam.Map(self._write)
        )

    def _write(self, group: tuple[str, Iterable[Part | dict]]) -> str:
        folder, values = group
        artifact = next(artifact for artifact in self.artifacts if artifact.url == folder)
        parts: list[Part] = []
        totals: list[dict[str, Any]] = []
        for value in values:
            if isinstance(value, Part):
                parts.append(value)
            else:
                totals.append(value)
        units = {part.unit for part in parts}
        if len(units) != self.expected:
            raise artifacts.ArtifactError(f"{folder}: {len(units)} parts of {self.expected} were written")
        merged = merge_stats([part.stats for part in parts])
        if self.max_reject_share is not None and "reasons" in merged:
            check_rejects(merged, self.max_reject_share)
        if merged.get("min_dimension") != merged.get("max_dimension"):
            raise artifacts.ArtifactError(
                f"vectors have from {merged['min_dimension']} to {merged['max_dimension']} numbers each"
            )
        artifacts.commit(
            artifact,
            parts=parts,
            config=self.config,
            totals=merge_stats(t["totals"] for t in totals),
        )
        return folder


def _by_folder(value: Part | dict) -> tuple[str, Any]:
    return (value.folder if isinstance(value, Part) else value["folder"]), value


class TooManyRejects(RuntimeError):
    """The input has more bad records than the run allows."""


# A share says little about a small file: one bad line of five is a fifth. The default lets this many records be bad.
DEFAULT_REJECT_SHARE = 0.01
HANDFUL = 10


def check_rejects(totals: dict[str, Any], limit: float) -> None:
    """Raises TooManyRejects when more records are bad than the limit allows, or a column that is needed is nowhere.

    At the default share a handful of bad records is allowed in an input of any size; any other share is exact.
    """
    reasons = {reason: count for reason, count in totals["reasons"].items() if is_fault(reason)}
    records, bad = totals["records"], sum(reasons.values())
    if bad > max(limit * records, HANDFUL if limit == DEFAULT_REJECT_SHARE else 0):
        listed = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:10]
        place = totals.get("places", {}).get(listed[0][0], {}).get("min_place")
        raise TooManyRejects(
            f"{bad} of {records} records were rejected, more than --max-reject-share {limit} allows: "
            + ", ".join(f"{count} x {reason}" for reason, count in listed)
            + (f" (the first of {listed[0][0]!r} in {place})" if place else "")
        )
    if not totals["documents"]:
        raise TooManyRejects(f"none of {records} records is a document")
    for name, count in totals.get("filled", {}).items():
        if not count:
            raise TooManyRejects(f"no record has anything usable in column {name!r}")
