"""JSON lines: one object a line. Plain files are cut anywhere; a range owns the lines that start in it."""

import codecs
from collections.abc import Callable, Iterator
from itertools import compress, pairwise
from typing import Any

import orjson

from sluice.transforms import storage
from sluice.transforms.records import json_values, validation
from sluice.transforms.records.kept import KeepMask
from sluice.transforms.records.records import Fields, Span, Unit, Window
from sluice.transforms.records.validation import MISSING, Batch, Dimension
from sluice.transforms.storage import committing, contents, streams
from sluice.transforms.storage.lines import Lines, lines, owned_lines

SUFFIXES = (".jsonl", ".ndjson", ".json")
COMPRESSIONS = ("none", "gzip", "zstd", "bz2", "xz")
FIELDS = ("text", "id", "vector", "columns")


def cut(info: storage.FileInfo, compression: str, target_bytes: int) -> list[tuple[int, int]]:
    """Byte ranges of about `target_bytes`; a compressed file is one range."""
    if compression != "none" or info.size <= target_bytes or not _can_be_cut(info.path):
        return [(0, info.size)]
    count = -(-info.size // target_bytes)
    edges = [info.size * index // count for index in range(count + 1)]
    return list(pairwise(edges))


def _can_be_cut(path: str) -> bool:
    """Whether it is plain text that lines can be looked for in anywhere, as its name says."""
    try:
        with storage.open_read(path) as file:
            head = file.read(contents.HEAD)
    except PermissionError:
        # The reading tells it, or rejects it where that is asked for.
        return True
    return contents.compression(head) is None and contents.wide_encoding(head) is None


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
    settle = json_values.Settle(id_of)
    batch, raws, starts, size = _empty(fields), [], [], 0
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
                        if line.isspace():
                            continue
                        record, fault = json_values.second_look(line, first=start == 0)
                        settle.odd.append(len(ids))
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
                starts.append(start)
                size += len(line)
                if len(ids) >= validation.WINDOW_RECORDS or size >= validation.WINDOW_BYTES:
                    yield settle(batch, raws, starts)
                    batch, raws, starts, size = _empty(fields), [], [], 0
                    texts, ids = batch.texts, batch.ids
    except streams.UnreadableFile:
        if raws:
            yield settle(batch, raws, starts)
        raise
    if raws:
        yield settle(batch, raws, starts)


def _empty(fields: Fields) -> Batch:
    return Batch(
        texts=None if fields.text is None else [],
        ids=[],
        vectors=None if fields.vector is None else [],
        columns={name: [] for name in fields.columns},
    )


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
    if (span.start, span.stop) == (0, span.size):
        return lines(_narrow(streams.read_chunks(span.path, compression), span.path), limit=limit)
    # One byte early: a line starts at `start` only if a newline is just before it.
    begin = max(span.start - 1, 0)
    chunks = streams.read_chunks(span.path, compression, start=begin)
    return owned_lines(chunks, begin=begin, start=span.start, stop=span.stop, limit=limit)


def _narrow(chunks: Iterator[bytes], path: str) -> Iterator[bytes]:
    """The chunks. Raises UnreadableFile for UTF-16 and UTF-32: kept lines are copied byte for byte, not converted."""
    first = next(chunks, b"")
    if (encoding := contents.wide_encoding(first)) is not None:
        name = encoding.upper()
        raise streams.UnreadableFile(path, f"is {name}, and JSON lines are UTF-8; convert it: iconv -f {name} -t UTF-8")
    yield first
    yield from chunks


def export(
    unit: Unit, keep: Any, stem: str, *, max_document_bytes: int, on_unreadable: str = "fail"
) -> list[tuple[str, int]]:
    """Copies the kept lines byte for byte into one file, without the byte order marks that began the inputs.

    Returns its name and its number of documents.
    """
    url = stem + SUFFIXES[0] + streams.SUFFIXES[unit.compression]
    mask = KeepMask(keep, on_unreadable=on_unreadable)
    with committing.create(url, replace=True) as path, streams.open_write(path, unit.compression) as out:
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
    if block.offset == 0:
        # A mark that began an input file would stand in the middle of the output, where it is no JSON.
        records[0] = records[0].removeprefix(codecs.BOM_UTF8)
    chosen = mask.take(len(records)).tolist()
    kept = list(compress(records, chosen))
    if kept and block.cut:
        raise ValueError(f"a kept line at byte {block.offset} is above max_document_bytes")
    if kept:
        kept.append(b"")
        write(b"\n".join(kept))
