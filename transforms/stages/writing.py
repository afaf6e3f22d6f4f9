"""Writing a unit's part: a unit that has one already is left alone, so that a job may be tried again and again."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import ClassVar

import apache_beam as beam
import numpy as np

from sluice.transforms.records.records import Unit
from sluice.transforms.stages import counters, progress
from sluice.transforms.stages.artifacts import Artifact, Part

log = logging.getLogger("sluice")


class WriteUnit(beam.DoFn):
    """Unit -> Part, by `write`; a unit that already has its part is not done again.

    version: of the stage, where its other transforms are of no stage in particular (WriteUnits, ScoreByGroups).
    """

    version: ClassVar[int]

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
