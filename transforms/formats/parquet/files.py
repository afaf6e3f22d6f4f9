"""Parquet files opened, and read in batches whose memory is bounded, whatever the file is or says."""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms import storage
from sluice.transforms.formats.parquet import bounds, timestamps
from sluice.transforms.records.records import Span
from sluice.transforms.storage import filesystems, streams

_BUFFER = 1 << 20
# Arrow holds a footer as objects of several times its size.
_MOST_FOOTER = 64 << 20


@dataclass
class Opened:
    """A Parquet file, and its bytes."""

    path: str
    parquet: pq.ParquetFile
    raw: BinaryIO
    local: bool

    @property
    def schema(self) -> pa.Schema:
        return self.parquet.schema_arrow


@contextlib.contextmanager
def opened(path: str, groups: range = range(0)) -> Iterator[Opened]:
    """A file from anywhere, of which some row groups will be read. Raises streams.UnreadableFile for a damaged one."""
    with contextlib.ExitStack() as stack:
        local = filesystems.is_local(path)
        with faults(path):
            raw = stack.enter_context(open(path, "rb", buffering=0) if local else storage.open_read(path))
            _check_footer(path, cast(BinaryIO, raw))
            source: Any = path if local else raw
            file = stack.enter_context(_parquet(source, None))
            if groups and timestamps.columns(file):
                micro = stack.enter_context(_parquet(source, "us"))
                try:
                    unit = timestamps.unit(micro, file, groups)
                except ValueError as error:
                    raise streams.UnreadableFile(path, str(error)) from None
                file = micro if unit == "us" else file
        yield Opened(path, file, cast(BinaryIO, raw), local)


def _parquet(source: Any, unit: str | None) -> pq.ParquetFile:
    return pq.ParquetFile(
        source, buffer_size=_BUFFER, coerce_int96_timestamp_unit=unit, page_checksum_verification=True
    )


def _check_footer(path: str, raw: BinaryIO) -> None:
    size = raw.seek(0, 2)
    raw.seek(max(size - 8, 0))
    end = raw.read(8)
    length = struct.unpack("<I", end[:4])[0] if end[4:] in (b"PAR1", b"PARE") else 0
    if _MOST_FOOTER < length < size:
        raise streams.UnreadableFile(
            path, f"has {length / 1e6:,.0f} MB that describe its columns; at most {_MOST_FOOTER / 1e6:,.0f} MB may"
        )


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


def tables(file: Opened, span: Span, columns: list[str] | None, *, max_document_bytes: int) -> Iterator[pa.Table]:
    """Batches of a span, of some columns or all; the same rows whatever the columns, so that a copy meets a fault where
    reading met it."""
    for group in range(span.start, span.stop):
        try:
            with faults(span.path):
                size = bounds.together(file.parquet, file.raw, group, columns, max_document_bytes, local=file.local)
        except bounds.TooLarge as error:
            raise streams.UnreadableFile(span.path, f"row group {group}: {error}") from None
        # An empty list of columns would give batches without a length.
        names = [*columns, *_doubtful(file, group)] if columns else None
        rows = 0
        batches = file.parquet.iter_batches(size, row_groups=[group], columns=names, use_threads=False)
        while True:
            with faults(span.path):
                batch = next(batches, None)
            if batch is None:
                break
            rows += batch.num_rows
            yield pa.Table.from_batches([batch])
        claimed = file.parquet.metadata.row_group(group).num_rows
        if rows != claimed:
            raise streams.UnreadableFile(span.path, f"row group {group} has {rows} rows, not {claimed}")


def _doubtful(file: Opened, group: int) -> list[str]:
    """Columns that Arrow may refuse for what they hold: lists of one length with nulls among them.

    A copy would be refused too, at the end of a run, so they are decoded even where they are not used.
    """
    metadata = file.parquet.metadata.row_group(group)
    fixed = {field.name for field in file.schema if _has_fixed_lists(field.type)}
    if not fixed:
        return []
    paths = []
    for index in range(metadata.num_columns):
        column = metadata.column(index)
        known = column.statistics is not None and column.statistics.has_null_count
        may_be_null = not known or column.statistics.null_count > 0
        if may_be_null and any(column.path_in_schema.startswith(f"{name}.") for name in fixed):
            paths.append(column.path_in_schema)
    return paths


def _has_fixed_lists(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _has_fixed_lists(kind.storage_type)
    if pa.types.is_fixed_size_list(kind):
        return True
    return any(_has_fixed_lists(kind.field(at).type) for at in range(kind.num_fields))
