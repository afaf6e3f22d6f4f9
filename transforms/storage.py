"""Files by URL: read, list, and commit whole files, first writer wins. Local paths and every fsspec URL."""

import contextlib
import errno
import hashlib
import os
import tempfile
import uuid
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class WriteFailed(OSError):
    """A file could not be written: a full disk, a store that refuses. What is there already stays; nothing is half."""


class FileInfo(NamedTuple):
    """A file as it was when it was listed: size in bytes, etag changes whenever the content does."""

    path: str
    size: int
    etag: str


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec filesystem of a URL and the path inside it."""
    return fsspec.core.url_to_fs(url)


def is_local(url: str) -> bool:
    return isinstance(filesystem(url)[0], LocalFileSystem)


def join(url: str, *parts: str) -> str:
    return "/".join([url.rstrip("/"), *parts])


def open_read(url: str) -> BinaryIO:
    """A binary reader at the first byte; streams, whatever the size."""
    fs, path = filesystem(url)
    return fs.open(path, "rb")


def exists(url: str) -> bool:
    fs, path = filesystem(url)
    return fs.exists(path)


def info(url: str) -> FileInfo:
    """Size and etag of one file. Raises FileNotFoundError."""
    fs, path = filesystem(url)
    return _info(fs, fs.info(path))


def list_files(pattern: str) -> list[FileInfo]:
    """The files that a file, a directory (searched below) or a glob names, by path; hidden files are left out.

    Raises FileNotFoundError when there is none.
    """
    fs, path = filesystem(pattern)
    if any(character in path for character in "*?["):
        found = list(fs.glob(path, detail=True).values())
    elif fs.isfile(path):
        found = [fs.info(path)]
    else:
        found = list(fs.find(path, detail=True).values())
    root = path.split("*")[0].split("?")[0].split("[")[0]
    files = [_info(fs, entry) for entry in found if entry["type"] == "file" and not _hidden(entry["name"][len(root) :])]
    if not files:
        raise FileNotFoundError(f"no files at {pattern}")
    return sorted(files)


def _hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.strip("/").split("/"))


def _info(fs: fsspec.AbstractFileSystem, entry: dict) -> FileInfo:
    if isinstance(fs, LocalFileSystem):
        # Nanoseconds: a file rewritten within the same second must not look the same.
        stat = os.stat(entry["name"])
        return FileInfo(entry["name"], stat.st_size, f"{stat.st_size:x}-{stat.st_mtime_ns:x}")
    marks = [entry.get(name) for name in ("etag", "ETag", "md5Hash", "crc32c", "generation", "mtime", "updated")]
    mark = next((str(value) for value in marks if value), "")
    return FileInfo(fs.unstrip_protocol(entry["name"]), int(entry["size"]), f"{int(entry['size']):x}-{mark}")


def read_bytes(url: str) -> bytes:
    fs, path = filesystem(url)
    return fs.cat_file(path)


def read_range(url: str, start: int, stop: int) -> bytes:
    """Bytes start..stop of a file. Raises OSError when the file is shorter."""
    fs, path = filesystem(url)
    data = fs.cat_file(path, start=start, end=stop)
    if len(data) != stop - start:
        raise OSError(f"{url}: wanted bytes {start}..{stop}, got {len(data)} of them")
    return data


def delete(url: str) -> None:
    """Remove a file; nothing happens when it is not there."""
    fs, path = filesystem(url)
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def replace_bytes(url: str, data: bytes) -> None:
    """Write a small file whole, replacing the old one in one step. Raises WriteFailed."""
    fs, path = filesystem(url)
    with _named(url):
        if not isinstance(fs, LocalFileSystem):
            fs.pipe_file(path, data)
            return
        with _local_temporary(path) as temporary:
            Path(temporary).write_bytes(data)
            _sync(temporary)
            os.replace(temporary, path)


@contextlib.contextmanager
def create(url: str) -> Iterator[str]:
    """Yields a local path to write; on success the file appears at `url` whole, unless one is already there.

    The first writer wins: two workers that write the same part both succeed and readers see one of them.
    Locally by a hard link, on object stores by a put that asks for the object not to exist. Raises WriteFailed.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _local_temporary(path) as temporary:
            with _named(url, only=NOT_WRITTEN):
                yield temporary
            with _named(url), contextlib.suppress(FileExistsError):
                _sync(temporary)
                os.link(temporary, path)
        return
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        temporary = str(Path(folder) / "part")
        with _named(f"{url} (first as {temporary})", only=NOT_WRITTEN):
            yield temporary
        with _named(url), contextlib.suppress(FileExistsError):
            try:
                fs.put_file(temporary, path, mode="create")
            except FileExistsError:
                raise
            except Exception:
                _drop_half(fs, path, temporary)
                raise


@contextlib.contextmanager
def _named(url: str, *, only: Container[int] | None = None) -> Iterator[None]:
    """Errors of the operating system or a store say which file they kept from being written; `only` those of a kind."""
    try:
        yield
    except WriteFailed:
        raise
    except OSError as error:
        # NumPy says how much of an array it wrote, and not why: nothing but a write that failed does that.
        short = "requested and" in str(error)
        if only is not None and error.errno not in only and not short:
            raise
        raise WriteFailed(f"{url} could not be written: {error}{' (is the disk full?)' * short}") from error


def _drop_half(fs: fsspec.AbstractFileSystem, path: str, whole: str) -> None:
    """Delete what a failed put left, if it is the beginning of the file `whole`; another writer's file is not.

    Object stores show an object whole or not at all. Others may show half of one, which the next try would take for a
    part that is there.
    """
    with contextlib.suppress(OSError):
        size = fs.info(path)["size"]
        if size < os.path.getsize(whole):
            with open(whole, "rb") as file:
                if file.read(size) == fs.cat_file(path):
                    fs.rm_file(path)


@contextlib.contextmanager
def _local_temporary(path: str) -> Iterator[str]:
    with _named(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    temporary = f"{Path(path).parent}/.{Path(path).name}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _sync(path: str) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def local_copy(url: str) -> Iterator[str]:
    """A local path with the content of `url`: the file itself when local, else a temporary download."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        temporary = str(Path(folder) / hashlib.blake2b(url.encode(), digest_size=8).hexdigest())
        fs.get_file(path, temporary)
        yield temporary
