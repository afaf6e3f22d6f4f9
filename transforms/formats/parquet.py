"""Parquet: row groups streamed in small batches; only the wanted columns are decoded."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.transforms import committing, filesystems, storage, streams, validation
from sluice.transforms.kept import KeepMask
from sluice.transforms.records import Fields, Span, Unit, Window
from sluice.transforms.validation import Batch, Dimension

SUFFIXES = (".parquet", ".pq")
COMPRESSIONS = ("none",)
FIELDS = ("text", "id", "vector", "columns")

_ROW_GROUP_BYTES = 64 << 20
_BUFFER = 1 << 20


def cut(info: storage.FileInfo, compression: str, target_bytes: int) -> list[tuple[int, int]]:
    """Ranges of row groups of about `target_bytes`, uncompressed. A damaged file is one range, found when read."""
    try:
        with opened(info.path) as file:
            metadata = file.metadata
            sizes = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
    except streams.UnreadableFile:
        return [(0, 0)]
    ranges = []
    start = total = 0
    for index, size in enumerate(sizes):
        if total and total + size > target_bytes:
            ranges.append((start, index))
            start, total = index, 0
        total += size
    return [*ranges, (start, len(sizes))]


def read(span: Span, compression: str, fields: Fields, *, dimension: Dimension | None = None) -> Iterator[Window]:
    """The records of a span, rows from 0. Strings or UTF-8 bytes are texts, (fixed-size) lists of numbers vectors.

    Raises ValueError when a column is missing, naming those there are, and streams.UnreadableFile at a fault.
    """
    dimension = dimension or Dimension()
    row = 0
    with opened(span.path) as file:
        for name in (fields.text, fields.id, fields.vector, *fields.columns):
            if name is not None and _place(file.schema_arrow, name) is None:
                raise ValueError(
                    f"{span.path}: no column {name!r}; its columns are {', '.join(file.schema_arrow.names)}"
                )
        wanted = [name for name in (fields.text, fields.id, fields.vector, *fields.columns) if name]
        before = sum(file.metadata.row_group(index).num_rows for index in range(span.start))
        for table in _tables(file, span, wanted):
            for piece in _pieces(table, fields):
                batch = _batch(piece, fields, place=f"{span.relative}:", first=before + row)
                yield validation.check(batch, fields, first_row=row, dimension=dimension)
                row += piece.num_rows


@contextlib.contextmanager
def opened(path: str) -> Iterator[pq.ParquetFile]:
    """A file from anywhere. Raises streams.UnreadableFile where it is damaged."""
    with contextlib.ExitStack() as stack:
        with faults(path):
            source: Any = path if filesystems.is_local(path) else stack.enter_context(storage.open_read(path))
            file = pq.ParquetFile(source, buffer_size=_BUFFER)
        yield stack.enter_context(file)


@contextlib.contextmanager
def faults(path: str) -> Iterator[None]:
    """What Arrow says of a file's bytes, as streams.UnreadableFile; what a disk or a network says goes on."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # Arrow reports bad data as OSErrors too, but without a number; a failing disk or network has one.
        damaged = isinstance(error, pa.ArrowException) or (type(error) is OSError and error.errno is None)
        if not damaged and not isinstance(error, PermissionError):
            raise
        raise streams.UnreadableFile(path, f"cannot be read as Parquet: {error}") from None


def _tables(file: pq.ParquetFile, span: Span, columns: list[str] | None) -> Iterator[pa.Table]:
    """Batches of a span; the same rows whatever the columns, so that export meets a fault where read met it."""
    for group in range(span.start, span.stop):
        rows = file.metadata.row_group(group).num_rows
        found = 0
        # An empty list of columns would give batches without a length.
        batches = file.iter_batches(
            _batch_rows(file, group), row_groups=[group], columns=columns or None, use_threads=False
        )
        while True:
            with faults(span.path):
                batch = next(batches, None)
            if batch is None:
                break
            found += batch.num_rows
            yield pa.Table.from_batches([batch])
        if found != rows:
            raise streams.UnreadableFile(span.path, f"row group {group} has {found} rows, not {rows}")


def _batch_rows(file: pq.ParquetFile, group: int) -> int:
    metadata = file.metadata.row_group(group)
    mean = metadata.total_byte_size / max(metadata.num_rows, 1)
    return max(16, min(validation.WINDOW_RECORDS, int(validation.WINDOW_BYTES / max(mean, 1))))


