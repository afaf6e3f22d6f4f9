"""A look at some records before a run: a field or a format that is named wrongly shows in all of them."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from sluice.transforms.corpus import reading
from sluice.transforms.records import validation
from sluice.transforms.records.records import Fields, Unit, Window

log = logging.getLogger("sluice")
# Of other formats hardly a field is named, and to read WARC takes long.
TABLES = ("jsonl", "parquet")
# Inputs of at most so many bytes are looked at whatever their format.
SMALL = 1 << 20
# Windows of a unit that are read while nothing in them can be used: bad records may come first, and be few of all.
MOST_WINDOWS = 16
# A fault of a file, not of what was said about it.
DAMAGED = validation.UNREADABLE.format("")


def look(units: Sequence[Unit], fields: Fields, options: Mapping[str, str], *, whole: bool = False) -> None:
    """Read the first records of each unit of tables, and warn of columns that none of them has.

    options: what was said to name a column, by the column. whole: there are no other units. Raises ValueError where
    no record can be used, with the reason, the place and the beginning of one, and for an input without records; and
    as reading does for fields that a format or a table does not have.
    """
    for unit in units:
        reading.check_fields(unit.format, fields)
    small = whole and sum(span.size for unit in units for span in unit.spans) <= SMALL
    looked = [window for unit in units if unit.format in TABLES or small for window in _first(unit, fields)]
    rejects = [reject for window in looked for reject in window.rejects]
    if any(reject.reason.startswith(DAMAGED) for reject in rejects):
        return
    documents = sum(len(window.rows) for window in looked)
    if small and not looked:
        raise ValueError(f"the input holds no records: {_named(units)}")
    if not looked:
        return
    if not documents:
        reason, count = Counter(reject.reason for reject in rejects).most_common(1)[0]
        first = next(reject for reject in rejects if reject.reason == reason)
        raise ValueError(
            f"of the first {len(rejects):,} records none can be used (most often: {reason}, {count:,} times)"
            f"{_fields(reason, fields)}; one, in {first.where}, begins {first.head[:200]!r}; "
            "--max-reject-share 1 goes on all the same"
        )
    for name in fields.columns:
        if all(value is None for window in looked for value in window.columns[name]):
            said = options.get(name, f"a column that the recipe names, {name!r}")
            log.warning("none of the first %s documents has a value for %s", f"{documents:,}", said)


def _first(unit: Unit, fields: Fields) -> Iterator[Window]:
    """The windows of a unit up to one with a usable record."""
    for window in islice(reading.read_unit(unit, fields, on_unreadable="reject"), MOST_WINDOWS):
        if window.records:
            yield window
        if len(window.rows):
            return


def _named(units: Sequence[Unit]) -> str:
    """Files without records: `a.jsonl is empty`, `3 files, the first is a.jsonl.gz`."""
    paths = [span.path for unit in units for span in unit.spans]
    return f"{paths[0]} is empty" if len(paths) == 1 else f"{len(paths):,} files, the first is {paths[0]}"


def _fields(reason: str, fields: Fields) -> str:
    said = {"text": ("--text", fields.text), "id": ("--id", fields.id), "vector": ("--vector", fields.vector)}
    for word, (option, name) in said.items():
        if name is not None and word in reason.split():
            return f", with {option} {name}"
    return ""
