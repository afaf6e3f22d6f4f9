"""JSON lines: one object a line. Plain files are cut anywhere; a range owns the lines that start in it."""

import json
import math
from collections.abc import Callable, Iterator
from itertools import compress, pairwise
from typing import Any

import orjson

from sluice.transforms import committing, storage, streams, validation
from sluice.transforms.kept import KeepMask
from sluice.transforms.lines import Lines, lines, owned_lines
from sluice.transforms.records import Fields, Span, Unit, Window
from sluice.transforms.validation import MISSING, Batch, Dimension

SUFFIXES = (".jsonl", ".ndjson", ".json")
COMPRESSIONS = ("none", "gzip", "zstd", "bz2", "xz")
FIELDS = ("text", "id", "vector", "columns")

_BOM = b"\xef\xbb\xbf"


def cut(info: storage.FileInfo, compression: str, target_bytes: int) -> list[tuple[int, int]]:
    """Byte ranges of about `target_bytes`; a compressed file is one range."""
    if compression != "none" or info.size <= target_bytes:
        return [(0, info.size)]
    count = -(-info.size // target_bytes)
    edges = [info.size * index // count for index in range(count + 1)]
    return list(pairwise(edges))


def read(span: Span, compression: str, fields: Fields, *, dimension: Dimension | None = None) -> Iterator[Window]:
    """The records of a span, rows from 0. Blank lines are not records.

    Raises streams.UnreadableFile at a fault, after the records before it.
    """
    dimension = dimension or Dimension()
    row = 0
    for batch in _batches(span, compression, fields):
        yield validation.check(batch, fields, first_row=row, dimension=dimension)
        row += len(batch.ids)


def _batches(span: Span, compression: str, fields: Fields) -> Iterator[Batch]:
    """Only the wanted values of a record outlive its parsing: parsed JSON can be 30 times its text."""
    limit = fields.max_document_bytes
    text_of, id_of = _getter(fields.text), _getter(fields.id)
    vector_of = _getter(fields.vector)
    columns_of = [(name, _getter(name, MISSING)) for name in fields.columns]
    loads, relative = orjson.loads, span.relative
    batch, raws, size = _empty(fields), [], 0
    try:
        for block in _blocks(span, compression, limit):
            offset = block.offset
            texts, ids = batch.texts, batch.ids
            for line in block.lines:
                start, offset = offset, offset + len(line) + 1
                if not line:
                    continue
                fault = None
                if block.cut or len(line) > limit:
                    record, fault = {}, validation.TOO_LARGE
                else:
                    try:
                        record = loads(line)
                    except orjson.JSONDecodeError:
                        record, fault = _second_look(line, vector_of, first=start == 0)
                if type(record) is not dict:
                    record, fault = {}, validation.NOT_AN_OBJECT
                if fault:
                    if line.isspace():
                        continue
                    batch.faults[len(ids)] = fault
                if text_of:
                    texts.append(text_of(record))  # type: ignore[union-attr]
                if vector_of:
                    batch.vectors.append(validation.vector_of(vector_of(record)))  # type: ignore[union-attr]
                for name, column_of in columns_of:
                    batch.columns[name].append(column_of(record))  # type: ignore[misc]
                ids.append(id_of(record) if id_of else f"{relative}@{start}")
                raws.append(line)
                size += len(line)
                if len(ids) >= validation.WINDOW_RECORDS or size >= validation.WINDOW_BYTES:
                    batch.heads = raws.__getitem__
                    yield batch
                    batch, raws, size = _empty(fields), [], 0
                    texts, ids = batch.texts, batch.ids
    except streams.UnreadableFile:
        if raws:
            batch.heads = raws.__getitem__
            yield batch
        raise
    if raws:
        batch.heads = raws.__getitem__
        yield batch


def _empty(fields: Fields) -> Batch:
    return Batch(
        texts=None if fields.text is None else [],
        ids=[],
        vectors=None if fields.vector is None else [],
        columns={name: [] for name in fields.columns},
    )


def _second_look(line: bytes, vector_of: Callable | None, *, first: bool) -> tuple[Any, str | None]:
    """What is wrong with a line that did not parse; a byte order mark at the file's start is not wrong."""
    if first and line.startswith(_BOM):
        return _parsed(line[len(_BOM) :], vector_of)
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return {}, validation.INVALID_UTF8
    if vector_of and (b"NaN" in line or b"Infinity" in line) and _not_finite(line, vector_of):
        return {}, validation.VECTOR_NOT_FINITE
    return {}, validation.NOT_JSON


def _parsed(line: bytes, vector_of: Callable | None) -> tuple[Any, str | None]:
    try:
        return orjson.loads(line), None
    except orjson.JSONDecodeError:
        return _second_look(line, vector_of, first=False)


def _not_finite(line: bytes, vector_of: Callable) -> bool:
    """Whether a vector holds NaN or Infinity, which JSON does not have and Python's json writes."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    vector = vector_of(record) if type(record) is dict else None
    return type(vector) is list and any(type(value) is float and not math.isfinite(value) for value in vector)


def _getter(name: str | None, missing: Any = None) -> Callable[[dict], Any] | None:
    """Looks a field up in a record: by its whole name, else along its dots."""
    if name is None:
        return None
    if "." not in name:
        return lambda record: record.get(name, missing)
    parts = name.split(".")

    def find(record: dict) -> Any:
        if name in record:
            return record[name]
        value: Any = record
        for part in parts:
            if type(value) is not dict or part not in value:
                return missing
            value = value[part]
        return value

    return find


def _blocks(span: Span, compression: str, limit: int) -> Iterator[Lines]:
    if compression != "none":
        return lines(streams.read_chunks(span.path, compression), limit=limit)
    # One byte early: a line starts at `start` only if a newline is just before it.
    begin = max(span.start - 1, 0)
    chunks = streams.read_chunks(span.path, compression, start=begin)
    return owned_lines(chunks, begin=begin, start=span.start, stop=span.stop, limit=limit)


def export(
    unit: Unit, keep: Any, stem: str, *, max_document_bytes: int, on_unreadable: str = "fail"
) -> list[tuple[str, int]]:
    """Copies the kept lines byte for byte into one file; returns its name and its number of documents."""
    url = stem + SUFFIXES[0] + streams.SUFFIXES[unit.compression]
    mask = KeepMask(keep, on_unreadable=on_unreadable)
    with committing.create(url) as path, streams.open_write(path, unit.compression) as out:
        for span in unit.spans:
            with mask.tolerate():
                for block in _blocks(span, unit.compression, max_document_bytes):
                    _copy(block, mask, out.write)
        mask.finish()
    return [(url.rpartition("/")[2], mask.kept)]


def _copy(block: Lines, mask: KeepMask, write: Callable[[bytes], Any]) -> None:
    records = [line for line in block.lines if line and not line.isspace()]
    if not records:
        return
    chosen = mask.take(len(records)).tolist()
    kept = list(compress(records, chosen))
    if kept and block.cut:
        raise ValueError(f"a kept line at byte {block.offset} is above max_document_bytes")
    if kept:
        kept.append(b"")
        write(b"\n".join(kept))
