"""WARC and WET archives: the main text of HTML responses and resources, the text of conversions. Parsed by FastWARC.

Responses, resources, conversions and revisits are records, though a revisit, which says that a page had not changed,
is always rejected; warcinfo, requests, metadata and the like are not counted.
"""

import gzip
import re
from collections.abc import Callable, Iterator
from typing import Any

import zstandard
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from sluice.transforms import storage
from sluice.transforms.pages import extraction
from sluice.transforms.records import validation
from sluice.transforms.records.kept import KeepMask
from sluice.transforms.records.records import Fields, Span, Unit, Window
from sluice.transforms.records.validation import MISSING, Batch, Dimension
from sluice.transforms.storage import committing, streams

SUFFIXES = (".warc", ".wet")
COMPRESSIONS = ("none", "gzip", "zstd", "bz2", "xz")
FIELDS = ("id", "columns")

_DOCUMENTS = tuple(
    int(kind)
    for kind in (WarcRecordType.response, WarcRecordType.resource, WarcRecordType.conversion, WarcRecordType.revisit)
)
_END = b"\r\n\r\n"
_MARGIN = 4 << 20  # how far the parser may have read beyond a record: some buffers and a header


def cut(info: storage.FileInfo, compression: str, target_bytes: int) -> list[tuple[int, int]]:
    """The whole file."""
    return [(0, info.size)]


