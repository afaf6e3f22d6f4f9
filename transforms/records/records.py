"""The small records that stages hand to one another: units, what a reader must find, what it found."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Span(NamedTuple):
    """A range of one input file. What start and stop count is the format's: bytes, or row groups, or the whole file."""

    path: str
    relative: str
    start: int
    stop: int
    size: int
    etag: str


@dataclass(frozen=True)
class Unit:
    """A piece of the corpus that one worker handles at a time: spans of one format and one compression."""

    id: int
    format: str
    compression: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Fields:
    """Which fields of a record are read; dots reach into nested objects.

    `text` may be None when vectors are given. `id` None: the place in the input is the identity.
    `columns` are read besides (numbers or strings), `vector` is a list of numbers.
    """

    text: str | None = "text"
    id: str | None = None
    vector: str | None = None
    columns: tuple[str, ...] = ()
    max_document_bytes: int = 10_000_000

    @property
    def named(self) -> str:
        """The fields, for people: text 'body', id 'uuid'."""
        fields = {"text": self.text, "id": self.id, "vector": self.vector}
        found = [f"{kind} {name!r}" for kind, name in fields.items() if name is not None]
        return ", ".join([*found, *(f"column {name!r}" for name in self.columns)])


class Reject(NamedTuple):
    """A record that cannot be used: its row in the unit, one clear reason, its first characters, and where it is.

    file: its path relative to the input; place: in the file, as `byte 1234` (of what a compressed file holds) or
    `row 17`; "" where the record is the whole file.
    """

    row: int
    reason: str
    head: str
    file: str = ""
    place: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}, {self.place}" if self.place else self.file


@dataclass
class Window:
    """Some consecutive records of a unit: `records` in all, of which `rows` (ordinals in the unit) are valid.

    ids, texts and every column have one entry for each valid row; vectors is float32 [len(rows), d] or None.
    barren: ranges of files that end with this window and hold no valid record: how many records by reason.
    """

    records: int
    rows: np.ndarray
    ids: list[str]
    texts: list[str] | None
    columns: dict[str, list] = field(default_factory=dict)
    vectors: np.ndarray | None = None
    rejects: list[Reject] = field(default_factory=list)
    barren: list[tuple[str, dict[str, int]]] = field(default_factory=list)
