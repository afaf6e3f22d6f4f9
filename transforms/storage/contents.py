"""What a file's first bytes say it is, whatever its name says."""

import codecs

HEAD = 4096

COMPRESSED = {
    "gzip": (b"\x1f\x8b\x08",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([kind]) + b"\x2a\x4d\x18" for kind in range(0x50, 0x60))),
    "bz2": tuple(b"BZh%d" % level + mark for level in range(1, 10) for mark in (b"1AY&SY", b"\x17rE8P\x90")),
    "xz": (b"\xfd7zXZ\x00",),
}
_OTHERS = {
    "a Parquet file": (b"PAR1",),
    "a zip archive": (b"PK\x03\x04", b"PK\x05\x06"),
    "a 7z archive": (b"7z\xbc\xaf\x27\x1c",),
    "an lz4 stream": (b"\x04\x22\x4d\x18",),
    "an Arrow file": (b"ARROW1\x00\x00",),
}
# UTF-32's little-endian mark begins with that of UTF-16.
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b"))


def compression(head: bytes) -> str | None:
    """The compression whose stream begins so, as streams.SUFFIXES names it: b"BZh91AY&SY" gives "bz2"."""
    return next((name for name, marks in COMPRESSED.items() if head.startswith(marks)), None)


def other_kind(head: bytes) -> str | None:
    """The kind of a file that holds neither text nor a stream that is read: b"PK\\x03\\x04" gives "a zip archive"."""
    return next((name for name, marks in _OTHERS.items() if head.startswith(marks)), None)


def wide_encoding(head: bytes) -> str | None:
    """ "utf-16" or "utf-32" where a byte order mark of theirs comes first; both names decode and drop the mark."""
    return next((name for name, marks in _MARKS.items() if head.startswith(marks)), None)


def is_text(head: bytes) -> bool:
    """Whether these bytes can begin a text in UTF-8, or by its mark in UTF-16 or UTF-32; b"" cannot."""
    if wide_encoding(head):
        return True
    if not head or head.translate(None, _CONTROLS) != head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
