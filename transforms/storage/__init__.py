"""Files by URL: read, list, delete. Local paths and every fsspec URL."""

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sluice.transforms.storage.filesystems import filesystem, protocols, reading, writing


class TooShort(OSError):
    """A file ends before the bytes that were asked for; problem: so, without the file's name."""

    def __init__(self, url: str, problem: str):
        super().__init__(f"{url}: {problem}")
        self.problem = problem


class FileInfo(NamedTuple):
    """A file as it was when it was listed: size in bytes, etag changes whenever the content does."""

    path: str
    size: int
    etag: str


def join(url: str, *parts: str) -> str:
    return "/".join([url.rstrip("/"), *parts])


def open_read(url: str) -> BinaryIO:
    """A binary reader at the first byte; streams, whatever the size. It too raises ReadFailed."""
    fs, path = filesystem(url)
    with reading(url):
        opened = fs.open(path, "rb")
    return opened if isinstance(fs, LocalFileSystem) else cast(BinaryIO, _Remote(opened, url))


class _Remote(io.BufferedIOBase):
    """A reader of a store's file whose errors name the file."""

    def __init__(self, file: Any, url: str):
        self._file, self._url = file, url

    def read(self, size: int | None = -1) -> bytes:
        with reading(self._url):
            return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def exists(url: str) -> bool:
    # Not fsspec's: some of its file systems take a store that fails for a file that is not there.
    fs, path = filesystem(url)
    try:
        with reading(url):
            fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_file(url: str) -> bool:
    """Whether there is a file, and not a folder or nothing."""
    fs, path = filesystem(url)
    return file_at(fs, path, url) is not None


def file_at(fs: fsspec.AbstractFileSystem, path: str, url: str) -> dict[str, Any] | None:
    """What the store tells of a file, None for a folder or nothing."""
    try:
        with reading(url):
            entry = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return entry if entry["type"] == "file" else None


def info(url: str) -> FileInfo:
    """Size and etag of one file. Raises FileNotFoundError."""
    fs, path = filesystem(url)
    with reading(url):
        return info_of(fs, fs.info(path))


def find(url: str, *, depth: int | None = None) -> dict[str, dict[str, Any]]:
    """What the store tells of every file below a folder, hidden ones too, by path relative to it; {} for no folder."""
    fs, path = filesystem(url)
    with reading(url):
        found = fs.find(path, maxdepth=depth, detail=True)
    return {name[len(path) :].strip("/"): entry for name, entry in found.items()}


def local_info(path: str) -> FileInfo:
    """Size and etag of a local file, through links."""
    stat = os.stat(path)
    # Nanoseconds: a file rewritten within the same second must not look the same.
    return FileInfo(path, stat.st_size, f"{stat.st_size:x}-{stat.st_mtime_ns:x}")


def changed(entry: dict[str, Any]) -> float | None:
    """When a file of `find` was last changed, seconds since 1970 by the store's clock; None where it does not say."""
    names = ("mtime", "updated", "LastModified", "last_modified", "created")
    value = next((entry[name] for name in names if entry.get(name)), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else value


def info_of(fs: fsspec.AbstractFileSystem, entry: dict) -> FileInfo:
    """Size and etag of a file, from what its store tells of it."""
    if isinstance(fs, LocalFileSystem):
        return local_info(entry["name"])
    marks = [entry.get(name) for name in ("etag", "ETag", "md5Hash", "crc32c", "generation", "mtime", "updated")]
    mark = next((str(value) for value in marks if value), "")
    return FileInfo(fs.unstrip_protocol(entry["name"]), int(entry["size"]), f"{int(entry['size']):x}-{mark}")


def read_bytes(url: str) -> bytes:
    fs, path = filesystem(url)
    with reading(url):
        return fs.cat_file(path)


def read_range(url: str, start: int, stop: int) -> bytes:
    """Bytes start..stop of a file. Raises TooShort, an OSError, when the file is shorter."""
    fs, path = filesystem(url)
    with reading(url):
        data = fs.cat_file(path, start=start, end=stop)
    if len(data) != stop - start:
        raise TooShort(url, f"wanted bytes {start}..{stop}, got {len(data)} of them")
    return data


def delete(url: str) -> None:
    """Remove a file; nothing happens when it is not there."""
    fs, path = filesystem(url)
    with writing(url, verb="deleted"), contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def delete_folder(url: str) -> None:
    """Remove a folder with all in it; nothing happens when it is not there."""
    fs, path = filesystem(url)
    with writing(url, verb="deleted"), contextlib.suppress(FileNotFoundError):
        fs.rm(path, recursive=True)


@contextlib.contextmanager
def local_copy(url: str) -> Iterator[str]:
    """A local path with the content of `url`: the file itself when local, else a temporary download."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        temporary = str(Path(folder) / hashlib.blake2b(url.encode(), digest_size=8).hexdigest())
        with reading(url):
            fs.get_file(path, temporary, **_in_one_request(fs))
        yield temporary


def _in_one_request(fs: fsspec.AbstractFileSystem) -> dict[str, Any]:
    """gcsfs asks for an object's size, twice, before it gets it, to get large ones in several requests at once.

    Parts are small and many, and there are other workers to use the network.
    """
    return {"concurrency": 1} if "gs" in protocols(fs) else {}
