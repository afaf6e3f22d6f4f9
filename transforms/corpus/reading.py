"""A unit's records as windows, and its kept records copied: the formats behind one door."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sluice.transforms import formats, storage
from sluice.transforms.records import validation
from sluice.transforms.records.records import Fields, Reject, Span, Unit, Window
from sluice.transforms.records.windows import joined
from sluice.transforms.storage.streams import UnreadableFile

ON_UNREADABLE = ("fail", "reject")


class ChangedInput(RuntimeError):
    """An input file is not the one the inventory was made from."""

    def __init__(self, path: str):
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} has changed or gone since the inventory was made; start a new run"


def format_names() -> list[str]:
    return formats.names()


def identify(path: str) -> tuple[str, str]:
    """The format and compression that a file's name tells. Raises ValueError for an unknown name."""
    return formats.identify(path)


def check_fields(format: str, fields: Fields) -> None:
    """Raises ValueError for fields that no record of the format has."""
    asked = {
        "text": fields.text not in (None, Fields.text),
        "id": fields.id,
        "vector": fields.vector,
        "columns": fields.columns,
    }
    named = formats.load(format).FIELDS
    wrong = [kind for kind, name in asked.items() if name and kind not in named]
    if wrong:
        raise ValueError(
            f"{' and '.join(wrong)} of {format} records cannot be named (what can be: "
            f"{', '.join(named) or 'nothing'}); asked for {fields.named}"
        )


def read_unit(unit: Unit, fields: Fields, *, on_unreadable: str = "fail") -> Iterator[Window]:
    """The records of a unit, rows counting from 0 over all its spans.

    A window has at most validation.WINDOW_RECORDS records and ends with the one that brings it to WINDOW_BYTES, so
    memory is bounded whatever the files hold. Where a file is damaged: "fail" raises UnreadableFile naming it;
    "reject" keeps what came before the damage and counts the rest as one rejected record.
    Raises ChangedInput when a file is not the one that was planned, and as check_fields does.
    """
    if on_unreadable not in ON_UNREADABLE:
        raise ValueError(f"on_unreadable is {on_unreadable!r}; it can be {' or '.join(ON_UNREADABLE)}")
    yield from _merged(_windows(unit, fields, on_unreadable))


def _windows(unit: Unit, fields: Fields, on_unreadable: str) -> Iterator[Window]:
    check_fields(unit.format, fields)
    module = formats.load(unit.format)
    dimension = validation.Dimension()
    first = 0
    for span in unit.spans:
        _check_unchanged(span)
        row = documents = 0
        reasons: Counter[str] = Counter()
        try:
            for window in module.read(span, unit.compression, fields, dimension=dimension):
                row += window.records
                documents += len(window.rows)
                reasons.update(reject.reason for reject in window.rejects)
                yield _placed(window, first, span)
        except UnreadableFile as error:
            if on_unreadable == "fail":
                raise
            reason = validation.UNREADABLE.format(error.reason)
            reasons[reason] += 1
            reject = Reject(first + row, reason, error.path, span.relative, f"after {row} records")
            yield replace(_nothing(fields, dimension), records=1, rejects=[reject])
            row += 1
        first += row
        # A later range of a file may own no line of it, and be no news.
        if not documents and (reasons or span.start == 0):
            yield replace(_nothing(fields, dimension), barren=[(span.relative, dict(reasons))])


def _check_unchanged(span: Span) -> None:
    try:
        now = storage.info(span.path)
    except FileNotFoundError:
        raise ChangedInput(span.path) from None
    if (now.size, now.etag) != (span.size, span.etag):
        raise ChangedInput(span.path)


def _placed(window: Window, first: int, span: Span) -> Window:
    """A window as the unit has it. first: the row of the span's first record."""
    rejects = [reject._replace(row=reject.row + first, file=span.relative) for reject in window.rejects]
    return replace(window, rows=window.rows + first, rejects=rejects)


def _nothing(fields: Fields, dimension: validation.Dimension) -> Window:
    """A window without valid records."""
    return Window(
        records=0,
        rows=np.empty(0, np.int64),
        ids=[],
        texts=None if fields.text is None else [],
        columns={name: [] for name in fields.columns},
        vectors=None if fields.vector is None else np.empty((0, dimension.value or 0), np.float32),
    )


def _merged(windows: Iterator[Window]) -> Iterator[Window]:
    """Small windows joined: a unit may have thousands of files of one record."""
    held: list[Window] = []
    records = size = 0
    for window in windows:
        bytes_of_text = sum(map(len, window.texts)) if window.texts else 0
        if held and (
            records + window.records > validation.WINDOW_RECORDS or size + bytes_of_text > validation.WINDOW_BYTES
        ):
            yield joined(held)
            held, records, size = [], 0, 0
        held.append(window)
        records += window.records
        size += bytes_of_text
    if held:
        yield joined(held)


def export_unit(
    unit: Unit,
    keep: Any,
    stem: str,
    *,
    max_document_bytes: int = Fields.max_document_bytes,
    on_unreadable: str = "fail",
) -> list[tuple[str, int]]:
    """Copies a unit's kept records in its own format and compression, to files whose names begin with `stem`.

    keep: bool [records], one for every record that `read_unit` counted; the two options must be those it had.
    Returns the names written, relative to the folder of `stem`, each with its number of documents; none when
    nothing is kept. Raises ValueError when the unit does not have as many records as `keep`, and all that
    `read_unit` raises.
    """
    if on_unreadable not in ON_UNREADABLE:
        raise ValueError(f"on_unreadable is {on_unreadable!r}; it can be {' or '.join(ON_UNREADABLE)}")
    for span in unit.spans:
        _check_unchanged(span)
    if not np.any(keep):
        return []
    return formats.load(unit.format).export(
        unit, keep, stem, max_document_bytes=max_document_bytes, on_unreadable=on_unreadable
    )


def read_document(unit: Unit, row: int, fields: Fields, *, on_unreadable: str = "fail") -> tuple[str, str | None]:
    """The id and the text of one valid record of a unit. Raises KeyError when there is none in that row."""
    for window in read_unit(unit, fields, on_unreadable=on_unreadable):
        at = int(np.searchsorted(window.rows, row))
        if at < len(window.rows) and window.rows[at] == row:
            return window.ids[at], None if window.texts is None else window.texts[at]
    raise KeyError(f"unit {unit.id} has no valid record in row {row}")
