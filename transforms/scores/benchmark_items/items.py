"""Benchmark items: JSON lines (or any other format of documents) -> one part, with each item's vector where wanted.

Benchmarks are small and chosen by whoever runs this, so a bad line is an error, not a reject.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sluice.transforms.corpus import reading
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.records.records import Fields, Unit, Window
from sluice.transforms.stages.manifests import digest_of
from sluice.transforms.stages.units import units_digest

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
