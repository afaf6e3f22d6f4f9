"""Plain text: every file is one document."""

import shutil
from collections.abc import Iterator
from typing import Any

from sluice.transforms import storage
from sluice.transforms.records import validation
from sluice.transforms.records.kept import KeepMask
from sluice.transforms.records.records import Fields, Span, Unit, Window
from sluice.transforms.records.validation import Batch, Dimension
from sluice.transforms.storage import committing, contents, streams

SUFFIXES = (".txt", ".text", ".md")
COMPRESSIONS = ("none", "gzip", "zstd", "bz2", "xz")
FIELDS = ()


def cut(info: storage.FileInfo, compression: str, target_bytes: int) -> list[tuple[int, int]]:
    """The whole file."""
    return [(0, info.size)]


def read(span: Span, compression: str, fields: Fields, *, dimension: Dimension | None = None) -> Iterator[Window]:
    """One record; its identity is the file's relative path. Raises streams.UnreadableFile."""
    data = _at_most(streams.read_chunks(span.path, compression), fields.max_document_bytes)
    faults = {}
    text = None
    if data is None:
        faults[0] = validation.TOO_LARGE
    else:
        try:
            text = data.decode(contents.wide_encoding(data) or "utf-8-sig")
        except UnicodeDecodeError:
            faults[0] = validation.INVALID_UTF8
    texts = None if fields.text is None else [text]
    batch = Batch(texts, [span.relative], None, {}, faults, heads=lambda _: data or span.relative)
    yield validation.check(batch, fields, first_row=0, dimension=dimension or Dimension())


def _at_most(chunks: Iterator[bytes], limit: int) -> bytes | None:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) > limit:
            return None
    return bytes(held)


def export(
    unit: Unit, keep: Any, stem: str, *, max_document_bytes: int, on_unreadable: str = "fail"
) -> list[tuple[str, int]]:
    """Copies every kept file as it is, to `stem`/<its relative path>."""
    mask = KeepMask(keep, on_unreadable=on_unreadable)
    folder = stem.rpartition("/")[2]
    names = []
    for span in unit.spans:
        if not mask.take(1)[0]:
            continue
        relative = _inside(span.relative)
        with (
            committing.create(storage.join(stem, relative), replace=True) as path,
            storage.open_read(span.path) as source,
            open(path, "wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        names.append((f"{folder}/{relative}", 1))
    mask.finish()
    return names


def _inside(relative: str) -> str:
    """The path itself. Raises ValueError for one that could leave the folder it is put in.

    A backslash is a character like others, but systems that take it for a slash must not be led out either.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") for part in parts) or ".." in relative.split("\\") or "\0" in relative:
        raise ValueError(f"{relative!r} cannot be used as a path below the output")
    return relative
