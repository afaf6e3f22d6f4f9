"""A small local copy of pieces from all over a corpus, in its own formats: what `sluice plan` measures things on."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms import formats, storage
from sluice.transforms.formats.parquet import files as parquet
from sluice.transforms.records.records import Span, Unit
from sluice.transforms.storage.streams import UnreadableFile

PIECES, LEAST_BYTES, BYTES_EACH, MOST_FILES, MOST_BYTES = 16, 1 << 20, 4096, 512, 64 << 20
# Half a text is a wrong document, and Parquet says at its end what is where.
WHOLE = ("text", "parquet")
# Of these a file is one document.
ONE = ("text",)
# Of Parquet's, those beside plain and dictionaries that can be written again.
ENCODINGS = ("BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY")
CODECS = ("zstd", "snappy", "gzip", "brotli", "lz4")
# Rows are taken in steps of so many until there are enough, or so many bytes of them.
BATCH_ROWS, MOST_ROW_BYTES = 256, 256 << 20


@dataclass(frozen=True)
class Piece:
    """Something of one file, as a unit of its own. path: the file in the corpus; places: how many of the sample's
    places it stands for; stands_for: stored bytes of the corpus that it is a sample of; cut_off: its last record is
    torn, which is the sampling's doing.
    """

    unit: Unit
    path: str
    places: float
    stands_for: float
    cut_off: bool


@dataclass(frozen=True)
class Sample:
    """pieces, each chosen with a probability in proportion to its file's bytes; everything: they are the corpus.
    texts: how many files there are where each is one document, else None.
    """

    pieces: list[Piece]
    everything: bool
    texts: int | None = None


def corpus_bytes(units: Sequence[Unit]) -> int:
    """Stored bytes of all files."""
    return sum({span.path: span.size for unit in units for span in unit.spans}.values())


def copy_sample(units: Sequence[Unit], folder: str, *, seed: int, records: int) -> Sample:
    """Copy pieces of 1 MB, or of 4 KB for each of `records` if that is more, into a local folder.

    All of a corpus of at most PIECES pieces' bytes in few files; otherwise PIECES places, at random by size. Where a
    file has several of them, plain JSON lines give as many pieces from all over it, and Parquet as many row groups.
    What can only be read from its beginning gives one piece as long as all of them, and so does a single row group.
    """
    rng = np.random.default_rng(seed)
    files = list({span.path: (unit, span) for unit in units for span in unit.spans}.values())
    sizes = np.array([span.size for _, span in files], np.float64)
    most = min(max(LEAST_BYTES, BYTES_EACH * records // PIECES), MOST_BYTES)
    fits = float(sizes.sum()) <= PIECES * most and float(sizes.max(initial=0)) <= MOST_BYTES
    everything = fits and len(files) <= MOST_FILES
    if everything:
        places = np.ones(len(files), int)
        most = MOST_BYTES
    else:
        # Evenly spaced from a random start: a file twice as large is met twice as often.
        at = (rng.random() + np.arange(PIECES)) * max(sizes.sum(), 1.0) / PIECES
        chosen = np.minimum(np.searchsorted(np.cumsum(sizes), at, side="right"), len(files) - 1)
        places = np.bincount(chosen, minlength=len(files))
    each = -(-records // max(int(places.sum()), 1))
    pieces: list[Piece] = []
    for number in np.flatnonzero(places).tolist():
        unit, span = files[number]
        wanted = _Wanted(int(places[number]), int(places[number]) * most, int(places[number]) * each)
        copies = _copy(unit, span, f"{folder}/{number:03d}", wanted, rng)
        for copy in copies:
            copied = _as_unit(unit, copy.path, len(pieces))
            pieces.append(Piece(copied, span.path, wanted.places / len(copies), copy.stands_for, copy.cut_off))
    return Sample(pieces, everything, len(files) if all(unit.format in ONE for unit, _ in files) else None)


class _Wanted(NamedTuple):
    """Of one file: the sample's places in it, and for all of them bytes, and of Parquet at least so many rows."""

    places: int
    size: int
    rows: int


