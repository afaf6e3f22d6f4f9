"""Reading: units of input -> documents/ (one row per valid record) and rejected/ (one row per bad one)."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays import hashing
from sluice.models.embedders.describe import TokenCounter, token_counter
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.prefetch import ahead
from sluice.transforms.records.records import Fields, Reject, Unit, Window
from sluice.transforms.records.validation import is_fault
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.commit import DEFAULT_REJECT_SHARE, Commit
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.stages.writing import WriteUnit

HASH = pa.binary(16)
REJECTED = pa.schema([(name, pa.string()) for name in Reject._fields]).set(0, pa.field("row", pa.uint32()))
# Files without a usable record that a unit names; of all, and of empty ones, it keeps the number.
NAMED = 3


@dataclass(frozen=True)
class Reading:
    """How records become documents.

    tokens: how they are counted, as (kind, name): ("none", ""), ("column", name), ("tokenizer", file), ("model", dir).
    numbers: numeric columns that steps order by; source: a column that steps tell documents apart by;
    hash_texts: whether a step compares texts (hashing is most of the cost of reading).
    """

    fields: Fields
    tokens: tuple[str, str] = ("none", "")
    numbers: tuple[str, ...] = ()
    source: str | None = None
    on_unreadable: str = "fail"
    hash_texts: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read beside text and id."""
        wanted = [*self.numbers, *([self.source] if self.source else [])]
        if self.tokens[0] == "column":
            wanted.append(self.tokens[1])
        return tuple(dict.fromkeys(wanted))

    def schema(self) -> pa.Schema:
        """Of documents/: row is the record's ordinal in its unit, rejects counted; hashes have 16 bytes."""
        return pa.schema(
            [
                ("row", pa.uint32()),
                ("id", pa.string()),
                ("id_hash", HASH),
                ("text_hash", HASH),
                ("characters", pa.uint32()),
                ("tokens", pa.uint32()),
                *((f"number.{name}", pa.float64()) for name in self.numbers),
                *([("source", pa.string())] if self.source else []),
            ]
        )


class WriteDocuments(WriteUnit):
    """Unit -> its part of documents/ and of rejected/."""

    def __init__(self, target: Artifact, rejected: Artifact, how: Reading):
        super().__init__(target)
        self.rejected = rejected
        self.how = how
        self._count_tokens: TokenCounter | None = None

    def setup(self) -> None:
        if self.how.tokens[0] in ("tokenizer", "model"):
            self._count_tokens = token_counter(*self.how.tokens)

    def write(self, unit: Unit) -> None:
        stats: dict[str, Any] = {"records": 0, "documents": 0, "rejected": 0, "characters": 0, "tokens": 0}
        stats |= {"reasons": {}, "filled": dict.fromkeys(self.how.columns, 0)}
        stats |= {"places": {}, "barren": {"files": 0, "empty": 0, "named": {}}}
        found = reading.read_unit(unit, self.how.fields, on_unreadable=self.how.on_unreadable)
        # The rejects, left first, are committed before the documents: a unit whose documents part exists has both.
        with (
            self.target.writer(unit.id, self.how.schema(), stats) as write,
            self.rejected.writer(unit.id, REJECTED) as write_rejects,
            ahead(found) as windows,
        ):
            for window in windows:
                _count(window, stats)
                progress.add(self.stage, window.records)
                write_rejects(_reject_table(window.rejects))
                write(self._table(window, stats))

    def existing(self, unit: Unit) -> Part | None:
        # Another configuration may have taken the rejects away, and then failed before it came to the documents.
        rejected, found = self.rejected.existing(unit.id), super().existing(unit)
        return None if rejected is None else found

    def parts(self, unit: Unit) -> Iterator[Part]:
        yield self.rejected.describe(unit.id)
        yield from super().parts(unit)

    def _table(self, window: Window, stats: dict[str, Any]) -> pa.Table:
        characters = np.fromiter((len(text) for text in window.texts or ()), np.uint32)
        hashed = self.how.hash_texts and window.texts is not None
        tokens = self._tokens(window)
        stats["characters"] += int(characters.sum(dtype=np.int64))
        stats["tokens"] += int(sum(value for value in tokens if value is not None))
        empty = [None] * len(window.rows)
        columns: dict[str, Any] = {
            "row": window.rows.astype(np.uint32),
            "id": window.ids,
            "id_hash": [hashing.id_hash(identity) for identity in window.ids],
            "text_hash": [hashing.text_hash(text) for text in window.texts or ()] if hashed else empty,
            "characters": characters if window.texts is not None else empty,
            "tokens": tokens,
        }
        for name in self.how.numbers:
            columns[f"number.{name}"] = [_number(value) for value in window.columns[name]]
        if self.how.source:
            columns["source"] = [None if value is None else str(value) for value in window.columns[self.how.source]]
        for name in self.how.columns:
            stats["filled"][name] += sum(value is not None for value in self._column(name, columns))
        return pa.table(columns, schema=self.how.schema())

    def _column(self, name: str, columns: dict[str, Any]) -> Any:
        """What became of a column of the input."""
        if name in self.how.numbers:
            return columns[f"number.{name}"]
        return columns["tokens"] if self.how.tokens == ("column", name) else columns["source"]

    def _tokens(self, window: Window) -> Any:
        if self.how.tokens[0] == "column":
            return [_count_of(value) for value in window.columns[self.how.tokens[1]]]
        if self._count_tokens is not None:
            return self._count_tokens(window.texts or []).astype(np.uint32)
        return [None] * len(window.rows)


