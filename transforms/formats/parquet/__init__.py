"""Parquet: row groups streamed in small batches; only the wanted columns are decoded."""

from collections.abc import Iterator
from typing import Any

from sluice.transforms import storage
from sluice.transforms.formats.parquet import arrow_types, columns, files
from sluice.transforms.formats.parquet.writing import Outputs
from sluice.transforms.records import validation
from sluice.transforms.records.kept import KeepMask
from sluice.transforms.records.records import Fields, Span, Unit, Window
from sluice.transforms.records.validation import Dimension
from sluice.transforms.storage import streams

SUFFIXES = (".parquet", ".pq")
COMPRESSIONS = ("none",)
FIELDS = ("text", "id", "vector", "columns")


def cut(info: storage.FileInfo, compression: str, target_bytes: int) -> list[tuple[int, int]]:
    """Ranges of row groups of about `target_bytes`, uncompressed. A damaged file is one range, found when read.

    Raises ValueError for a file with a column that could not be written again.
    """
    try:
        with files.opened(info.path) as file:
            arrow_types.check_writable(info.path, file.schema)
            metadata = file.parquet.metadata
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
    """The records of a span, rows from 0. Strings or UTF-8 bytes are texts, lists and tensors of numbers vectors.

    Raises ValueError when a column is missing or there twice, naming file and column;
    streams.UnreadableFile at a fault, and where the file expands above parquet_bounds.bound.
    """
    dimension = dimension or Dimension()
    row = 0
    with files.opened(span.path, range(span.start, span.stop)) as file:
        wanted = columns.check_names(span.path, file.schema, fields)
        before = sum(file.parquet.metadata.row_group(index).num_rows for index in range(span.start))
        for table in files.tables(file, span, wanted, max_document_bytes=fields.max_document_bytes):
            for piece in columns.pieces(table, fields):
                batch = columns.batch(piece, fields, place=f"{span.relative}:", first=before + row)
                yield validation.check(batch, fields, first_row=row, dimension=dimension)
                row += piece.num_rows


def export(
    unit: Unit, keep: Any, stem: str, *, max_document_bytes: int, on_unreadable: str = "fail"
) -> list[tuple[str, int]]:
    """Copies the kept rows with all their columns and the input's types, to files as Outputs says."""
    mask = KeepMask(keep, on_unreadable=on_unreadable)
    with Outputs(stem, SUFFIXES[0]) as outputs:
        for span in unit.spans:
            groups = range(span.start, span.stop)
            with mask.tolerate(), files.opened(span.path, groups) as file:
                for table in files.tables(file, span, None, max_document_bytes=max_document_bytes):
                    chosen = mask.take(table.num_rows)
                    if chosen.any():
                        outputs.add(arrow_types.chosen_rows(table, chosen), file.schema)
        mask.finish()
    return outputs.names
