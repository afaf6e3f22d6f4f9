"""The text of a page: an archived HTTP response undone, decoded, and reduced to its main content by Resiliparse."""

import re
from collections.abc import Sequence

from fastwarc.warc import WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_mime

from sluice.transforms.pages import charsets, codings, cost
from sluice.transforms.records import validation

_HTML = ("text/html", "application/xhtml+xml")
_TEXT = (*_HTML, "text/plain")
# What servers send that do not know: browsers look at the bytes then.
_UNKNOWN = ("unknown/unknown", "application/unknown", "*/*")
_ESSENCE = re.compile(r"[\w!#$&^.+*-]{1,100}/[\w!#$&^.+*-]{1,100}")
_CHARSET = re.compile(r";\s*charset\s*=\s*(\"[^\"]*\"|[^;]*)", re.IGNORECASE)
# What browsers take for HTML (WHATWG MIME Sniffing); Resiliparse takes letters outside ASCII for something else.
_BEGINS = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)"
    rb"[\s>]",
    re.IGNORECASE,
)


def text_of(record: WarcRecord, content: bytes, limit: int) -> tuple[str | None, str | None]:
    """The text of a record whose block is `content`, or what is wrong with it.

    Of a response the page, of a resource the text or HTML that it is; of a conversion the block itself. `limit` is
    in bytes, for the block as for what it decodes to.
    """
    kind = int(record.record_type)
    declared = record.headers.get("Content-Type") or ""
    if kind == int(WarcRecordType.conversion):
        try:
            return content.decode("utf-8-sig"), None
        except UnicodeDecodeError:
            return None, validation.INVALID_UTF8
    if kind == int(WarcRecordType.revisit):
        return None, validation.REVISIT
    if kind == int(WarcRecordType.resource):
        return _text(content, [declared], [], limit)
    if declared and not declared.lower().startswith("application/http"):
        return None, validation.NOT_TEXT.format(_short(declared))
    response = _response(content)
    if response is None or response.http_headers.status_code is None:
        return None, validation.NOT_HTTP
    headers = response.http_headers
    if headers.status_code != 200:
        return None, validation.HTTP_STATUS.format(headers.status_code)
    applied = codings.listed([*headers.get_multiple("Content-Encoding"), *headers.get_multiple("Transfer-Encoding")])
    return _text(response.reader.read(), headers.get_multiple("Content-Type"), applied, limit)


def _text(body: bytes, types: Sequence[str], applied: list[str], limit: int) -> tuple[str | None, str | None]:
    kind, charset = _type(types)
    if kind and kind not in _TEXT:
        return None, validation.NOT_TEXT.format(_short(kind))
    try:
        body = codings.undo(body, applied, limit)
    except codings.TooLarge:
        return None, validation.TOO_LARGE
    except codings.Undecodable as error:
        return None, str(error)
    if len(body) > limit:
        return None, validation.TOO_LARGE
    wide = charsets.is_wide(body, charset)
    kind = kind or ("text/html" if wide or _BEGINS.match(body) else detect_mime(body).lower())
    if kind not in _TEXT:
        return None, validation.NOT_TEXT.format(_short(kind))
    if not wide and codings.is_binary(body):
        return None, validation.BINARY
    text = charsets.decode(body, charset)
    if text is None:
        return None, validation.CHARSET.format(_short(charset or ""))
    if charsets.is_noise(text):
        return None, validation.BINARY
    if kind == "text/plain":
        return text, None
    if cost.is_intricate(text):
        return None, validation.TOO_INTRICATE
    return extract_plain_text(text, main_content=True), None


def _type(values: Sequence[str]) -> tuple[str, str | None]:
    """The content type and charset that headers declare, as browsers read them: the last type that is one counts.

    >>> _type(["text/html; charset=x-sjis", "text/html, nonsense"])
    ('text/html', 'x-sjis')
    """
    kind, charset = "", None
    for value in values:
        for part in value.split(","):
            essence = part.partition(";")[0].strip().lower()
            if not _ESSENCE.fullmatch(essence) or essence in _UNKNOWN:
                continue
            found = _CHARSET.search(part)
            if found or essence != kind:
                charset = found[1].strip("\"' \t") if found else None
            kind = essence
    return kind, charset


def _short(kind: str) -> str:
    """One reason for many pages: without parameters, and not as long as whoever wrote it liked."""
    return kind.partition(";")[0].strip()[:60]


def _response(content: bytes) -> WarcRecord | None:
    """The parsed headers, the reader at the body. Codings are left: FastWARC undoes them without a bound of memory."""
    response = WarcRecord()
    response.init_headers(WarcRecordType.response, content_length=len(content))
    response.is_http = True
    response.set_bytes_content(content)
    try:
        response.parse_http(auto_decode="none", quirks_mode=True)
    except OSError:
        return None
    return response
