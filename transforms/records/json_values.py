"""Values that JSON has no way to write, or orjson none to read, and that Python's json writes: the slow second look."""

import codecs
import contextlib
import json
import math
from collections.abc import Callable
from typing import Any

import orjson

from sluice.transforms.records import validation
from sluice.transforms.records.validation import Batch

# Python's parser is limited by the depth of the calls around it, which differ; far below that, all agree.
_DEPTH = 500
_LONE = "{} has half of a surrogate pair"


def second_look(line: bytes, *, first: bool) -> tuple[Any, str | None]:
    """The value of a line that orjson refused, or what is wrong with it.

    NaN, Infinity, numbers too large for a double and escaped halves of surrogate pairs are read as Python's json
    does, and so is a line after a byte order mark where it is the `first` of a file.
    """
    if first and line.startswith(codecs.BOM_UTF8):
        line = line.removeprefix(codecs.BOM_UTF8)
        try:
            return orjson.loads(line), None
        except orjson.JSONDecodeError:
            pass
    try:
        # As text: json guesses the encoding of bytes.
        return _shallow(json.loads(line.decode("utf-8"), parse_int=_number), line), None
    except UnicodeDecodeError:
        return {}, validation.INVALID_UTF8
    except (ValueError, RecursionError):
        return {}, validation.NOT_JSON


def _number(digits: str) -> int | float:
    """An integer, or where it needs more than 64 bits a double, as orjson reads it."""
    if len(digits) < 19:
        return int(digits)
    # Python converts no more than 4,300 digits.
    value = int(digits) if len(digits) < 25 else 1 << 64
    return value if -(1 << 63) <= value < 1 << 64 else float(digits)


def _shallow(value: Any, line: bytes) -> Any:
    """The value. Raises ValueError where it is nested deeper than _DEPTH."""
    if line.count(b"[") + line.count(b"{") <= _DEPTH:
        return value
    level = [value]
    for _ in range(_DEPTH):
        level = [
            inner
            for outer in level
            if type(outer) in (dict, list)
            for inner in (outer.values() if type(outer) is dict else outer)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


class Settle:
    """Finishes a batch of JSON records: what is used of those in `odd` is made sound or named as their fault."""

    def __init__(self, id_of: Callable[[dict], Any] | None):
        self.odd: list[int] = []
        self._id_of = id_of

    def __call__(self, batch: Batch, raws: list[bytes], starts: list[int]) -> Batch:
        """The batch, with its records' lines for heads and the bytes at which they start for places."""
        batch.heads = raws.__getitem__
        batch.places = lambda position: f"byte {starts[position]}"
        for at in self.odd:
            _settle_record(batch, at)
        self.odd = []
        if self._id_of and float in set(map(type, batch.ids)):
            for at in [at for at, value in enumerate(batch.ids) if type(value) is float]:
                self._restore_integer(batch, at, raws[at])
        return batch

    def _restore_integer(self, batch: Batch, at: int, line: bytes) -> None:
        """orjson gives integers above 64 bits as floats, whose last digits are lost."""
        assert self._id_of is not None
        with contextlib.suppress(ValueError, RecursionError):
            batch.ids[at] = self._id_of(json.loads(line.removeprefix(codecs.BOM_UTF8).decode("utf-8")))


def _settle_record(batch: Batch, at: int) -> None:
    if batch.texts is not None and _is_lone(batch.texts[at]):
        batch.faults.setdefault(at, _LONE.format("text"))
    if _is_lone(batch.ids[at]):
        batch.faults.setdefault(at, _LONE.format("id"))
    for values in batch.columns.values():
        value = values[at]
        if _is_lone(value) or (type(value) is float and not math.isfinite(value)):
            values[at] = None


def _is_lone(value: Any) -> bool:
    """Whether it is text that no encoding can write."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
