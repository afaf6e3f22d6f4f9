"""Rows of a Parquet file as a small file of the same layout, for a plan's sample."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms.formats.parquet import files

# Of Parquet's, those beside plain and dictionaries that can be written again.
ENCODINGS = ("BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY")
CODECS = ("zstd", "snappy", "gzip", "brotli", "lz4")
# Rows are taken in steps of so many until there are enough, or so many bytes of them.
BATCH_ROWS, MOST_BYTES = 256, 256 << 20


def row_groups(path: str) -> list[int]:
    """Rows of every row group of a file. Raises UnreadableFile where it is damaged."""
    with files.opened(path) as opened:
        file = opened.parquet
        return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


def copy_rows(path: str, target: str, *, group: int, rows: int) -> int:
    """The first `rows` of a row group, or fewer where they are large -> how many. Raises as row_groups."""
    with files.opened(path) as opened:
        file = opened.parquet
        kept: list[pa.RecordBatch] = []
        copied = held = 0
        with files.faults(path):
            for batch in file.iter_batches(min(rows, BATCH_ROWS), row_groups=[group], use_threads=False):
                kept.append(batch.slice(0, rows - copied))
                copied += kept[-1].num_rows
                held += kept[-1].nbytes
                if copied >= rows or held >= MOST_BYTES:
                    break
        table = pa.Table.from_batches(kept, file.schema_arrow)
        pq.write_table(table, target, row_group_size=max(copied, 1), **_layout(file.metadata.row_group(group)))
    return copied


def _layout(group: pq.RowGroupMetaData) -> dict[str, Any]:
    """How the columns of a row group are compressed and encoded, which decides how long it takes to read them."""
    columns = [group.column(i) for i in range(group.num_columns)]
    plain = [one.path_in_schema for one in columns if not any("DICTIONARY" in name for name in one.encodings)]
    encoded = {
        one.path_in_schema: name
        for one in columns
        for name in ENCODINGS
        if one.path_in_schema in plain and name in one.encodings
    }
    return {
        "compression": {one.path_in_schema: _writable(one.compression.lower()) for one in columns},
        "use_dictionary": [one.path_in_schema for one in columns if one.path_in_schema not in plain],
        "column_encoding": encoded or None,
    }


def _writable(codec: str) -> str:
    return codec if codec in CODECS else "none"
