"""The text of a page's bytes: charsets by the names that the web has for them (WHATWG Encoding), as browsers choose.

No name reaches Python's codecs but those below: `hex` or `idna` are codecs there, and no charsets.
"""

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

# What the web means by a name is often larger than Python's codec of that name.
_LARGER = {
    "shift_jis": "cp932",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
    "iso-2022-jp": "iso2022_jp_ext",
}
# Browsers refuse these escape codes for fear of scripts; an archive is full of them, and a reader runs no script.
_BESIDES = {
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-ukrainian": "mac_cyrillic",
    "hz-gb-2312": "hz",
    "iso-2022-kr": "iso2022_kr",
    "csiso2022kr": "iso2022_kr",
}
_NO_CODEC = ("iso-2022-cn", "iso-2022-cn-ext")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# HTML that begins in UTF-16 without a byte order mark.
_SIXTEEN = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_PRESCAN = 1024  # bytes in which browsers look for a charset
_COMMENT = re.compile(rb"<!--.*?(?:-->|$)", re.DOTALL)
_META = re.compile(rb"<meta\s[^>]{0,1000}?charset\s*=\s*[\"']?\s*([^\s\"'/>;]+)", re.IGNORECASE)
_XML = re.compile(rb"<\?xml\s[^>]{0,1000}?encoding\s*=\s*[\"']([^\"'>]+)[\"']", re.IGNORECASE)
_NAME = 40  # characters; the longest name of the standard has 19
# Of 50 characters one may be wrong before another charset is tried: mixed pages are common, wrong names are worse.
_WRONG = 50
_NOISE = 10


def codec_of(name: str | None) -> str | None:
    """Python's codec for a charset's name on the web, None where nobody knows it.

    >>> codec_of("x-sjis"), codec_of("latin1"), codec_of("rot13")
    ('cp932', 'cp1252', None)
    """
    if not name or len(name) > _NAME:
        return None
    label = name.strip(" \t\r\n\f\"'").lower()
    if label in _BESIDES:
        return _BESIDES[label]
    codec = map_encoding_to_html5(label, fallback_utf8=False)
    return codec and _LARGER.get(codec, codec)


def decode(body: bytes, declared: str | None) -> str | None:
    """The text of a body whose headers name the charset `declared`; None for one of which no codec is known.

    In this order: a byte order mark; what is valid UTF-8, whatever was declared; the declared charset, the page's own
    word, and what the bytes look like, of which the first counts that leaves hardly a character out.
    """
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(codec, errors="replace")
    # Escape codes of ISO-2022 are valid ASCII, and UTF-16 of Latin letters is valid UTF-8 with zeros.
    if (b"\x1b" not in body and b"~{" not in body and b"\0" not in body) or _is_ascii_free_utf8(body):
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            pass
    if b"\x1b$" in body and _label(declared) in _NO_CODEC:
        return None
    return _best(body, declared)


def is_wide(body: bytes, declared: str | None) -> bool:
    """Whether a body is UTF-16: by its byte order mark, by its first letter, or because it has zeros and says so."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"<\0", b"\0<")):
        return True
    return b"\0" in body and (codec_of(declared) or "").startswith("utf-16")


def is_noise(text: str) -> bool:
    """Whether a text is of bytes that were no text: of ten characters more than one is a replacement."""
    return text.count("\ufffd") * _NOISE > len(text)


def _label(name: str | None) -> str:
    return (name or "").strip().lower()


def _is_ascii_free_utf8(body: bytes) -> bool:
    """Whether a body with escape codes has other bytes besides: ISO-2022 and HZ are of seven bits."""
    return b"\0" not in body and not body.isascii()


def _best(body: bytes, declared: str | None) -> str:
    tried: list[str] = []
    best, fewest = "", None
    for named in (lambda: codec_of(declared), lambda: _own_word(body), lambda: _looks_like(body)):
        codec = named()
        if codec is None or codec in tried:
            continue
        tried.append(codec)
        text = body.decode(codec, errors="replace")
        wrong = text.count("\ufffd") + text.count("\0")
        if wrong * _WRONG <= len(text):
            return text
        if fewest is None or wrong < fewest:
            best, fewest = text, wrong
    return best


def _own_word(body: bytes) -> str | None:
    """What a page says in its meta elements or its XML declaration, where browsers look for it."""
    for first, wide in _SIXTEEN:
        if body.startswith(first):
            return wide
    start = _COMMENT.sub(b"", body[:_PRESCAN])
    found = _META.search(start) or _XML.match(start)
    codec = codec_of(found[1].decode("latin-1")) if found else None
    # Who could read that name was not reading UTF-16.
    return "utf-8" if codec and codec.startswith("utf-16") else codec


def _looks_like(body: bytes) -> str:
    codec = detect_encoding(body) or "utf-8"
    return _LARGER.get(codec, codec)
