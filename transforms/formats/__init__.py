"""One module for each input format, found by its file's name; guarded by test_format_contract.py.

A format has
    SUFFIXES        the file names it reads, the first is the one it writes
    COMPRESSIONS    those of streams.SUFFIXES it can be read through
    FIELDS          which of text, id, vector and columns its records have by names that differ
    cut(info, compression, target_bytes) -> [(start, stop)]      ranges that can be read on their own
    read(span, compression, fields, *, dimension) -> windows      rows count from 0 within the span
    export(unit, keep, stem, *, max_document_bytes, on_unreadable) -> [(file name, documents)]
"""

import functools
import importlib
import pkgutil
from types import ModuleType

from sluice.transforms.storage import streams


def names() -> list[str]:
    """The names of all formats: those of the files in this folder."""
    return list(_names())


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> ModuleType:
    """The module of a format. Raises ValueError when there is none of that name."""
    if name not in names():
        raise ValueError(f"no format {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")


def identify(path: str, format: str | None = None) -> tuple[str, str]:
    """The format and compression that a file's name tells; `format` overrules the name.

    Raises ValueError for an unknown suffix, or a compression that the format cannot be read through.
    """
    name, compression = streams.split_compression(path.rpartition("/")[2])
    found = format or next((known for known in names() if name.lower().endswith(load(known).SUFFIXES)), None)
    if found is None:
        known = ", ".join(suffix for known in names() for suffix in load(known).SUFFIXES)
        packed = ", ".join(suffix for suffix in streams.SUFFIXES.values() if suffix)
        raise ValueError(
            f"{path}: unknown kind of file; known are {known}, each alone or with {packed}; "
            "name the format if it is one of these, or the files to read by a pattern, such as 'folder/**/*.jsonl'"
        )
    if compression not in load(found).COMPRESSIONS:
        raise ValueError(f"{path}: {found} files are not read through {compression}")
    return found, compression
