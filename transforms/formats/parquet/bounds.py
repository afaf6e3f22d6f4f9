"""How much memory the rows of a Parquet file take, told before they are decoded: 5 KB can stand for 10 TB.

Pages are decompressed whole, so none may be larger than a bound. Values of a dictionary, and those that begin like the
one before them, are stored once and decoded each time they come: as many rows are read together as stay below the
bound whatever they hold. Of lists a single row can be of any length: they may not grow a thousandfold.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow.parquet as pq

from sluice.transforms.formats.parquet import page_headers
from sluice.transforms.formats.parquet.page_headers import DELTA_BYTE_ARRAY, Page
from sluice.transforms.records import validation

# Writers make pages of 1 MB; some, of 100 MB.
LEAST_BOUND = 256 << 20
DOCUMENTS = 32
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_DICTIONARIES = (2, 8)  # encodings: PLAIN_DICTIONARY, RLE_DICTIONARY
# Of lists of strings: what one costs in memory, and from what length on they are no labels.
_STRING, _LONG = 16, 64 << 10
_MOST_GROWTH, _PAGE_GROWTH, _REMOTE_GROWTH = 1000, 64, 20


class TooLarge(ValueError):
    """What a row group expands to is above the bound."""


def bound(max_document_bytes: int) -> int:
    """Bytes that a page may have, and rows that are decoded together: 32 of the largest documents', or 256 MB."""
    return max(LEAST_BOUND, DOCUMENTS * max_document_bytes)


def together(
    file: pq.ParquetFile, raw: BinaryIO, group: int, wanted: list[str] | None, max_document_bytes: int, *, local: bool
) -> int:
    """How many rows of a row group may be decoded together, with all their columns.

    raw: the bytes of the file. wanted: the columns to decode; None: all. local: reading a little in many places costs
    little; where it does not, pages are looked at only if the footer says that they grow much, and those of columns
    that are not wanted are not fetched. Raises TooLarge naming the column, and as Arrow does.
    """
    _check_footer(file, group)
    metadata = file.metadata.row_group(group)
    mean = metadata.total_byte_size / max(metadata.num_rows, 1)
    rows = max(16, min(validation.WINDOW_RECORDS, int(validation.WINDOW_BYTES / max(mean, 1))))
    most = bound(max_document_bytes)
    columns = list(_columns(file, raw, group, wanted, most, local))
    grown = sum(column.grown for column in columns)
    if grown > most:
        _refuse(max(columns, key=lambda column: column.grown).name, grown, most)
    for column in columns:
        column.check(most)
    while rows > 1 and sum(column.bytes_of(rows) for column in columns) > most:
        rows //= 2
    return rows


class _NoPages(io.RawIOBase):
    """A file that is not to be read."""

    def __init__(self, size: int):
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._size if whence == 2 else offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        raise _Reached


class _Reached(Exception):
    """Arrow would read pages now."""


def _check_footer(file: pq.ParquetFile, group: int) -> None:
    """What Arrow says of a row group's columns when it reads: asked about one that is damaged, Arrow 25 ends the
    process."""
    try:
        reader = pq.ParquetFile(_NoPages(1 << 62), metadata=file.metadata, buffer_size=1 << 16)
        next(reader.iter_batches(1, row_groups=[group], use_threads=False), None)
    except _Reached:
        pass


def _refuse(name: str, size: float, most: int) -> None:
    raise TooLarge(
        f"column {name!r} expands to {size / 1e6:,.0f} MB at once; at most {most / 1e6:,.0f} MB may, "
        f"which is {DOCUMENTS} times --max-document-bytes"
    )


