"""The corpus as units: which files, cut where, packed how. Decided once, from names and sizes."""

import functools
import logging
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from sluice.transforms import formats, storage
from sluice.transforms.records.records import Span, Unit
from sluice.transforms.storage import filesystems, listing

log = logging.getLogger("sluice")
UNIT_BYTES = 128 << 20
_MOST_SPANS = 10_000  # small files have a cost of their own
# Files about a data set that lie beside its tables.
_ABOUT = re.compile(r"(readme|licen[sc]e|notice|citation)(\.(md|txt|rst|cff|bib))?|dataset_infos?\.json", re.IGNORECASE)
ABOUT = "files about the data"

SCHEMA = pa.schema(
    [
        ("unit", pa.int64()),
        ("format", pa.string()),
        ("compression", pa.string()),
        ("path", pa.string()),
        ("relative", pa.string()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("size", pa.int64()),
        ("etag", pa.string()),
    ]
)


class Planned(NamedTuple):
    """The units of a run, and how many entries of its inputs are not read, by kind."""

    units: list[Unit]
    unread: dict[str, int]


def plan_units(inputs: Sequence[str], *, format: str | None = None, unit_bytes: int = UNIT_BYTES) -> list[Unit]:
    """The units of `plan_inputs`."""
    return plan_inputs(inputs, format=format, unit_bytes=unit_bytes).units


def plan_inputs(inputs: Sequence[str], *, format: str | None = None, unit_bytes: int = UNIT_BYTES) -> Planned:
    """Units of about `unit_bytes` stored bytes over files, directories, globs or any fsspec URL, by path.

    Large Parquet and plain JSON-lines files are cut, small files of one format and compression packed
    together. A file named twice is read once. `format` overrules what the files' names tell. In a directory of
    tables, what is said about them (README.md, LICENSE, ...) is no document. A warning names what is not read.
    Raises FileNotFoundError for an input without files, ValueError for a file of unknown kind.
    """
    if unit_bytes < 1:
        raise ValueError(f"unit_bytes is {unit_bytes}; it must be positive")
    if not inputs:
        raise ValueError("no inputs are given")
    listed = [_listed(pattern, format) for pattern in inputs]
    files = sorted({file.path: file for found in listed for file in found.files}.values())
    unread = _unread(listed, {file.path for file in files})
    if unread:
        total = sum(map(len, unread.values()))
        _warn(f"{total:,} {'entries were' if total > 1 else 'entry was'} not read: {listing.describe(unread)}")
    empty = [file.path for file in files if not file.size]
    if empty and len(empty) < len(files):
        _warn(listing.describe({"empty files": empty}))
    root = _common_root(inputs, [file.path for file in files])
    pieces = (piece for file in files for piece in _pieces(file, root, format, unit_bytes))
    units = [
        Unit(index, name, compression, tuple(spans))
        for index, (name, compression, spans) in enumerate(_packed(pieces, unit_bytes))
    ]
    return Planned(units, {kind: len(paths) for kind, paths in sorted(unread.items())})


def _unread(listed: Sequence[listing.Listing], read: set[str]) -> dict[str, list[str]]:
    """What no input reads, by kind: one may name what another leaves out."""
    kinds = {kind for found in listed for kind in found.unread}
    unread = {kind: {path for found in listed for path in found.unread.get(kind, [])} - read for kind in kinds}
    return {kind: sorted(paths) for kind, paths in unread.items() if paths}


def _listed(pattern: str, format: str | None) -> listing.Listing:
    found = listing.list_entries(pattern)
    about = [file for file in found.files if _ABOUT.fullmatch(file.path.rpartition("/")[2])]
    tables = [file for file in found.files if not _ABOUT.fullmatch(file.path.rpartition("/")[2])]
    if not about or not tables or format or listing.is_glob(pattern):
        return found
    if any(formats.identify(file.path)[0] == "text" for file in tables):
        return found
    for file in about:
        found.leave_out(ABOUT, file.path)
    found.files = tables
    return found


@functools.cache
def _warn(line: str) -> None:
    """Once in a process, which may list its inputs several times."""
    log.warning("%s", line)


_Piece = tuple[str, str, Span, int]


def _pieces(file: storage.FileInfo, root: str, format: str | None, unit_bytes: int) -> Iterator[_Piece]:
    name, compression = formats.identify(file.path, format)
    ranges = formats.load(name).cut(file, compression, unit_bytes)
    relative = _relative(file.path, root)
    if any(part in ("", ".", "..") for part in relative.split("/")):
        raise ValueError(f"{file.path}: a path with empty or dotted parts could name a file outside the corpus")
    for start, stop in ranges:
        span = Span(file.path, relative, start, stop, file.size, file.etag)
        yield name, compression, span, max(file.size // len(ranges), 1)


def _relative(path: str, root: str) -> str:
    if root:
        return path[len(root) :].lstrip("/")
    protocol, mark, rest = path.partition("://")
    return f"{protocol}/{rest.lstrip('/')}" if mark else path.lstrip("/")


def _packed(pieces: Iterator[_Piece], unit_bytes: int) -> Iterator[tuple[str, str, list[Span]]]:
    """Neighbours by path that are of one kind share a unit until it is full."""
    kind: tuple[str, str] = ("", "")
    spans: list[Span] = []
    size = 0
    for name, compression, span, weight in pieces:
        full = size + weight > unit_bytes or len(spans) >= _MOST_SPANS
        if spans and (full or kind != (name, compression)):
            yield (*kind, spans)
            spans, size = [], 0
        kind = name, compression
        spans.append(span)
        size += weight
    if spans:
        yield (*kind, spans)


def _common_root(inputs: Sequence[str], paths: list[str]) -> str:
    """What every path begins with and identities leave out: the input itself, or the folder all inputs share.

    The root depends on the inputs as they are named, not on the files found, so that a document keeps its
    identity when files are added beside it.
    """
    roots = []
    for pattern in inputs:
        path = listing.folder_of(pattern)
        local = filesystems.is_local(pattern)
        roots.append(path if local else filesystems.filesystem(pattern)[0].unstrip_protocol(path))
    if (
        len({root.partition("://")[0] for root in roots if "://" in root}) + any("://" not in root for root in roots)
        > 1
    ):
        return ""
    return _shared_folder([root.rstrip("/") for root in roots], paths)


def _shared_folder(roots: list[str], paths: list[str]) -> str:
    parts = [root.split("/") for root in roots]
    shared = []
    for names in zip(*parts):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    root = "/".join(shared)
    assert all(path.startswith(root) for path in paths), (root, paths[:3])
    return root


def units_to_table(units: Sequence[Unit]) -> pa.Table:
    """One row for every span, in order."""
    rows = [
        {"unit": unit.id, "format": unit.format, "compression": unit.compression, **span._asdict()}
        for unit in units
        for span in unit.spans
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def table_to_units(table: pa.Table) -> list[Unit]:
    """The units of a table that `units_to_table` made."""
    units: dict[int, Unit] = {}
    for row in table.cast(SCHEMA).to_pylist():
        span = Span(**{name: row[name] for name in Span._fields})
        known = units.get(row["unit"])
        spans = (*known.spans, span) if known else (span,)
        units[row["unit"]] = Unit(row["unit"], row["format"], row["compression"], spans)
    return list(units.values())
