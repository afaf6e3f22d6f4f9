"""Files decompressed piece by piece, in bounded memory; a damaged file never ends like a whole one."""

import bz2
import contextlib
import functools
import gzip
import io
import itertools
import logging
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any, BinaryIO, cast

import zstandard

from sluice.transforms import storage
from sluice.transforms.storage import contents

log = logging.getLogger("sluice")
SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst", "bz2": ".bz2", "xz": ".xz"}

_CHUNK = 1 << 20  # decompressed bytes handed on at a time
_RAW = 1 << 16  # compressed bytes fed at a time: what follows a gzip member is copied once for every member
_ZSTD_SLICE = 1 << 10  # zstd has no output limit; 1 KB can become 43 MB at worst
_ZSTD_HEADER = 18
_START = 10  # bytes that tell a member of any compression
_XZ_MEMORY = 256 << 20
# What `zstd --long` alone makes; a window is held in memory as a whole, and frames of 2 GiB are a few KB to write.
_ZSTD_WINDOW = 128 << 20
GZIP_LEVEL = 3  # twice as fast as 6, files 8 % larger (on web text)

_Member = Generator[bytes, None, bytes]  # yields the content of a member, returns the bytes that follow it


class UnreadableFile(ValueError):
    """A file that is damaged, cut short, or not what its name says."""

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def split_compression(name: str) -> tuple[str, str]:
    """The name without its compression's suffix, and the compression: "a.gz" gives "a", "gzip"."""
    for compression, suffix in SUFFIXES.items():
        if suffix and name.lower().endswith(suffix):
            return name[: -len(suffix)], compression
    return name, "none"


def read_chunks(path: str, compression: str, *, start: int = 0) -> Iterator[bytes]:
    """The decompressed content of a file in pieces of about 1 MB, from byte `start` of the file itself.

    The file's first bytes tell how it is compressed, `compression` only what its name says: plain text that is
    called .gz is read as it is, and a gzip stream that is called .jsonl decompressed. From a `start` in the file's
    middle the name is believed. All members, frames or streams are read. Memory is bounded whatever the file holds.
    Raises UnreadableFile where the file may not be opened, is of another kind, or its data is corrupt, ends early or
    is followed by something else; what came before has then been given out.
    """
    try:
        opened = storage.open_read(path)
    except PermissionError as error:
        raise UnreadableFile(path, str(error)) from None
    with opened as file:
        if start:
            file.seek(start)
            yield from iter(lambda: file.read(_CHUNK), b"")
            return
        head = file.read(_RAW)
        compression = _told(path, head, compression)
        if compression == "none":
            yield from itertools.chain([head] if head else [], iter(lambda: file.read(_CHUNK), b""))
        else:
            yield from _gathered(_decompressed(head, file, compression, path))


def _told(path: str, head: bytes, named: str) -> str:
    """The compression to read with. Raises UnreadableFile for archives and other kinds of files."""
    if (found := contents.compression(head)) is not None:
        return found
    if (kind := contents.other_kind(head)) is not None and not contents.is_text(head[: contents.HEAD]):
        raise UnreadableFile(path, f"is {kind}, which its name does not say")
    if named == "none" or contents.is_text(head[: contents.HEAD]):
        return "none"
    raise UnreadableFile(path, f"is {'not' if head else 'empty, not'} a {named} stream")


def _decompressed(rest: bytes, file: BinaryIO, compression: str, path: str) -> Iterator[bytes]:
    members = {"gzip": _gzip_member, "zstd": _zstd_frame, "bz2": _bz2_stream, "xz": _xz_stream}[compression]
    padding = b"\0" if compression in ("gzip", "xz") else b""
    try:
        while rest:
            rest = yield from members(rest, file)
            rest = rest or file.read(_RAW)
            while padding and rest[:1] == padding:
                rest = rest.lstrip(padding) or file.read(_RAW)
            if 0 < len(rest) < _START:
                rest += file.read(_RAW)
            if rest and compression in ("gzip", "bz2") and _passed_over(rest, file, compression, path):
                return
    except EOFError:
        raise UnreadableFile(path, f"ends inside a {compression} stream") from None
    except (zlib.error, zstandard.ZstdError, lzma.LZMAError) as error:
        raise UnreadableFile(path, f"corrupt {compression} data: {error}") from None
    except _WideWindow as error:
        raise UnreadableFile(path, str(error)) from None
    except OSError as error:
        # bz2 reports bad data as an OSError without a number; a failing disk or network has one.
        if compression != "bz2" or error.errno is not None:
            raise
        raise UnreadableFile(path, f"corrupt {compression} data: {error}") from None