def _count(window: Window, stats: dict[str, Any]) -> None:
    stats["records"] += window.records
    stats["documents"] += len(window.rows)
    stats["rejected"] += len(window.rejects)
    stats["reasons"] = dict(Counter(stats["reasons"]) + Counter(reject.reason for reject in window.rejects))
    for reject in window.rejects:
        # One place of each reason, and the same whatever the units: `min_` has a meaning to merge_stats.
        places = stats["places"].setdefault(reject.reason, {"min_place": reject.where})
        places["min_place"] = min(places["min_place"], reject.where)
    for file, reasons in window.barren:
        _count_barren(file, reasons, stats["barren"])


def _count_barren(file: str, reasons: dict[str, int], barren: dict[str, Any]) -> None:
    """A range of a file without a document: empty, or with nothing but rejects; pages that a crawl did not get are no
    fault of a file."""
    if reasons and not any(map(is_fault, reasons)):
        return
    barren["files"] += 1
    barren["empty"] += not reasons
    if reasons and (len(barren["named"]) < NAMED or file in barren["named"]):
        named = barren["named"].setdefault(file, {"ranges": 0, "reasons": {}})
        named["ranges"] += 1
        named["reasons"] = dict(Counter(named["reasons"]) + Counter(reasons))


def _reject_table(rejects: list[Reject]) -> pa.Table:
    return pa.table({name: [getattr(reject, name) for reject in rejects] for name in REJECTED.names}, schema=REJECTED)


def _number(value: Any) -> float | None:
    """Numbers, and text that is one; anything else is missing, and sorts last."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _count_of(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < 2**32 else None


@dataclass
class ReadDocuments(StageTransform):
    """pipeline -> documents/ and rejected/ of all units of an inventory, and their manifests."""

    version = 3

    rejected: Artifact
    how: Reading
    max_reject_share: float = DEFAULT_REJECT_SHARE

    @property
    def config(self) -> dict[str, Any]:
        return asdict(self.how)

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        return units | "Read" >> beam.ParDo(WriteDocuments(self.target, self.rejected, self.how))

    def finished(self, parts: beam.PCollection) -> beam.PCollection:
        artifacts = (self.rejected, self.target)
        return parts | Commit(artifacts, self.inventory, self.config, self.max_reject_share)
