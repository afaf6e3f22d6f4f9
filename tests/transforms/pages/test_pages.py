"""What the bytes of an archived page mean: charsets, codings, and what is no page."""

import codecs
import contextlib
import encodings.aliases
import gzip
import io
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from fastwarc.warc import ArchiveIterator
from hypothesis import given
from hypothesis import strategies as st

from sluice.transforms.pages import charsets, codings, extraction

WORDS = "S\u00fc\u00dfer Wein und sch\u00f6ne W\u00f6rter, so viele, dass dies der Hauptteil der Seite ist. " * 40
PAGE = f"<html><head><title>t</title></head><body><main><p>{WORDS}</p></main></body></html>"
BODY = PAGE.encode()
TEXT = WORDS.strip()
NIHON = "\u65e5\u672c\u8a9e\u306e\u30da\u30fc\u30b8\u3067\u3059\u3002" * 20


def text_of(content: bytes, kind: bytes = b"response", declared: bytes = b"application/http; msgtype=response"):
    header = b"WARC/1.0\r\nWARC-Type: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    raw = header % (kind, declared, len(content)) + content + b"\r\n\r\n"
    record = next(ArchiveIterator(io.BytesIO(raw), parse_http=False))
    return extraction.text_of(record, record.reader.read(record.content_length), 1_000_000)


def page(body: bytes, *headers: bytes, start: bytes = b"HTTP/1.1 200 OK", kind: bytes = b"text/html"):
    return text_of(b"\r\n".join([start, b"Content-Type: " + kind, *headers, b"", body]))


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def chunked(data: bytes, size: int = 1000) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x;x=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def zstd_of_unknown_size(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    "body, names",
    [
        (gzip.compress(BODY), "gzip"),
        (gzip.compress(BODY), "X-GZIP"),
        (gzip.compress(BODY), "identity, gzip"),
        (gzip.compress(BODY), ""),
        (gzip.compress(BODY) + b"tail of nothing", "gzip"),
        (gzip.compress(BODY[:500]) + gzip.compress(BODY[500:]), "gzip"),
        (gzip.compress(gzip.compress(BODY)), "gzip, gzip"),
        (gzip.compress(BODY), "gzip, gzip"),
        (zlib.compress(BODY), "deflate"),
        (raw_deflate(BODY), "deflate"),
        (brotli.compress(BODY), "br"),
        (gzip.compress(brotli.compress(BODY)), "br, gzip"),
        (zstandard.compress(BODY), "zstd"),
        (zstd_of_unknown_size(BODY), "zstd"),
        *[(BODY, name) for name in ("gzip", "deflate", "br", "zstd", "utf-8", "sdch", "aws-chunked")],
        (PAGE.encode("cp1252"), "br"),
        (PAGE.encode("cp1252"), "deflate"),
    ],
)
def test_codings_are_undone_or_were_undone_before(body, names):
    assert page(body, b"Content-Encoding: " + names.encode()) == (TEXT, None)


