"""What the pages of a Parquet file say of themselves: Thrift's compact protocol, read before anything is decompressed.

Arrow takes as much memory as a page's header says, and shows no headers. Their layout: parquet.thrift, PageHeader.
"""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# Most headers have 20 to 100 bytes; statistics of long texts make some longer.
_HEAD, _LONG_HEAD = 256, 64 << 10
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_2 = 0, 2, 3
DELTA_BYTE_ARRAY = 7
_MOST_NESTED = 8
_LENGTH = struct.Struct("<I")
# Strings of more bytes on average are so few that one after the other is as fast as all at once.
_FEW_BYTES = 400


class Page(NamedTuple):
    """packed, unpacked: bytes of a page as it is stored, and in memory. encoding: its number in parquet.thrift."""

    start: int
    packed: int
    unpacked: int
    is_dictionary: bool
    values: int
    encoding: int


def pages(file: BinaryIO, start: int, stop: int) -> Iterator[Page]:
    """The pages between two bytes of a file; they end early where what is there is no page, which Arrow will say."""
    while start < stop:
        found = _header(file, start)
        if found is None:
            return
        header, length = found
        kind, unpacked, packed = (header.get(field, -1) for field in (1, 2, 3))
        if packed < 0 or unpacked < 0:
            return
        about = header.get({_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_2: 8}.get(kind, 0), {})
        encoding = about.get(4 if kind == _DATA_PAGE_2 else 2, 0)
        yield Page(start + length, packed, unpacked, kind == _DICTIONARY_PAGE, about.get(1, 0), encoding)
        start += length + packed


def longest_entry(file: BinaryIO, page: Page, codec: str) -> int:
    """Bytes of the longest string of a dictionary page; the whole page's where it cannot be read here."""
    data = _read(file, page.start, page.packed)
    try:
        if codec != "UNCOMPRESSED":
            data = pa.decompress(data, page.unpacked, codec=codec.lower(), asbytes=True)
    except (pa.ArrowException, OSError, ValueError):
        return page.unpacked
    longest = None if len(data) > _FEW_BYTES * max(page.values, 1) else _longest_text(data)
    return min(_longest_of_any(data) if longest is None else longest, page.unpacked)


def _longest_text(data: bytes) -> int | None:
    """As _longest_of_any, 20 times as fast: None where strings are empty, have 64 KB or more, or have zeros in them.

    The lengths of the others are the only places with two zeros. That each string ends where the next length is proves
    that these are all.
    """
    numbers = np.frombuffer(data, np.uint8)
    zeros = np.flatnonzero(numbers == 0)
    steps = np.diff(zeros, append=len(data))
    # The last of several zeros is a length's fourth byte.
    starts = zeros[1:][(steps[:-1] == 1) & (steps[1:] > 1)] - 3
    if not starts.size or starts[0] != 0:
        return None
    lengths = numbers[starts] + 256 * numbers[starts + 1].astype(np.int64)
    ends = starts + 4 + lengths
    whole = np.array_equal(ends[:-1], starts[1:]) and ends[-1] == len(data)
    return int(lengths.max()) if whole else None


def _longest_of_any(data: bytes) -> int:
    longest = at = 0
    last = len(data) - 4
    length_at = _LENGTH.unpack_from
    # What is left cannot hold a longer string than those before, at last.
    while at + longest < last:
        length = length_at(data, at)[0]
        at += 4 + length
        if length > longest:
            longest = length
    return longest


def place(column: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """The first byte of a column's pages in a row group, and the one behind the last."""
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset:
        start = min(start, column.dictionary_page_offset)
    return start, start + column.total_compressed_size


def _header(file: BinaryIO, start: int) -> tuple[dict[int, Any], int] | None:
    for length in (_HEAD, _LONG_HEAD):
        data = _read(file, start, length)
        try:
            return _struct(data, 0)
        except IndexError:
            continue
        except ValueError:
            break
    return None


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    try:
        file.seek(start)
    except (ValueError, OSError):
        return b""
    return file.read(length)


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The integers and structs of a struct by field number, and where it ends.

    Raises IndexError where the bytes end before it does, ValueError where they are no struct.
    """
    if depth > _MOST_NESTED:
        raise ValueError("nested too deeply")
    values: dict[int, Any] = {}
    field = 0
    while data[at]:
        step, kind = divmod(data[at], 16)
        at += 1
        if step:
            field += step
        else:
            field, at = _integer(data, at)
        if kind in (1, 2):  # true, false
            values[field] = kind == 1
        elif kind == 3:  # one byte
            at += 1
        elif kind in (4, 5, 6):
            values[field], at = _integer(data, at)
        elif kind == 7:  # a double
            at += 8
        elif kind == 8:  # a string
            length, at = _varint(data, at)
            at += length
        elif kind == 12:
            values[field], at = _struct(data, at, depth + 1)
        else:
            raise ValueError(f"headers of pages have no type {kind}")
    return values, at + 1


def _integer(data: bytes, at: int) -> tuple[int, int]:
    raw, at = _varint(data, at)
    return (raw >> 1) ^ -(raw & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")
