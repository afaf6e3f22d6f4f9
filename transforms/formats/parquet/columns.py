"""Columns of a Parquet table as what records are checked for: texts, ids, vectors and further values.

Types of the same meaning are taken alike: strings, large strings and views, bytes, dictionaries of any of them;
extension types by what they store.
"""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.transforms.formats.parquet.arrow_types import plain
from sluice.transforms.records import validation
from sluice.transforms.records.records import Fields
from sluice.transforms.records.validation import Batch

_UUID_BYTES = 16


def place(schema: pa.Schema, name: str) -> list[str] | None:
    """Where a field is: a column of that name, or a field inside structs along the dots."""
    if name in schema.names:
        return [name]
    parts = name.split(".")
    if parts[0] not in schema.names:
        return None
    kind = schema.field(schema.names.index(parts[0])).type
    for part in parts[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return None
        kind = kind.field(part).type
    return parts


def check_names(path: str, schema: pa.Schema, fields: Fields) -> list[str]:
    """The columns that fields name, and that a table has once. Raises ValueError naming the file."""
    wanted = [name for name in (fields.text, fields.id, fields.vector, *fields.columns) if name is not None]
    for name in wanted:
        found = place(schema, name)
        if found is None:
            raise ValueError(f"{path}: no column {name!r}; its columns are {', '.join(schema.names)}")
        count = schema.names.count(found[0])
        if count > 1:
            raise ValueError(f"{path} has {'two' if count == 2 else count} columns named {found[0]!r}")
    return wanted


def pieces(table: pa.Table, fields: Fields) -> Iterator[pa.Table]:
    """The table in pieces of at most WINDOW_BYTES of text, or one row."""
    column = None if fields.text is None else _column(table, fields.text, decode=False)
    if column is None or not (lengths := _lengths(column)).size:
        yield table
        return
    ends = np.cumsum(lengths, dtype=np.int64)
    start = 0
    while start < table.num_rows:
        given = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, given + validation.WINDOW_BYTES, side="right")), start + 1)
        yield table.slice(start, stop - start)
        start = stop


def batch(table: pa.Table, fields: Fields, *, place: str, first: int) -> Batch:
    """The records of a table; without an id field their ids are `place` and the row, from `first` on."""
    faults: dict[int, str] = {}
    texts = column = None
    if fields.text is not None:
        column = _column(table, fields.text)
        if _is_string(column.type):
            column = _without_the_too_large(column, faults, fields.max_document_bytes)
        texts = _values(column, faults)
    if fields.id is None:
        ids: list[Any] = [f"{place}{row}" for row in range(first, first + table.num_rows)]
    else:
        ids = _ids(_column(table, fields.id), faults)
    vectors: Any = None if fields.vector is None else _vectors(_column(table, fields.vector))
    columns = {name: _values(_column(table, name), faults) for name in fields.columns}

    def show(position: int) -> str:
        return "" if texts is None or column is None else _shown(texts[position], column[position])

    return Batch(texts, ids, vectors, columns, faults, heads=show, places=lambda position: f"row {first + position}")


def _shown(text: Any, value: pa.Scalar) -> str:
    if isinstance(text, str):
        return text
    # Python has no such years, time zones or nanoseconds as Arrow has.
    with contextlib.suppress(Exception):
        return str(value.as_py())
    return ""


def _column(table: pa.Table, name: str, *, decode: bool = True) -> pa.Array:
    """A column without what only says how it is stored; dictionaries stay if not to be decoded."""
    found = place(table.schema, name)
    assert found is not None, name
    chunks: Any = table.column(found[0])
    # combine_chunks copies a single chunk too.
    column = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    for part in found[1:]:
        column = pc.struct_field(column, part)
    if decode and pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column.type, pa.BaseExtensionType) and not isinstance(column.type, pa.UuidType):
        column = column.storage
    return column.cast(plain(column.type)) if not pa.types.is_dictionary(column.type) else column


def _lengths(column: pa.Array) -> np.ndarray:
    """int64 [rows] of strings; none of anything else."""
    if pa.types.is_dictionary(column.type):
        entries = _lengths(column.dictionary)
        known = column.indices.is_valid().to_numpy(zero_copy_only=False)
        at = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return np.where(known, entries[at], 0) if entries.size else entries
    if not _is_string(column.type):
        return np.empty(0, np.int64)
    return pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)


