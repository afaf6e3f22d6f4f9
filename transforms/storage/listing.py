"""Which files an input names: itself, a folder or a glob; every other entry that it names is told by kind."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from sluice.transforms import storage
from sluice.transforms.storage import FileInfo
from sluice.transforms.storage.filesystems import filesystem, is_local, reading
from sluice.transforms.storage.local_tree import FOLDER, HIDDEN, Entry, Tree

_MAGIC = re.compile(r"[*?[]")
# A curated corpus holds the list of its files; who reads the corpus again is not told of it.
_OWN_LIST = re.compile(r"/_parts(?:/(?:manifest\.json|part-\d+-[0-9a-f]{10}\.parquet))?$")


@dataclass
class Listing:
    """The files to read, by path, and the paths of what is not read, by kind."""

    files: list[FileInfo] = field(default_factory=list)
    unread: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, kind: str, path: str) -> None:
        self.unread.setdefault(kind, []).append(path)


def list_files(pattern: str) -> list[FileInfo]:
    """The files that a file, a directory (searched below) or a glob names, by path; hidden files are left out.

    Raises as list_entries does.
    """
    return list_entries(pattern).files


def list_entries(pattern: str) -> Listing:
    """What a file, a directory (searched below) or a glob names. A path that exists is itself, whatever its characters.

    Names that begin with a dot or an underscore are hidden, unless the pattern names that character. Links are
    followed, and a file or folder that several of them lead to is read once, by its own path where it has one.
    Raises FileNotFoundError where nothing can be read, ValueError for a name that is no text.
    """
    fs, path = filesystem(pattern)
    listing = Listing()
    for entry in _local(path) if isinstance(fs, LocalFileSystem) else _remote(fs, path, pattern):
        if entry.unread == HIDDEN and _OWN_LIST.search(entry.path):
            continue
        if entry.unread:
            listing.leave_out(entry.unread, entry.path)
        else:
            listing.files.append(entry.info or _sized(entry.path))
    listing.files.sort()
    if not listing.files:
        raise FileNotFoundError(f"no files at {pattern}{_told(listing.unread)}")
    return listing


def _sized(path: str) -> FileInfo:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{os.fsencode(path)!r}: the name is not UTF-8; rename the file") from None
    return storage.local_info(path)


def _told(unread: dict[str, list[str]]) -> str:
    return f"; not read: {describe(unread)}" if unread else ""


def describe(unread: dict[str, list[str]], names: int = 3) -> str:
    """Counts by kind with the first names: broken links: 1 (in/gone.jsonl); hidden names: 2 (in/.y, in/_x)."""
    return "; ".join(
        f"{kind}: {len(paths):,} ({', '.join(sorted(paths)[:names])}{', ...' * (len(paths) > names)})"
        for kind, paths in sorted(unread.items())
    )


def is_glob(pattern: str) -> bool:
    """Whether it names files by a pattern, and is not the name of a file or folder that has such characters."""
    if not _MAGIC.search(pattern):
        return False
    return not (os.path.lexists(filesystem(pattern)[1]) if is_local(pattern) else storage.exists(pattern))


def folder_of(pattern: str) -> str:
    """The folder that an input names its files in: itself, that of a file, or what comes before a glob's pattern."""
    path = filesystem(pattern)[1]
    if is_glob(pattern):
        return _split(path, local=is_local(pattern))[0]
    return path.rpartition("/")[0] if storage.is_file(pattern) else path


def _split(path: str, *, local: bool) -> tuple[str, list[str]]:
    """A glob's fixed folder and the parts of its pattern; a folder that has brackets in its name is fixed."""
    parts = path.split("/")
    for at, part in enumerate(parts):
        named = local and not re.search(r"[*?]", part) and os.path.isdir("/".join(parts[: at + 1]))
        if _MAGIC.search(part) and not named:
            return "/".join(parts[:at]), parts[at:]
    return path, []


def _hidden(name: str, part: str = "") -> bool:
    """Whether a whole name is hidden; a pattern's part that begins as it does names it."""
    return name.startswith((".", "_")) and part[:1] != name[:1]


def _local(path: str) -> Iterator[Entry]:
    if os.path.isdir(path):
        return Tree(lambda name, depth: _hidden(name)).entries(path)
    if os.path.lexists(path):
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path} is a link to {os.path.realpath(path)}, and there is nothing")
        return iter([Entry(path)])
    if not _MAGIC.search(path):
        return iter([])
    return _local_glob(*_split(path, local=True))


def _local_glob(root: str, parts: list[str]) -> Iterator[Entry]:
    fixed = parts.index("**") if "**" in parts else len(parts)
    matches = [re.compile(glob_translate(part)).match for part in parts[:fixed]]
    whole = re.compile(glob_translate("/".join(parts))).match

    def hidden(name: str, depth: int) -> bool:
        return _hidden(name, parts[depth] if depth < fixed else parts[-1])

    def enter(name: str, depth: int) -> bool:
        return depth >= fixed or (depth + 1 < len(parts) and matches[depth](name) is not None)

    for entry in Tree(hidden, enter).entries(root or "/"):
        relative = entry.path[len(root) :].lstrip("/")
        would_enter = entry.unread and entry.folder and enter(relative.rpartition("/")[2], relative.count("/"))
        if would_enter or whole(relative):
            yield entry


def _remote(fs: fsspec.AbstractFileSystem, path: str, pattern: str) -> Iterator[Entry]:
    with reading(pattern):
        if is_glob(pattern):
            root, parts = _split(path, local=False)
            entries = list(fs.glob(path, detail=True).values())
        elif (file := storage.file_at(fs, path, pattern)) is not None:
            root, parts, entries = path, [], [file]
        else:
            root, parts, entries = path, [], list(fs.find(path, detail=True).values())
    for entry in entries:
        names = entry["name"].strip("/")[len(root.strip("/")) :].strip("/").split("/")
        last = parts[-1] if parts else ""
        aligned = parts if len(parts) == len(names) else [""] * (len(names) - 1) + [last]
        where = fs.unstrip_protocol(entry["name"])
        if any(_hidden(name, part) for name, part in zip(names, aligned, strict=True)):
            yield Entry(where, HIDDEN)
        elif entry["type"] == "file":
            yield Entry(where, info=storage.info_of(fs, entry))
        elif last != "**":
            yield Entry(where, FOLDER)
