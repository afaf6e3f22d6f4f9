"""What makes a record usable: every reason a record is rejected for, and the check that all formats share."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np

from sluice.transforms.records.records import Fields, Reject, Window

NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not an object"
INVALID_UTF8 = "invalid UTF-8"
TOO_LARGE = "too large"
NO_TEXT = "no text"
TEXT_TYPE = "text has type {}"
EMPTY = "empty"
NO_ID = "no id"
ID_TYPE = "id has type {}"
NO_VECTOR = "no vector"
VECTOR_TYPE = "vector has type {}"
VECTOR_LENGTH = "vector has {} numbers, expected {}"
VECTOR_NOT_FINITE = "vector not finite"
ZERO_VECTOR = "zero vector"
NOT_HTTP = "not an HTTP response"
HTTP_STATUS = "HTTP status {}"
NOT_TEXT = "content type {}"
CHARSET = "charset {}: cannot be decoded"
BINARY = "body is binary"
REVISIT = "revisit record"
TOO_INTRICATE = "HTML too intricate"
UNREADABLE = "unreadable: {}"

HEAD_CHARACTERS = 200
WINDOW_RECORDS = 4096
WINDOW_BYTES = 16 << 20

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


def type_name(value: object) -> str:
    """The JSON name of a value's type, whatever format it came from."""
    return "null" if value is None else _TYPES.get(type(value), type(value).__name__)


def head(raw: bytes | str) -> str:
    """The first characters of a record, for a person to recognise it by."""
    if isinstance(raw, bytes):
        raw = raw[: 4 * HEAD_CHARACTERS].decode("utf-8", errors="replace")
    return raw[:HEAD_CHARACTERS]


@dataclass
class Dimension:
    """The length of a unit's vectors, known once the first valid one has been seen."""

    value: int | None = None


@dataclass
class Batch:
    """Consecutive records of a span before they are checked: one entry per record in every list.

    `ids` hold the id field's value, or the place in the input when there is no id field. `vectors` hold None, a
    float32 array, or the name of the type that was there instead; or they are one float32 [records, d]. `faults`
    are records (by position) already known to be bad. `heads` shows a record, `places` says where in its file it is.
    """

    texts: list[Any] | None
    ids: list[Any]
    vectors: list[Any] | np.ndarray | None
    columns: dict[str, list[Any]]
    faults: dict[int, str] = field(default_factory=dict)
    heads: Callable[[int], str | bytes] = lambda position: ""
    places: Callable[[int], str] = lambda position: ""


def check(batch: Batch, fields: Fields, *, first_row: int, dimension: Dimension) -> Window:
    """The window of a batch whose first record is row `first_row`.

    A record has one reason at most, looked for in this order: the record itself, text, id, vector. Columns are never
    a fault: what is no number or string there counts as missing.
    """
    faults = dict(batch.faults)
    if batch.texts is not None:
        _check_texts(batch.texts, faults)
    _check_ids(batch.ids, faults)
    if isinstance(batch.vectors, np.ndarray):
        _check_matrix(batch.vectors, faults, dimension)
    elif batch.vectors is not None:
        _check_vectors(batch.vectors, faults, dimension)
    return _window(batch, faults, first_row, dimension)


def _window(batch: Batch, faults: dict[int, str], first_row: int, dimension: Dimension) -> Window:
    records = len(batch.ids)
    valid = np.ones(records, bool)
    valid[list(faults)] = False
    chosen = valid.tolist()

    def keep(values: list[Any]) -> list[Any]:
        return list(compress(values, chosen)) if faults else values

    vectors = None
    if batch.vectors is not None:
        vectors = _matrix(batch.vectors, valid, dimension)
    return Window(
        records=records,
        rows=first_row + np.flatnonzero(valid),
        ids=[value if type(value) is str else str(value) for value in keep(batch.ids)],
        texts=None if batch.texts is None else keep(batch.texts),
        columns={name: [_plain(value) for value in keep(values)] for name, values in batch.columns.items()},
        vectors=vectors,
        rejects=[
            Reject(first_row + at, faults[at], head(batch.heads(at)), place=batch.places(at)) for at in sorted(faults)
        ],
    )


