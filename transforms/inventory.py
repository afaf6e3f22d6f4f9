"""The corpus as units: which files, cut where, packed how. Decided once, from names and sizes."""

import functools
import logging
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from sluice.transforms import filesystems, formats, storage
from sluice.transforms.records import Span, Unit

log = logging.getLogger("sluice")
UNIT_BYTES = 128 << 20
_MOST_SPANS = 10_000  # small files have a cost of their own
# Files about a data set that lie beside its tables.
_ABOUT = re.compile(r"(readme|licen[sc]e|notice|citation)(\.(md|txt|rst|cff|bib))?|dataset_infos?\.json", re.IGNORECASE)
_NAMED = 3

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


def plan_units(inputs: Sequence[str], *, format: str | None = None, unit_bytes: int = UNIT_BYTES) -> list[Unit]:
    """Units of about `unit_bytes` stored bytes over files, directories, globs or any fsspec URL, by path.

    Large Parquet and plain JSON-lines files are cut, small files of one format and compression packed
    together. A file named twice is read once. `format` overrules what the files' names tell; compression is
    always told by the name. In a directory of tables, what is said about them (README.md, LICENSE, ...) is no
    document; a warning names it. Raises FileNotFoundError for an input without files, ValueError for a file of
    unknown kind.
    """
    if unit_bytes < 1:
        raise ValueError(f"unit_bytes is {unit_bytes}; it must be positive")
    if not inputs:
        raise ValueError("no inputs are given")
    files = sorted({file.path: file for pattern in inputs for file in _listed(pattern, format)}.values())
    root = _common_root(inputs, [file.path for file in files])
    pieces = (piece for file in files for piece in _pieces(file, root, format, unit_bytes))
    return [
        Unit(index, name, compression, tuple(spans))
        for index, (name, compression, spans) in enumerate(_packed(pieces, unit_bytes))
    ]


def _listed(pattern: str, format: str | None) -> list[storage.FileInfo]:
    files = storage.list_files(pattern)
    about = [file.path for file in files if _ABOUT.fullmatch(file.path.rpartition("/")[2])]
    tables = [file for file in files if not _ABOUT.fullmatch(file.path.rpartition("/")[2])]
    if not about or not tables or format or _is_glob(pattern):
        return files
    if any(formats.identify(file.path)[0] == "text" for file in tables):
        return files
    more = f" and {len(about) - _NAMED:,} more" if len(about) > _NAMED else ""
    _warn(f"{', '.join(about[:_NAMED])}{more}: not read, since the other files there are tables")
    return tables


@functools.cache
def _warn(line: str) -> None:
    """Once in a process, which may list its inputs several times."""
    log.warning("%s", line)


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


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
        fs, path = filesystems.filesystem(pattern)
        if any(character in path for character in "*?["):
            fixed = path[: min(path.index(character) for character in "*?[" if character in path)]
            path = fixed.rpartition("/")[0]
        elif storage.is_file(pattern):
            path = path.rpartition("/")[0]
        roots.append(path if filesystems.is_local(pattern) else fs.unstrip_protocol(path))
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
