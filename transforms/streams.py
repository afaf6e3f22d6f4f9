"""Files decompressed piece by piece, in bounded memory; a damaged file never ends like a whole one."""

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any, BinaryIO, cast

import zstandard

from sluice.transforms import storage

SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst", "bz2": ".bz2", "xz": ".xz"}

_CHUNK = 1 << 20  # decompressed bytes handed on at a time
_RAW = 1 << 16  # compressed bytes fed at a time: what follows a gzip member is copied once for every member
_ZSTD_SLICE = 1 << 10  # zstd has no output limit; 1 KB can become 43 MB at worst
_XZ_MEMORY = 256 << 20
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

    All members, frames or streams are read. Memory is bounded whatever the file holds.
    Raises UnreadableFile where the file may not be opened, or its data is corrupt, ends early or is followed by
    something else; what came before has then been given out.
    """
    try:
        opened = storage.open_read(path)
    except PermissionError as error:
        raise UnreadableFile(path, str(error)) from None
    with opened as file:
        if start:
            file.seek(start)
        if compression == "none":
            yield from iter(lambda: file.read(_CHUNK), b"")
        else:
            yield from _gathered(_decompressed(file, compression, path))


def _decompressed(file: BinaryIO, compression: str, path: str) -> Iterator[bytes]:
    members = {"gzip": _gzip_member, "zstd": _zstd_frame, "bz2": _bz2_stream, "xz": _xz_stream}[compression]
    padding = b"\0" if compression in ("gzip", "xz") else b""
    rest = file.read(_RAW)
    if not rest:
        raise UnreadableFile(path, f"is empty, not a {compression} stream")
    try:
        while rest:
            rest = yield from members(rest, file)
            while padding and rest[:1] == padding:
                rest = rest.lstrip(padding) or file.read(_RAW)
            rest = rest or file.read(_RAW)
    except EOFError:
        raise UnreadableFile(path, f"ends inside a {compression} stream") from None
    except (zlib.error, zstandard.ZstdError, lzma.LZMAError) as error:
        raise UnreadableFile(path, f"corrupt {compression} data: {error}") from None
    except OSError as error:
        # bz2 reports bad data as an OSError without a number; a failing disk or network has one.
        if compression != "bz2" or error.errno is not None:
            raise
        raise UnreadableFile(path, f"corrupt {compression} data: {error}") from None


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


def _zstd_frame(data: bytes, file: BinaryIO) -> _Member:
    frame = zstandard.ZstdDecompressor().decompressobj()
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