class _Copy(NamedTuple):
    path: str
    stands_for: float
    cut_off: bool


def _copy(unit: Unit, span: Span, stem: str, wanted: _Wanted, rng: np.random.Generator) -> list[_Copy]:
    if unit.format == "parquet" and span.size > min(wanted.size, MOST_BYTES):
        # A damaged file is copied as it is: the stages say what is wrong with it.
        with contextlib.suppress(UnreadableFile):
            return _copy_groups(span, stem, wanted, rng)
    return list(_copy_bytes(unit, span, stem, wanted, rng))


def _copy_groups(span: Span, stem: str, wanted: _Wanted, rng: np.random.Generator) -> list[_Copy]:
    """The first rows of as many row groups as a file has places, or more rows of fewer."""
    groups = _row_groups(span.path)
    filled = np.flatnonzero(groups)
    chosen = rng.choice(filled, min(wanted.places, len(filled)), replace=False).tolist()
    copies = []
    rows = max(wanted.rows, wanted.size * sum(groups) // span.size)
    for group in chosen:
        target = _name(stem, group, span)
        copied = _copy_rows(span.path, target, group=group, rows=-(-rows // len(chosen)))
        copies.append(_Copy(target, span.size * copied / sum(groups), cut_off=False))
    return copies


def _copy_bytes(unit: Unit, span: Span, stem: str, wanted: _Wanted, rng: np.random.Generator) -> Iterator[_Copy]:
    """Lines out of as many equal parts of a file as it has places; of other formats the beginning."""
    lines = unit.format == "jsonl" and unit.compression == "none"
    count = wanted.places if lines else 1
    part = span.size / count
    length = min(wanted.size // count, MOST_BYTES, math.ceil(part))
    if unit.format in WHOLE:
        length = min(span.size, MOST_BYTES)
    for number in range(count):
        start = int(number * part + rng.random() * (part - length)) if lines else 0
        data = storage.read_range(span.path, start, min(start + length, span.size))
        cut_off = len(data) < span.size and unit.format not in WHOLE
        if cut_off and lines and data.count(b"\n") > 1:
            # The first and the last line are torn.
            data = data[data.find(b"\n") + 1 if start else 0 : data.rfind(b"\n") + 1]
            cut_off = False
        target = _name(stem, number, span)
        Path(target).write_bytes(data)
        yield _Copy(target, float(len(data)), cut_off)


def _name(stem: str, number: int, span: Span) -> str:
    return f"{stem}-{number:03d}-{span.path.rsplit('/', 1)[-1]}"


def _as_unit(unit: Unit, path: str, number: int) -> Unit:
    info = storage.info(path)
    (start, stop), *_ = formats.load(unit.format).cut(info, unit.compression, 1 << 50)
    span = Span(info.path, info.path.rsplit("/", 1)[-1], start, stop, info.size, info.etag)
    return Unit(number, unit.format, unit.compression, (span,))


def _row_groups(path: str) -> list[int]:
    """Rows of every row group of a file. Raises UnreadableFile where it is damaged."""
    with parquet.opened(path) as opened:
        file = opened.parquet
        return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


def _copy_rows(path: str, target: str, *, group: int, rows: int) -> int:
    """The first `rows` of a row group, or fewer where they are large -> how many. Raises as _row_groups."""
    with parquet.opened(path) as opened:
        file = opened.parquet
        kept: list[pa.RecordBatch] = []
        copied = held = 0
        with parquet.faults(path):
            for batch in file.iter_batches(min(rows, BATCH_ROWS), row_groups=[group], use_threads=False):
                kept.append(batch.slice(0, rows - copied))
                copied += kept[-1].num_rows
                held += kept[-1].nbytes
                if copied >= rows or held >= MOST_ROW_BYTES:
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
