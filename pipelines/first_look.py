"""A look at some records before a run: a field or a format that is named wrongly shows in all of them."""

import logging
from collections import Counter
from collections.abc import Sequence

from sluice.transforms import reading, validation
from sluice.transforms.records import Fields, Unit

log = logging.getLogger("sluice")
# Of other formats no field is named, and to read WARC takes long.
TABLES = ("jsonl", "parquet")
# A fault of a file, not of what was said about it.
DAMAGED = validation.UNREADABLE.format("")


def look(units: Sequence[Unit], fields: Fields) -> None:
    """Read the first records of each unit of tables, and warn of columns that none of them has.

    Raises ValueError where none of them can be used, with the reason and the beginning of one; and as reading does
    for a table without a column.
    """
    tables = [unit for unit in units if unit.format in TABLES]
    windows = [next(reading.read_unit(unit, fields, on_unreadable="reject"), None) for unit in tables]
    looked = [window for window in windows if window is not None and window.records]
    rejects = [reject for window in looked for reject in window.rejects]
    if not looked or any(reject.reason.startswith(DAMAGED) for reject in rejects):
        return
    if not any(len(window.rows) for window in looked):
        reason, count = Counter(reject.reason for reject in rejects).most_common(1)[0]
        head = next(reject.head for reject in rejects if reject.reason == reason)
        raise ValueError(
            f"of the first {len(rejects):,} records none can be used (most often: {reason}, {count:,} times)"
            f"{_fields(reason, fields)}; one begins {head[:200]!r}"
        )
    for name in fields.columns:
        if all(value is None for window in looked for value in window.columns[name]):
            documents = sum(len(window.rows) for window in looked)
            log.warning("none of the first %s documents has a value in %r", f"{documents:,}", name)


def _fields(reason: str, fields: Fields) -> str:
    said = {"text": ("--text", fields.text), "id": ("--id", fields.id), "vector": ("--vector", fields.vector)}
    for word, (option, name) in said.items():
        if name is not None and word in reason.split():
            return f", with {option} {name}"
    return ""
