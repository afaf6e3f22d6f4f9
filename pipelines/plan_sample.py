"""A small local copy of pieces from all over a corpus, in its own formats: what `sluice plan` measures things on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms import formats, storage
from sluice.transforms.records import Span, Unit

PIECES, LEAST_BYTES, BYTES_EACH, MOST_FILES, MOST_BYTES = 16, 1 << 20, 4096, 64, 64 << 20
# Of Parquet's, those beside plain and dictionaries that can be written again.
ENCODINGS = ("BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY")
# A file of plain text is one document, so half of it would be a wrong one.
WHOLE = ("text",)


@dataclass(frozen=True)
class Piece:
    """One file of the copy as a unit of its own. stands_for: stored bytes of the corpus that it is a sample of;
    cut_off: its last record is torn, which is the sampling's doing.
    """

    unit: Unit
    stands_for: float
    cut_off: bool


@dataclass(frozen=True)
class Sample:
    """pieces, each chosen with a probability in proportion to its file's bytes; everything: they are the corpus."""

    pieces: list[Piece]
    everything: bool


def corpus_bytes(units: Sequence[Unit]) -> int:
    """Stored bytes of all files."""
    return sum({span.path: span.size for unit in units for span in unit.spans}.values())


def copy_sample(units: Sequence[Unit], folder: str, *, seed: int, records: int) -> Sample:
    """Copy pieces of 1 MB or of 4 KB a record (of Parquet: rows), about `records` in all or more, into a local folder.

    All of a corpus of at most PIECES pieces' bytes in few files; otherwise PIECES places, at random by size: lines from
    anywhere in plain JSON lines, rows of any row group of Parquet, the beginnings of anything else.
    """
    rng = np.random.default_rng(seed)
    files = list({span.path: (unit, span) for unit in units for span in unit.spans}.values())
    sizes = np.array([span.size for _, span in files], np.float64)
    most = min(max(LEAST_BYTES, BYTES_EACH * records // PIECES), MOST_BYTES)
    everything = len(files) <= MOST_FILES and float(sizes.sum()) <= PIECES * most
    if everything:
        chosen = np.arange(len(files))
    else:
        # Evenly spaced places from a random start: a file twice as large is met twice as often.
        places = (rng.random() + np.arange(PIECES)) * max(sizes.sum(), 1.0) / PIECES
        chosen = np.minimum(np.searchsorted(np.cumsum(sizes), places, side="right"), len(files) - 1)
    each = -(-records // max(len(chosen), 1))
    if everything:
        most, each = MOST_BYTES, 1 << 62
    pieces = []
    for number, place in enumerate(chosen.tolist()):
        unit, span = files[place]
        target = str(Path(folder) / f"{number:03d}-{span.path.rsplit('/', 1)[-1]}")
        piece = _copy(unit, span, target, number=number, rng=rng, most=most, records=each)
        if piece is not None:
            pieces.append(piece)
    return Sample(pieces, everything)


def _copy(
    unit: Unit, span: Span, target: str, *, number: int, rng: np.random.Generator, most: int, records: int
) -> Piece | None:
    if unit.format == "parquet":
        stands_for = _copy_rows(span, target, rng, records)
        return None if stands_for is None else _piece(unit, target, number, stands_for, cut_off=False)
    start, stop = 0, min(span.size, MOST_BYTES)
    lines = unit.format == "jsonl" and unit.compression == "none"
    cut_off = span.size > most and unit.format not in WHOLE
    if cut_off:
        start = int(rng.integers(0, span.size - most + 1)) if lines else 0
        stop = start + most
    data = storage.read_range(span.path, start, stop)
    if cut_off and lines and data.count(b"\n") > 1:
        # The first and the last line are torn.
        data = data[data.find(b"\n") + 1 if start else 0 : data.rfind(b"\n") + 1]
        cut_off = False
    Path(target).write_bytes(data)
    return _piece(unit, target, number, float(len(data)), cut_off=cut_off)


def _copy_rows(span: Span, target: str, rng: np.random.Generator, records: int) -> float | None:
    """The first rows of a row group of a span -> the stored bytes they stand for."""
    with storage.open_read(span.path) as source:
        file = pq.ParquetFile(source)
        rows = file.metadata.num_rows
        groups = [group for group in range(file.num_row_groups) if file.metadata.row_group(group).num_rows]
        if not groups:
            return None
        count = rows
        if records < rows:
            groups, count = [groups[int(rng.integers(len(groups)))]], records
        copied = 0
        kept = []
        for batch in file.iter_batches(min(count, 4096), row_groups=groups, use_threads=False):
            kept.append(batch.slice(0, count - copied))
            copied += kept[-1].num_rows
            if copied >= count:
                break
        table = pa.Table.from_batches(kept, file.schema_arrow)
        pq.write_table(table, target, row_group_size=max(copied, 1), **_layout(file.metadata.row_group(groups[0])))
    return span.size * copied / rows


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
    return codec if codec in ("zstd", "snappy", "gzip", "brotli", "lz4") else "none"


def _piece(unit: Unit, target: str, number: int, stands_for: float, *, cut_off: bool) -> Piece:
    info = storage.info(target)
    (start, stop), *_ = formats.load(unit.format).cut(info, unit.compression, 1 << 50)
    span = Span(info.path, info.path.rsplit("/", 1)[-1], start, stop, info.size, info.etag)
    return Piece(Unit(number, unit.format, unit.compression, (span,)), stands_for, cut_off)
