"""The text of a page: an archived HTTP response undone, decoded, and reduced to its main content by Resiliparse."""

import re
from typing import Any

from fastwarc.warc import WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, detect_mime

from sluice.transforms import validation

_HTML = ("text/html", "application/xhtml+xml")
_DEEPEST = 2000
_ATTRIBUTES = 5000


def text_of(record: WarcRecord, content: bytes, limit: int) -> tuple[str | None, str | None]:
    """The text of a response or conversion whose block is `content`, or what is wrong with it."""
    if int(record.record_type) == int(WarcRecordType.conversion):
        try:
            return content.decode("utf-8-sig"), None
        except UnicodeDecodeError:
            return None, validation.INVALID_UTF8
    declared = record.headers.get("Content-Type") or ""
    if declared and not declared.lower().startswith("application/http"):
        return None, validation.NOT_TEXT.format(_short(declared))
    response, body = _response(content, limit)
    if response.http_headers.status_code is None:
        return None, validation.NOT_HTTP
    if response.http_headers.status_code != 200:
        return None, validation.HTTP_STATUS.format(response.http_headers.status_code)
    if len(body) > limit:
        return None, validation.TOO_LARGE
    kind = (response.http_content_type or detect_mime(body)).lower()
    if kind not in _HTML and kind != "text/plain":
        return None, validation.NOT_TEXT.format(_short(kind))
    text = _decoded(body, response.http_charset)
    if kind == "text/plain":
        return text, None
    if _intricate(text):
        return None, validation.TOO_INTRICATE
    return extract_plain_text(text, main_content=True), None


def _short(kind: str) -> str:
    """One reason for many pages: without parameters, and not as long as whoever wrote it liked."""
    return kind.partition(";")[0].strip()[:60]


def _response(content: bytes, limit: int) -> tuple[WarcRecord, bytes]:
    """The HTTP headers and the body, undone chunking and compression. Archives often keep the header of an encoding
    that was undone before; the body is then taken as it is."""
    modes: tuple[Any, ...] = ("all", "none")
    for mode in modes:
        response = WarcRecord()
        response.init_headers(WarcRecordType.response, content_length=len(content))
        response.is_http = True
        response.set_bytes_content(content)
        try:
            response.parse_http(auto_decode=mode)
            return response, response.reader.read(limit + 1)
        except OSError:
            continue
    return WarcRecord(), b""


def _decoded(body: bytes, charset: str | None) -> str:
    # What decodes as UTF-8 is UTF-8, whatever was declared, except for the escape codes of ISO-2022.
    if b"\x1b" not in body:
        try:
            return body.decode("utf-8-sig")
        except UnicodeDecodeError:
            pass
    encoding = charset or detect_encoding(body, from_html_meta=True) or "utf-8"
    return bytes_to_str(body, encoding, errors="replace")


_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_LONG_TAG = re.compile(r"<[a-zA-Z][^>]{20000,}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Elements that do not nest: empty ones, and those whose end may be left out.
_FLAT = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
        "p",
        "li",
        "td",
        "th",
        "tr",
        "dt",
        "dd",
        "option",
        "tbody",
    ]
)


def _intricate(html: str) -> bool:
    """Whether a page would keep the extractor busy: it takes time by the square of depth, and of a tag's attributes
    (8,000 nested elements took 1.4 s, 20,000 attributes 1.2 s)."""
    if any(len(re.findall(r"[\s/]+", _QUOTED.sub("", tag.group()))) > _ATTRIBUTES for tag in _LONG_TAG.finditer(html)):
        return True
    if html.count("<") - 2 * html.count("</") < _DEEPEST and html.count("</") < _DEEPEST:
        return False
    depth = 0
    for tag in _TAG.finditer(html):
        if tag[2].lower() in _FLAT:
            continue
        depth = max(depth - 1, 0) if tag[1] else depth + 1
        if depth > _DEEPEST:
            return True
    return False