def _is_string(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _without_the_too_large(column: pa.Array, faults: dict[int, str], limit: int) -> pa.Array:
    large = pc.fill_null(pc.greater(pc.binary_length(column), limit), False).to_numpy(zero_copy_only=False)
    faults.update((at, validation.TOO_LARGE) for at in np.flatnonzero(large).tolist())
    if not large.any():
        return column
    raw = column.cast(_bytes_of(column))
    return pc.if_else(pa.array(large), pc.binary_slice(raw, 0, 800), raw)


def _bytes_of(column: pa.Array) -> pa.DataType:
    large = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    return pa.large_binary() if large else pa.binary()


def _ids(column: pa.Array, faults: dict[int, str]) -> list[Any]:
    """As _values; of decimals the digits, of UUIDs and any 16 bytes the text of a UUID."""
    kind = column.type
    if isinstance(kind, pa.UuidType):
        column = column.storage
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == _UUID_BYTES:
        return [None if value is None else str(uuid.UUID(bytes=value)) for value in column.to_pylist()]
    if pa.types.is_decimal(kind):
        return [None if value is None else f"{value:f}" for value in column.to_pylist()]
    return _values(column, faults)


def _values(column: pa.Array, faults: dict[int, str]) -> list[Any]:
    """A column as Python values: numbers, booleans, strings and bytes (where they are UTF-8) as str.

    Of others None, or something that has the name of its type.
    """
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.binary())
    if _is_string(column.type):
        return _strings(column, faults)
    if pa.types.is_decimal(kind):
        return [None if value is None else _number(value) for value in column.to_pylist()]
    if any(test(kind) for test in (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_null)):
        return column.to_pylist()
    nothing = _of_type(kind)
    return [nothing if valid else None for valid in column.is_valid().to_pylist()]


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _of_type(kind: pa.DataType) -> Any:
    """A value that validation.type_name names as the type."""
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return {}
    return [] if _is_list(kind) else type(str(kind), (), {})()


def _strings(column: pa.Array, faults: dict[int, str]) -> list[Any]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        with contextlib.suppress(UnicodeDecodeError):
            return column.to_pylist()
    values: list[Any] = column.cast(_bytes_of(column)).to_pylist()
    for at, value in enumerate(values):
        if value is None:
            continue
        try:
            values[at] = value.decode("utf-8")
        except UnicodeDecodeError:
            values[at] = value[:800].decode("utf-8", errors="replace")
            faults.setdefault(at, validation.INVALID_UTF8)
    return values


def _is_list(kind: pa.DataType) -> bool:
    views = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    return views or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _vectors(column: pa.Array) -> Sequence[Any] | np.ndarray | Any:
    """float32 [rows, d] without a copy where the file allows it; else one array, None or type name for each row."""
    if not _is_list(column.type):
        return [None if value is None else validation.type_name(value) for value in _values(column, {})]
    inner = column.type.value_type
    if not (pa.types.is_floating(inner) or pa.types.is_integer(inner) or pa.types.is_decimal(inner)):
        return _no_vectors(column)
    numbers = column.flatten()
    if pa.types.is_decimal(inner):
        numbers = numbers.cast(pa.float64())
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        flat = numbers.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    if not column.null_count and not numbers.null_count and len(lengths) and (lengths == lengths[0]).all():
        return flat.reshape(len(column), lengths[0])
    ends = np.cumsum(lengths)
    gaps = np.concatenate([[0], np.cumsum(numbers.is_null().to_numpy(zero_copy_only=False))])
    rows: list[Any] = []
    for at, (start, stop) in enumerate(zip(ends - lengths, ends)):
        if not column[at].is_valid:
            rows.append(None)
        else:
            rows.append("array of null" if gaps[stop] > gaps[start] else flat[start:stop])
    return rows


def _no_vectors(column: pa.Array) -> list[Any]:
    """Lists of what is no number: None, or what is in them; an empty one is a vector of no numbers."""
    rows: list[Any] = []
    for row in column:
        values = _values(row.values, {}) if row.is_valid else None
        rows.append(None if values is None else _no_vector(values))
    return rows


def _no_vector(values: list[Any]) -> Any:
    kinds = [validation.type_name(value) for value in values]
    return f"array of {min(kinds)}" if kinds else np.empty(0, np.float32)