def _place(schema: pa.Schema, name: str) -> list[str] | None:
    """Where a field is: a column of that name, or a field inside structs along the dots."""
    if name in schema.names:
        return [name]
    parts = name.split(".")
    if parts[0] not in schema.names:
        return None
    kind = schema.field(parts[0]).type
    for part in parts[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return None
        kind = kind.field(part).type
    return parts


def _column(table: pa.Table, name: str) -> pa.Array:
    place = _place(table.schema, name)
    assert place is not None, name
    column: Any = table.column(place[0]).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    for part in place[1:]:
        column = pc.struct_field(column, part)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _pieces(table: pa.Table, fields: Fields) -> Iterator[pa.Table]:
    """The table in pieces of at most WINDOW_BYTES of text, or one row."""
    column = None if fields.text is None else _column(table, fields.text)
    if column is None or not _is_string(column.type):
        yield table
        return
    ends = np.cumsum(pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    start = 0
    while start < table.num_rows:
        given = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, given + validation.WINDOW_BYTES, side="right")), start + 1)
        yield table.slice(start, stop - start)
        start = stop


def _is_string(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _batch(table: pa.Table, fields: Fields, *, place: str, first: int) -> Batch:
    faults: dict[int, str] = {}
    texts = None
    if fields.text is not None:
        column = _column(table, fields.text)
        if _is_string(column.type):
            column = _without_the_too_large(column, faults, fields.max_document_bytes)
        texts = _values(column, faults)
    if fields.id is None:
        ids: list[Any] = [f"{place}{row}" for row in range(first, first + table.num_rows)]
    else:
        ids = _values(_column(table, fields.id), faults)
    vectors: Any = None if fields.vector is None else _vectors(_column(table, fields.vector))
    columns = {name: _values(_column(table, name), faults) for name in fields.columns}

    def show(position: int) -> str:
        return "" if texts is None else str(texts[position])

    return Batch(texts, ids, vectors, columns, faults, heads=show)


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


def _values(column: pa.Array, faults: dict[int, str]) -> list[Any]:
    """A column as Python values; bytes and strings as str, where they are UTF-8."""
    if not _is_string(column.type):
        return column.to_pylist()
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


def _vectors(column: pa.Array) -> Sequence[Any] | np.ndarray | Any:
    """float32 [rows, d] without a copy where the file allows it; else one array, None or type name for each row."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return [None if value is None else validation.type_name(value) for value in column.to_pylist()]
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return [validation.vector_of(value) for value in column.to_pylist()]
    numbers = column.flatten()
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


def export(
    unit: Unit, keep: Any, stem: str, *, max_document_bytes: int, on_unreadable: str = "fail"
) -> list[tuple[str, int]]:
    """Copies the kept rows with all their columns and the input's schema; a file for every schema in a row."""
    mask = KeepMask(keep, on_unreadable=on_unreadable)
    names: list[tuple[str, int]] = []
    with contextlib.ExitStack() as stack:
        writer: _Writer | None = None
        for span in unit.spans:
            with mask.tolerate(), opened(span.path) as file:
                for table in _tables(file, span, None):
                    chosen = mask.take(table.num_rows)
                    if not chosen.any():
                        continue
                    if writer is None or not writer.schema.equals(file.schema_arrow, check_metadata=True):
                        if writer is not None:
                            writer.flush()
                        url = f"{stem}{f'-{len(names)}' if names else ''}{SUFFIXES[0]}"
                        writer = _Writer(stack.enter_context(committing.create(url)), file.schema_arrow, stack)
                        names.append((url.rpartition("/")[2], 0))
                    writer.add(table.filter(pa.array(chosen)))
                    names[-1] = (names[-1][0], names[-1][1] + int(chosen.sum()))
        if writer is not None:
            writer.flush()
        mask.finish()
    return names


class _Writer:
    """Collects rows to row groups of a fair size."""

    def __init__(self, path: str, schema: pa.Schema, stack: contextlib.ExitStack):
        self.schema = schema
        self._writer = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
        self._held: list[pa.Table] = []
        self._size = 0

    def add(self, table: pa.Table) -> None:
        self._held.append(table)
        self._size += table.nbytes
        if self._size >= _ROW_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._held:
            table = pa.concat_tables(self._held)
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._held, self._size = [], 0