class _Archive:
    """The records of a file, headers first; after each, `content` or `skip` must be called.

    Raises streams.UnreadableFile where FastWARC finds no record, and where one ends early: FastWARC does not tell.
    """

    def __init__(self, span: Span, compression: str, *, hold: int):
        self._path = span.path
        self._hold = hold + _MARGIN
        self._chunks: list[tuple[int, bytes]] = []
        self._size = 0
        self._reader = streams.ChunkReader(self._taped(streams.read_chunks(span.path, compression)))

    def _taped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._chunks.append((self._size, chunk))
            self._size += len(chunk)
            while self._chunks[0][0] + len(self._chunks[0][1]) < self._size - self._hold:
                self._chunks.pop(0)
            yield chunk

    def __iter__(self) -> Iterator[WarcRecord]:
        records = self._parsed(
            lambda: ArchiveIterator(self._reader, parse_http=False, stream_detect=False, fsspec_args=False)
        )
        while (record := self._parsed(lambda: next(records, None))) is not None:
            yield record
        if self._size and self.taped(self._size - len(_END), self._size) != _END:
            raise streams.UnreadableFile(self._path, "ends inside a WARC record")

    def _parsed(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except OSError as error:
            if error.errno is not None:
                raise
            raise streams.UnreadableFile(self._path, f"corrupt WARC: {error}") from None
        except BaseException as error:
            # FastWARC's Rust code may panic on what it did not expect; that is no Exception, and not to be survived
            # by accident.
            if type(error).__name__ != "PanicException":
                raise
            raise streams.UnreadableFile(self._path, f"corrupt WARC: {error}") from None

    def content(self, record: WarcRecord) -> bytes:
        """The block of a record."""
        data = self._parsed(lambda: record.reader.read(record.content_length))
        self._check(record, len(data))
        return data

    def skip(self, record: WarcRecord) -> None:
        self._check(record, self._parsed(record.consume))

    def _check(self, record: WarcRecord, found: int) -> None:
        if found != record.content_length:
            raise streams.UnreadableFile(self._path, "ends inside a WARC record")

    def raw(self, record: WarcRecord) -> bytes:
        """The bytes of a record that was just skipped, header and end included."""
        header = self.taped(record.stream_pos, min(record.stream_pos + (64 << 10), self._size))
        blank = re.search(rb"\r?\n\r?\n", header)
        if blank is None:
            raise streams.UnreadableFile(self._path, f"no end of the WARC header at byte {record.stream_pos}")
        stop = record.stream_pos + blank.end() + record.content_length
        return self.taped(record.stream_pos, stop) + _END

    def taped(self, start: int, stop: int) -> bytes:
        pieces = [
            chunk[max(start - at, 0) : stop - at] for at, chunk in self._chunks if at < stop and at + len(chunk) > start
        ]
        data = b"".join(pieces)
        if start >= 0 and len(data) != stop - start:
            raise ValueError(f"{self._path}: a kept record at byte {start} is above max_document_bytes")
        return data


def read(span: Span, compression: str, fields: Fields, *, dimension: Dimension | None = None) -> Iterator[Window]:
    """The pages of a file, rows from 0. Id and columns name WARC headers.

    Without an id field the identity is the WARC-Record-ID. Raises streams.UnreadableFile at a fault, after the
    records before it.
    """
    dimension = dimension or Dimension()
    row = 0
    for batch in _batches(span, compression, fields):
        yield validation.check(batch, fields, first_row=row, dimension=dimension)
        row += len(batch.ids)


def _batches(span: Span, compression: str, fields: Fields) -> Iterator[Batch]:
    batch, heads, starts, size = _empty(fields), [], [], 0
    archive = _Archive(span, compression, hold=0)
    try:
        for record in archive:
            if int(record.record_type) not in _DOCUMENTS:
                archive.skip(record)
                continue
            headers = record.headers
            text, fault, content = None, None, b""
            if record.content_length > fields.max_document_bytes:
                archive.skip(record)
                fault = validation.TOO_LARGE
            else:
                content = archive.content(record)
                if fields.text:
                    text, fault = extraction.text_of(record, content, fields.max_document_bytes)
            at = len(batch.ids)
            if fault:
                batch.faults[at] = fault
            if batch.texts is not None:
                batch.texts.append(text)
            if fields.id is None:
                batch.ids.append(headers.get("WARC-Record-ID") or f"{span.relative}@{record.stream_pos}")
            else:
                batch.ids.append(headers.get(fields.id))
            for name in fields.columns:
                batch.columns[name].append(headers.get(name, MISSING))
            heads.append(f"{headers.get('WARC-Target-URI') or ''} {validation.head(content)}")
            starts.append(record.stream_pos)
            size += len(text or "")
            if len(heads) >= validation.WINDOW_RECORDS or size >= validation.WINDOW_BYTES:
                yield _described(batch, heads, starts)
                batch, heads, starts, size = _empty(fields), [], [], 0
    except streams.UnreadableFile:
        if heads:
            yield _described(batch, heads, starts)
        raise
    if heads:
        yield _described(batch, heads, starts)


def _described(batch: Batch, heads: list[str], starts: list[int]) -> Batch:
    batch.heads = heads.__getitem__
    batch.places = lambda position: f"byte {starts[position]}"
    return batch


def _empty(fields: Fields) -> Batch:
    return Batch(None if fields.text is None else [], [], None, {name: [] for name in fields.columns})


def export(
    unit: Unit, keep: Any, stem: str, *, max_document_bytes: int, on_unreadable: str = "fail"
) -> list[tuple[str, int]]:
    """Copies the kept records byte for byte, and each file's leading warcinfo; one gzip member or zstd frame each."""
    mask = KeepMask(keep, on_unreadable=on_unreadable)
    wet = all(".wet" in span.relative.lower() for span in unit.spans)
    url = stem + (".warc.wet" if wet else ".warc") + streams.SUFFIXES[unit.compression]
    pack, outer = _packer(unit.compression)
    with committing.create(url, replace=True) as path, streams.open_write(path, outer) as out:
        for span in unit.spans:
            with mask.tolerate():
                archive = _Archive(span, unit.compression, hold=max_document_bytes)
                for record in archive:
                    archive.skip(record)
                    if int(record.record_type) in _DOCUMENTS:
                        chosen = bool(mask.take(1)[0])
                    else:
                        is_info = int(record.record_type) == int(WarcRecordType.warcinfo)
                        chosen = is_info and record.stream_pos == 0 and record.content_length <= max_document_bytes
                    if chosen:
                        out.write(pack(archive.raw(record)))
        mask.finish()
    return [(url.rpartition("/")[2], mask.kept)]


def _packer(compression: str) -> tuple[Callable[[bytes], bytes], str]:
    """How one record is packed, and the compression around all of them."""
    if compression == "gzip":
        return lambda data: gzip.compress(data, streams.GZIP_LEVEL, mtime=0), "none"
    if compression == "zstd":
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        return compressor.compress, "none"
    return lambda data: data, compression