@dataclass
class _Column:
    """A column of a row group. pages: those that are looked at, [first value, bytes before] of each and of their end.

    `width`: bytes of a value, of strings of the longest that is stored once, of which there are `copies`.
    """

    name: str
    values: int
    per_row: float
    packed: int
    repeated: bool
    width: int
    copies: int
    grown: int = 0
    firsts: np.ndarray | None = None
    before: np.ndarray | None = None

    def check(self, most: int) -> None:
        size = self.values * self.width
        if self.repeated and size > max(most, _MOST_GROWTH * self.packed):
            _refuse(self.name, size, most)

    def bytes_of(self, rows: int) -> float:
        """At most so many bytes have any consecutive rows."""
        values = rows * max(self.per_row, 1.0)
        size = min(values, self.copies) * self.width
        if self.firsts is not None and self.before is not None and len(self.firsts) > 1:
            # From the first value of a page to the page that a value after as many more, and its own, is in.
            sizes = np.diff(self.firsts)
            ends = np.searchsorted(self.firsts, self.firsts[:-1] + sizes + int(values), side="left")
            size += float((self.before[np.minimum(ends, len(self.before) - 1)] - self.before[:-1]).max())
        return size


def _is_wanted(path: str, wanted: list[str] | None) -> bool:
    return wanted is None or any(path == name or path.startswith(f"{name}.") for name in wanted)


def _columns(
    file: pq.ParquetFile, raw: BinaryIO, group: int, wanted: list[str] | None, most: int, local: bool
) -> Iterator[_Column]:
    metadata = file.metadata.row_group(group)
    rows = max(metadata.num_rows, 1)
    for index in range(metadata.num_columns):
        chunk = metadata.column(index)
        schema = file.schema.column(index)
        strings = chunk.physical_type == "BYTE_ARRAY"
        width = 0 if strings else _WIDTHS.get(chunk.physical_type, schema.length)
        column = _Column(
            name=chunk.path_in_schema,
            values=chunk.num_values,
            per_row=chunk.num_values / rows,
            packed=max(chunk.total_compressed_size, 1),
            repeated=schema.max_repetition_level > 0,
            width=width,
            copies=chunk.num_values,
        )
        suspicious = chunk.total_uncompressed_size > max(most, _REMOTE_GROWTH * chunk.total_compressed_size)
        if not local and not suspicious and not _is_wanted(chunk.path_in_schema, wanted):
            continue
        pages = _pages(raw, chunk, everything=local or suspicious)
        for page in pages:
            if page.unpacked > most:
                _refuse(column.name, page.unpacked, most)
        column.grown = max((page.unpacked for page in pages if page.unpacked > _PAGE_GROWTH * page.packed), default=0)
        if strings:
            _weigh(column, raw, chunk.compression, pages, everything=local or suspicious)
        yield column


def _pages(raw: BinaryIO, chunk: pq.ColumnChunkMetaData, *, everything: bool) -> list[Page]:
    if not everything and not chunk.has_dictionary_page:
        return []
    pages = page_headers.pages(raw, *page_headers.place(chunk))
    return list(pages) if everything else [page for page in [next(pages, None)] if page]


def _weigh(column: _Column, raw: BinaryIO, codec: str, pages: list[Page], *, everything: bool) -> None:
    """What strings cost: those stored once by the longest, the others by the pages they are in."""
    data = [page for page in pages if not page.is_dictionary]
    once = [page for page in data if page.encoding in _DICTIONARIES or page.encoding == DELTA_BYTE_ARRAY]
    longest = max((page.unpacked for page in once if page.encoding == DELTA_BYTE_ARRAY), default=0)
    if everything:
        column.copies = sum(page.values for page in once)
    for page in pages:
        # Where even values as long as the whole dictionary are few enough, the longest does not matter.
        if page.is_dictionary and page.unpacked > longest:
            matters = page.unpacked * min(column.copies, validation.WINDOW_RECORDS) > validation.WINDOW_BYTES
            entry = page_headers.longest_entry(raw, page, codec) if matters else page.unpacked
            longest = max(longest, entry)
    column.width = longest
    if column.repeated:
        column.width = longest if longest > _LONG else _STRING
        column.copies = column.values
    plain = [page for page in data if page not in once]
    column.firsts = np.cumsum([0, *(page.values for page in plain)])
    column.before = np.cumsum([0, *(page.unpacked for page in plain)])
