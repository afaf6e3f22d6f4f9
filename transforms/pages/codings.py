"""The codings of an HTTP body undone: chunks, gzip, deflate, br and zstd, several in a row, within a bound of memory.

Archives often keep the header of a coding that was undone before the page was stored: what is plain already is then
taken as it is. What was cut short gives what could be decoded. Anything else is an error: bytes that were not decoded
are no text.
"""

import re
import zlib
from collections.abc import Iterator

import brotli
import zstandard

MOST = 3  # codings in a row; servers use one
_SLICE = 16 << 10  # what follows a gzip member is copied once for every member
_MEMBERS = 100
_CHUNKS = 200_000  # 0.2 s
_ZSTD_SLICE = 1 << 10  # zstd has no output limit; 1 KB can become 43 MB at worst
_ZSTD_WINDOW = 8 << 20  # the most that a zstd coding may need (RFC 8878, RFC 9659)
_GZIP = b"\x1f\x8b"
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,4096})?\r?\n")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\v\x1b")) + b"\x7f"
_FORMATS = (b"%PDF-", b"GIF87a", b"GIF89a", b"PK\x03\x04", _GZIP)
# Of a hundred bytes of compressed data ten are control characters; of the pages in Common Crawl hardly any is.
_CONTROL_SHARE = 50


class Undecodable(ValueError):
    """A body that cannot be decoded; its text says why."""


class TooLarge(ValueError):
    """A body that is larger than the limit at some layer."""


def listed(values: list[str]) -> list[str]:
    """The codings that headers list, in the order in which they were applied, without those that do nothing."""
    names = (name.strip().lower() for value in values for name in value.split(","))
    return [name.removeprefix("x-") for name in names if name not in ("", "identity", "none")]


def undo(body: bytes, codings: list[str], limit: int) -> bytes:
    """The body without its codings, the last one undone first; gzip is undone where nothing declares it, too.

    Never holds more than the body and `limit` bytes of each of two layers. Raises Undecodable, or TooLarge where a
    layer has more than `limit` bytes.
    """
    if len(codings) > MOST + codings.count("chunked"):
        raise Undecodable(f"content coding: more than {MOST} in a row")
    for coding in reversed(codings):
        body = _chunks(body) if coding == "chunked" else _undone(body, coding, limit)
    if body.startswith(_GZIP):
        body = _undone(body, "gzip", limit)
    return body


def is_binary(body: bytes) -> bool:
    """Whether bytes are no text of any charset: a format's first bytes, or control characters, one in 50."""
    if body.startswith(_FORMATS):
        return True
    return (len(body) - len(body.translate(None, _CONTROLS))) * _CONTROL_SHARE > len(body)


def _is_plain(body: bytes) -> bool:
    """Whether a body was stored after its codings had been undone, as far as UTF-8 tells."""
    if is_binary(body):
        return False
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _undone(body: bytes, coding: str, limit: int) -> bytes:
    layers = {"gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd}
    output: list[bytes] = []
    size, whole = 0, False
    if coding in layers and not _is_plain(body):
        try:
            for piece in layers[coding](body):
                output.append(piece)
                if (size := size + len(piece)) > limit:
                    raise TooLarge
            whole = True
        except EOFError:
            pass
        except (zlib.error, brotli.error, zstandard.ZstdError):
            output.clear()
    if whole or (output and is_binary(body)):
        return b"".join(output)
    if is_binary(body):
        raise Undecodable(f"content coding {coding[:20]}: cannot be decoded")
    return body


def _gzip(body: bytes) -> Iterator[bytes]:
    """All members; what follows the last is passed over. Raises EOFError where one is cut."""
    at = 0
    for _ in range(_MEMBERS):
        member = zlib.decompressobj(31)
        while not member.eof:
            data = body[at : at + _SLICE]
            if not data:
                raise EOFError
            at += len(data)
            while data and not member.eof:
                yield member.decompress(data, 1 << 20)
                data = member.unconsumed_tail
        at -= len(member.unused_data)
        if not body.startswith(_GZIP, at):
            return
    raise zlib.error("too many members")


def _deflate(body: bytes) -> Iterator[bytes]:
    """The zlib stream that the standard means, or the raw one that some servers send."""
    is_zlib = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    stream = zlib.decompressobj(15 if is_zlib else -15)
    data = body
    while not stream.eof:
        yield (piece := stream.decompress(data, 1 << 20))
        data = stream.unconsumed_tail
        if not data and not piece and not stream.eof:
            raise EOFError
    if stream.unused_data and not is_zlib:
        raise zlib.error("a raw stream has no checksum, and text may begin like one")


def _brotli(body: bytes) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    data = body
    while not stream.is_finished():
        yield (piece := stream.process(data, output_buffer_limit=1 << 20))
        if not piece and not stream.is_finished() and stream.can_accept_more_data():
            raise EOFError
        data = b""


def _zstd(body: bytes) -> Iterator[bytes]:
    frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    for at in range(0, len(body), _ZSTD_SLICE):
        yield frame.decompress(body[at : at + _ZSTD_SLICE])
        if frame.eof:
            return
    raise EOFError


def _chunks(body: bytes) -> bytes:
    """The content of chunks; a body that is not in chunks is taken as it is, one that is cut gives what there is."""
    pieces: list[bytes] = []
    at = 0
    while (head := _CHUNK.match(body, at)) is not None:
        start, size = head.end(), int(head[1], 16)
        if size == 0:
            break
        after = body[start + size : start + size + 2]
        if not after.startswith((b"\r\n", b"\n")) and start + size < len(body):
            break
        pieces.append(body[start : start + size])
        at = start + size + (2 if after == b"\r\n" else 1)
        if len(pieces) > _CHUNKS:
            raise Undecodable("transfer coding chunked: too many chunks")
    ended = head is not None and int(head[1], 16) == 0
    return b"".join(pieces) if pieces or ended else body