def _passed_over(rest: bytes, file: BinaryIO, compression: str, path: str) -> bool:
    """Whether what follows a member is none: gzip and bzip2 pass over that, and so it is here, with a warning.

    Raises UnreadableFile where a member begins further on: then one before it is damaged, and not a tail of no use.
    """
    starts = contents.COMPRESSED[compression]
    if any(rest.startswith(mark) or mark.startswith(rest) for mark in starts):
        return False
    size, tail = 0, b""
    for data in itertools.chain([rest], iter(lambda: file.read(_CHUNK), b"")):
        if any(mark in tail + data for mark in starts):
            raise UnreadableFile(path, f"corrupt {compression} data: no {compression} stream where the next one begins")
        size, tail = size + len(data), data[-16:]
    _warn(f"{path}: {size:,} bytes after the end of its {compression} data are not read")
    return True


@functools.cache
def _warn(line: str) -> None:
    """Once in a process: a file is read several times."""
    log.warning("%s", line)


def _more(file: BinaryIO) -> bytes:
    data = file.read(_RAW)
    if not data:
        raise EOFError
    return data


def _gzip_member(data: bytes, file: BinaryIO) -> _Member:
    member = zlib.decompressobj(31)
    while True:
        out = member.decompress(data, _CHUNK)
        if out:
            yield out
        if member.eof:
            return member.unused_data
        data = member.unconsumed_tail
        if not data and len(out) < _CHUNK:
            data = _more(file)


class _WideWindow(ValueError):
    """A sound zstd frame that needs more memory than is given."""


def _zstd_frame(data: bytes, file: BinaryIO) -> _Member:
    while len(data) < _ZSTD_HEADER and (more := file.read(_RAW)):
        data += more
    window = zstandard.get_frame_parameters(data).window_size
    if window > _ZSTD_WINDOW:
        raise _WideWindow(
            f"has a zstd window of {window >> 20:,} MB, and at most {_ZSTD_WINDOW >> 20} MB are read; pack it again: "
            f"zstd -d --long={max(window - 1, 1).bit_length()} -c FILE | zstd -o NEW.zst"
        )
    frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    while True:
        for at in range(0, len(data), _ZSTD_SLICE):
            out = frame.decompress(data[at : at + _ZSTD_SLICE])
            for start in range(0, len(out), _CHUNK):
                yield out[start : start + _CHUNK]
            if frame.eof:
                return frame.unused_data + data[at + _ZSTD_SLICE :]
        data = _more(file)


def _bz2_stream(data: bytes, file: BinaryIO) -> _Member:
    return (yield from _limited(bz2.BZ2Decompressor(), data, file))


def _xz_stream(data: bytes, file: BinaryIO) -> _Member:
    return (yield from _limited(lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), data, file))


def _limited(stream: Any, data: bytes, file: BinaryIO) -> _Member:
    while True:
        out = stream.decompress(data, _CHUNK)
        if out:
            yield out
        if stream.eof:
            return stream.unused_data
        data = _more(file) if stream.needs_input else b""


def _gathered(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Joins small pieces: a WARC has one gzip member for every page."""
    held: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            held.append(chunk)
            size += len(chunk)
            if size >= _CHUNK:
                yield b"".join(held)
                held, size = [], 0
    except UnreadableFile:
        if held:
            yield b"".join(held)
        raise
    if held:
        yield b"".join(held)


class ChunkReader(io.RawIOBase):
    """A readable binary file over chunks of bytes, for parsers that want a file."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = memoryview(b"")
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(filter(None, self._chunks), b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._at += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Only tells the place: FastWARC asks for it in this way."""
        if (offset, whence) != (0, io.SEEK_CUR):
            raise io.UnsupportedOperation("seek")
        return self._at


@contextlib.contextmanager
def open_write(path: str, compression: str) -> Iterator[IO[bytes]]:
    """A writer that compresses into a local file; the same content gives the same bytes."""
    with open(path, "wb") as file, contextlib.ExitStack() as stack:
        openers: dict[str, Callable[[], Any]] = {
            "none": lambda: file,
            "gzip": lambda: gzip.GzipFile("", "wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0),
            "zstd": lambda: zstandard.ZstdCompressor(write_checksum=True, threads=1).stream_writer(file, closefd=False),
            "bz2": lambda: bz2.BZ2File(file, "wb"),
            "xz": lambda: lzma.LZMAFile(file, "wb", preset=6),
        }
        writer = openers[compression]()
        if compression != "none":
            stack.enter_context(writer)
        yield cast(IO[bytes], writer)