@pytest.mark.parametrize(
    "body, headers",
    [
        (chunked(BODY), [b"Transfer-Encoding: chunked"]),
        (BODY, [b"Transfer-Encoding: chunked"]),
        (chunked(gzip.compress(BODY)), [b"Transfer-Encoding: gzip, chunked"]),
        (chunked(gzip.compress(BODY), 7), [b"transfer-encoding: Chunked", b"content-encoding: gzip"]),
        (gzip.compress(BODY), [b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"]),
        (gzip.compress(brotli.compress(BODY)), [b"Content-Encoding: br", b"Content-Encoding: gzip"]),
    ],
)
def test_chunks_and_several_headers(body, headers):
    assert page(body, *headers) == (TEXT, None)


@pytest.mark.parametrize(
    "body, coding",
    [
        (gzip.compress(BODY)[:-20], b"gzip"),
        (zlib.compress(BODY)[:-20], b"deflate"),
        (raw_deflate(BODY)[:-20], b"deflate"),
        (brotli.compress(BODY * 20)[:-20], b"br"),
    ],
)
def test_a_cut_body_gives_what_could_be_decoded_or_is_rejected(body, coding):
    text, reason = page(body, b"Content-Encoding: " + coding)
    assert reason or text[:60] == TEXT[:60]


def test_a_cut_chunk_gives_what_there_is():
    text, reason = page(chunked(BODY)[:-700], b"Transfer-Encoding: chunked")
    assert (text[:500], reason) == (TEXT[:500], None)


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(20) + data[len(data) // 2 + 20 :]


@pytest.mark.parametrize(
    "body, headers, reason",
    [
        (damaged(gzip.compress(BODY)), [b"Content-Encoding: gzip"], "content coding gzip: cannot be decoded"),
        (brotli.compress(BODY), [b"Content-Encoding: gzip"], "content coding gzip: cannot be decoded"),
        (brotli.compress(BODY), [b"Content-Encoding: compress"], "content coding compress: cannot be decoded"),
        (gzip.compress(BODY), [b"Content-Encoding: br"], "content coding br: cannot be decoded"),
        (BODY, [b"Content-Encoding: br, br, br, br"], "content coding: more than 3 in a row"),
        (brotli.compress(BODY), [], "body is binary"),
        (zlib.compress(BODY), [], "body is binary"),
        (b"%PDF-1.4 " + BODY, [], "body is binary"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, [], "body is binary"),
        (gzip.compress(b"GIF89a" + BODY), [], "body is binary"),
        (gzip.compress(b"x" * 2_000_000), [], "too large"),
        (b"1\r\nx\r\n" * 201_000, [b"Transfer-Encoding: chunked"], "transfer coding chunked: too many chunks"),
    ],
)
def test_no_document_is_made_of_bytes_that_were_not_decoded(body, headers, reason):
    text, found = page(body, *headers)
    assert found == reason
    assert text is None or "\ufffd" not in text


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br", "nonsense"])
@given(body=st.binary(max_size=300))
def test_any_bytes_in_any_coding_are_decoded_or_rejected(coding, body):
    with contextlib.suppress(codings.Undecodable, codings.TooLarge):
        assert len(codings.undo(body, codings.listed([coding]), 1000)) <= 1000


def bomb(start: bytes, compress, flush) -> bytes:
    """The first 512 MB of a stream of zeros, made of one block."""
    return start + (compress(bytes(1 << 20)) + flush()) * 512


GZIP = zlib.compressobj(9, zlib.DEFLATED, 31)
GZIP_START = GZIP.compress(b"") + GZIP.flush(zlib.Z_FULL_FLUSH)
GZIP_BOMB = bomb(GZIP_START, GZIP.compress, lambda: GZIP.flush(zlib.Z_FULL_FLUSH))
ZSTD = zstandard.ZstdCompressor(level=3).compressobj()
BROTLI = brotli.Compressor(quality=5)


@pytest.mark.parametrize(
    "body, coding",
    [
        (GZIP_BOMB, "gzip"),
        (GZIP_BOMB, ""),
        (GZIP_BOMB[10:], "deflate"),
        (gzip.compress(GZIP_BOMB), "gzip, gzip"),
        (gzip.compress(gzip.compress(GZIP_BOMB)), "gzip, gzip, gzip"),
        (b"".join(BROTLI.process(bytes(1 << 20)) for _ in range(128)) + BROTLI.finish(), "br"),
        (b"".join(ZSTD.compress(bytes(1 << 20)) for _ in range(128)) + ZSTD.flush(), "zstd"),
    ],
)
def test_a_bomb_takes_no_more_memory_than_a_few_of_the_largest_documents(body, coding):
    tracemalloc.start()
    try:
        with pytest.raises(codings.TooLarge):
            codings.undo(body, codings.listed([coding]), 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "codec, declared",
    [
        ("cp932", "x-sjis"),
        ("cp932", "windows-31j"),
        ("euc_jp", "x-euc-jp"),
        ("iso2022_jp", "ISO-2022-JP"),
        ("utf-16-le", "utf-16"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-16", ""),
        ("utf-16-le", ""),
        ("utf-16-be", ""),
        ("utf-8-sig", "x-sjis"),
        ("utf-8", "iso-8859-1"),
        ("cp932", "none"),
        ("gb18030", "x-gbk"),
        ("big5hkscs", "x-x-big5"),
    ],
)
def test_japanese_pages(codec, declared):
    words = NIHON if codec not in ("gb18030", "big5hkscs") else "\u65e5\u672c\u4eba\u6c11\u5c71\u6c34" * 20
    body = f"<html><body><main><p>{words}</p></main></body></html>".encode(codec)
    assert page(body, kind=f"text/html; charset={declared}".encode()) == (words, None)


@pytest.mark.parametrize(
    "words, codec, declared",
    [
        ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "iso8859-8", "iso-8859-8-i"),
        ("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "cp874", "windows-874"),
        ("\uc548\ub155\ud558\uc138\uc694", "cp949", "windows-949"),
        ("\uc548\ub155\ud558\uc138\uc694", "iso2022_kr", "iso-2022-kr"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442", "mac_cyrillic", "x-mac-cyrillic"),
        ("\u4f60\u597d", "hz", "hz-gb-2312"),
        ("caf\u00e9 \u20ac 5", "cp1252", "latin1"),
    ],
)
def test_charsets_are_known_by_the_names_of_the_web(words, codec, declared):
    assert charsets.decode((words + " ").encode(codec) * 30, declared) == (words + " ") * 30


@pytest.mark.parametrize(
    "start, codec",
    [
        ('<meta charset="shift_jis">', "cp932"),
        ("<META http-equiv=Content-Type content='text/html; charset=euc-jp'>", "euc_jp"),
        ('<!-- <meta charset="koi8-r"> --><meta charset=x-sjis>', "cp932"),
        ('<?xml version="1.0" encoding="EUC-JP"?>', "euc_jp"),
        ('<meta charset="utf-16">', "utf-8"),
    ],
)
def test_a_page_says_its_charset_itself(start, codec):
    body = f"<html><head>{start}</head>{NIHON}".encode(codec)
    if start.startswith("<?xml"):
        body = f"{start}<html>{NIHON}".encode(codec)
    assert charsets.decode(body, None).endswith(NIHON)


def test_a_wrong_byte_does_not_change_the_charset():
    body = NIHON.encode("euc_jp")
    assert charsets.decode(body[:100] + b"\xff" + body[100:], "euc-jp").replace("\ufffd", "") == NIHON


NONSENSE = ["none", "unicode", "ansi", "utf-8, text/html", "hex", "undefined", "idna", "rot13", "", "x" * 5000]
NONSENSE += [
    '"',
    "'utf-8",
    "\0",
    "utf\0-8",
    "zip",
    "base64",
    "unicode_escape",
    "raw_unicode_escape",
    "punycode",
    "mbcs",
]


@pytest.mark.parametrize("words", [WORDS, NIHON], ids=["latin", "japanese"])
def test_no_name_of_a_charset_ends_a_run(words):
    body = f"<html><body><main><p>{words}</p></main></body></html>".encode("cp1252" if words == WORDS else "euc_jp")
    for name in {*NONSENSE, *encodings.aliases.aliases, *encodings.aliases.aliases.values()}:
        text, reason = page(body, kind=b"text/html; charset=" + name.encode())
        assert text or reason


@given(name=st.text(max_size=50), body=st.binary(max_size=200))
def test_any_bytes_under_any_name_decode_to_text(name, body):
    text = charsets.decode(body, name)
    assert text is None or text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass") == text


def test_codecs_of_names_exist():
    assert all(
        codecs.lookup(charsets.codec_of(name)) for name in ("x-sjis", "iso-2022-jp", "x-mac-ukrainian", "tis-620")
    )


@pytest.mark.parametrize(
    "start, headers, reason",
    [
        (b"HTTP/2 200", [b"content-type: text/html"], None),
        (b"HTTP/1.1 200", [], None),
        (b"HTTP/1.1 200 OK", [b"Content-Type: text", b"Content-Type: text/html"], None),
        (b"HTTP/1.1 200 OK", [b"Content-Type: */*"], None),
        (b"HTTP/1.1 200 OK", [b"Content-Type: text/html, text/html; charset=utf-8"], None),
        (b"HTTP/1.1 206 Partial Content", [], "HTTP status 206"),
        (b"HTTP/1.1 200 OK", [b"A: b"] * 200_000, "not an HTTP response"),
        (b"HTTP/1.1 200 OK", [b"A: " + b"b" * 200_000], "not an HTTP response"),
        (b"HTTP/1.1 2e9 OK", [], "not an HTTP response"),
    ],
)
def test_heads_of_responses(start, headers, reason):
    text, found = text_of(b"\r\n".join([start, *headers, b"", BODY]))
    assert (text, found) == (None if reason else TEXT, reason)


def test_headers_may_end_in_bare_line_feeds():
    assert text_of(b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n" + BODY) == (TEXT, None)


@pytest.mark.parametrize(
    "kind, declared, text, reason",
    [
        (b"resource", b"text/html; charset=utf-8", TEXT, None),
        (b"resource", b"text/plain", PAGE, None),
        (b"resource", b"image/png", None, "content type image/png"),
        (b"revisit", b"application/http", None, "revisit record"),
    ],
)
def test_resources_are_pages_and_revisits_are_told(kind, declared, text, reason):
    assert text_of(BODY, kind, declared) == (text, reason)