def _matrix(vectors: list[Any] | np.ndarray, valid: np.ndarray, dimension: Dimension) -> np.ndarray:
    if not valid.any():
        return np.empty((0, dimension.value or 0), np.float32)
    if isinstance(vectors, np.ndarray):
        return vectors if valid.all() else vectors[valid]
    return np.stack(list(compress(vectors, valid.tolist())))


def _check_texts(texts: list[Any], faults: dict[int, str]) -> None:
    for at, text in enumerate(texts):
        if type(text) is str and (" " < text[:1] < "\x7f" or text[:1].isalnum() or _is_visible(text)):
            continue
        if text is None:
            faults.setdefault(at, NO_TEXT)
        elif type(text) is not str:
            faults.setdefault(at, TEXT_TYPE.format(type_name(text)))
        else:
            faults.setdefault(at, EMPTY)


def _is_visible(text: str) -> bool:
    """Whether a text has any character that a reader would see: no space, control, format or variation character.

    >>> _is_visible("\\ufeff\\u200b"), _is_visible("\\u200bword")
    (False, True)
    """
    # Few texts begin with 64 unseen characters; of those that do, each character is looked at once however often it is.
    return any(not _is_unseen(each) for each in text[:64]) or any(not _is_unseen(each) for each in set(text))


def _is_unseen(character: str) -> bool:
    # Variation selectors are marks (Mn) to Unicode, as accents are; the combining grapheme joiner and the fillers of
    # Hangul are drawn as nothing as well.
    return (
        character.isspace()
        or unicodedata.category(character) in ("Cc", "Cf")
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
        or character in "\u034f\u115f\u1160\u3164\uffa0"
    )


def _check_ids(ids: list[Any], faults: dict[int, str]) -> None:
    for at, value in enumerate(ids):
        if type(value) is str or type(value) is int:
            continue
        faults.setdefault(at, NO_ID if value is None else ID_TYPE.format(type_name(value)))


def _check_vectors(vectors: list[Any], faults: dict[int, str], dimension: Dimension) -> None:
    for at, vector in enumerate(vectors):
        if at in faults:
            continue
        if vector is None:
            faults[at] = NO_VECTOR
        elif isinstance(vector, str):
            faults[at] = VECTOR_TYPE.format(vector)
        elif dimension.value is not None and len(vector) != dimension.value:
            faults[at] = VECTOR_LENGTH.format(len(vector), dimension.value)
        elif not np.isfinite(vector).all():
            faults[at] = VECTOR_NOT_FINITE
        elif not vector.any():
            faults[at] = ZERO_VECTOR
        else:
            dimension.value = len(vector)


def _check_matrix(vectors: np.ndarray, faults: dict[int, str], dimension: Dimension) -> None:
    if dimension.value not in (None, vectors.shape[1]):
        reason = VECTOR_LENGTH.format(vectors.shape[1], dimension.value)
        for at in range(len(vectors)):
            faults.setdefault(at, reason)
        return
    finite = np.isfinite(vectors).all(axis=1)
    usable = finite & vectors.any(axis=1)
    for at in np.flatnonzero(~usable).tolist():
        faults.setdefault(at, VECTOR_NOT_FINITE if not finite[at] else ZERO_VECTOR)
    if len(faults) < len(vectors):
        dimension.value = vectors.shape[1]


def _plain(value: Any) -> Any:
    """Columns only order and group documents: a record without one is as valid as any, so which records are valid does
    not depend on what a recipe asks for besides."""
    return value if type(value) in (str, int, float) else None


def vector_of(value: Any) -> Any:
    """A list of numbers as float32 [d]; None stays None; of anything else the name of its type."""
    if value is None:
        return None
    if type(value) is not list:
        return type_name(value)
    kinds = set(map(type, value))
    if kinds - {int, float}:
        return f"array of {min(map(_TYPES.get, kinds - {int, float}), key=str) or 'null'}"
    with np.errstate(over="ignore"):
        return np.asarray(value, np.float32)


# Answers that a crawl is full of: they are no documents, and say nothing about the state of the input.
NO_PAGE = (NOT_HTTP, HTTP_STATUS.format(""), NOT_TEXT.format(""), REVISIT)


def is_fault(reason: str) -> bool:
    """Whether a reason counts against the share of bad records that a run allows."""
    return not reason.startswith(NO_PAGE)
