"""Files by URL: read, list, and commit whole files, first writer wins. Local paths and every fsspec URL."""

import contextlib
import errno
import functools
import hashlib
import io
import os
import tempfile
import uuid
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# Stores that show an object whole or not at all.
ATOMIC = {"gs", "gcs", "s3", "s3a", "abfs", "abfss", "az"}
# A store that is silent for so long is asked again; one that moves bytes has half an hour for a request.
SILENCE, REQUEST = 60, 1800


class WriteFailed(OSError):
    """A file could not be written: a full disk, a store that refuses. What is there already stays; nothing is half."""


class ReadFailed(OSError):
    """A store did not hand out a file, after the tries that its library makes.

    It has an error number, as errors of disks do: readers of formats take errors without one for damaged files.
    """

    def __init__(self, *args: str):
        super().__init__(*args)
        self.errno = errno.EIO


class FileInfo(NamedTuple):
    """A file as it was when it was listed: size in bytes, etag changes whenever the content does."""

    path: str
    size: int
    etag: str


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec filesystem of a URL and the path inside it.

    It remembers no listings: other processes write into the same folders.
    """
    if "://" not in url:
        return fsspec.core.url_to_fs(url)
    return fsspec.core.url_to_fs(url, use_listings_cache=False, **_timeouts(url.partition("://")[0]))


@functools.cache
def _timeouts(protocol: str) -> dict[str, Any]:
    """gcsfs gives every request five minutes, however many bytes move, and does not try again after them."""
    if protocol not in ("gs", "gcs"):
        return {}
    from aiohttp import ClientTimeout

    return {"requests_timeout": ClientTimeout(total=REQUEST, sock_connect=30, sock_read=SILENCE)}


@contextlib.contextmanager
def reading(url: str) -> Iterator[None]:
    """Errors of a store become ReadFailed and name the file; that it is not there, or forbidden, stays an error of its
    own kind. Errors of a local disk are left as they are."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, ReadFailed):
        raise
    except Exception as error:
        if "://" not in url:
            raise
        if str(error).startswith("Forbidden"):
            raise PermissionError(errno.EACCES, f"{url} may not be read: {error}") from error
        raise ReadFailed(f"{url} could not be read: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """What an error says; some of those of connections say nothing, those of what is not there only where it is not."""
    return f"{'not found: ' * isinstance(error, FileNotFoundError)}{error}" or type(error).__name__


def is_local(url: str) -> bool:
    return isinstance(filesystem(url)[0], LocalFileSystem)


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
    return _file_at(fs, path, url) is not None


def _file_at(fs: fsspec.AbstractFileSystem, path: str, url: str) -> dict[str, Any] | None:
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
        return _info(fs, fs.info(path))


def list_files(pattern: str) -> list[FileInfo]:
    """The files that a file, a directory (searched below) or a glob names, by path; hidden files are left out.

    Raises FileNotFoundError when there is none.
    """
    fs, path = filesystem(pattern)
    if any(character in path for character in "*?["):
        with reading(pattern):
            found = list(fs.glob(path, detail=True).values())
    elif (entry := _file_at(fs, path, pattern)) is not None:
        found = [entry]
    else:
        with reading(pattern):
            found = list(fs.find(path, detail=True).values())
    root = path.split("*")[0].split("?")[0].split("[")[0]
    files = [_info(fs, entry) for entry in found if entry["type"] == "file" and not _hidden(entry["name"][len(root) :])]
    if not files:
        raise FileNotFoundError(f"no files at {pattern}")
    return sorted(files)


def find(url: str, *, depth: int | None = None) -> dict[str, dict[str, Any]]:
    """What the store tells of every file below a folder, hidden ones too, by path relative to it; {} for no folder."""
    fs, path = filesystem(url)
    with reading(url):
        found = fs.find(path, maxdepth=depth, detail=True)
    return {name[len(path) :].strip("/"): entry for name, entry in found.items()}


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
    with reading(url):
        return fs.cat_file(path)


def read_range(url: str, start: int, stop: int) -> bytes:
    """Bytes start..stop of a file. Raises OSError when the file is shorter."""
    fs, path = filesystem(url)
    with reading(url):
        data = fs.cat_file(path, start=start, end=stop)
    if len(data) != stop - start:
        raise OSError(f"{url}: wanted bytes {start}..{stop}, got {len(data)} of them")
    return data


def delete(url: str) -> None:
    """Remove a file; nothing happens when it is not there."""
    fs, path = filesystem(url)
    with _named(url, verb="deleted"), contextlib.suppress(FileNotFoundError):
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
        with _named(url):
            _put(fs, temporary, path)


def _put(fs: fsspec.AbstractFileSystem, whole: str, path: str, *, tries: int = 2) -> None:
    """Upload a file unless the object is there."""
    try:
        fs.put_file(whole, path, mode="create", **({"consistency": "md5"} if "gs" in _protocols(fs) else {}))
    except Exception as error:
        if _says_exists(error):
            return
        damaged = type(error).__name__ == "ChecksumError"
        if damaged:
            # What has arrived is not what was sent: a piece whose receipt was lost may be there twice.
            fs.rm_file(path)
        gone = isinstance(error, FileNotFoundError) or getattr(error, "code", None) == 410
        if tries > 1 and (damaged or gone):
            # An upload in pieces that the store has forgotten begins again; where it was done, the object is there.
            return _put(fs, whole, path, tries=tries - 1)
        _drop_half(fs, path, whole)
        raise


@contextlib.contextmanager
def _named(url: str, *, only: Container[int] | None = None, verb: str = "written") -> Iterator[None]:
    """Errors of the operating system or a store say which file they kept from being written.

    only: the numbers of those that are meant, where other code runs inside.
    """
    try:
        yield
    except WriteFailed:
        raise
    except Exception as error:
        # Not all errors of stores are OSErrors; where other code runs, those are its own.
        if not isinstance(error, OSError) and (only is not None or "://" not in url):
            raise
        # NumPy says how much of an array it wrote, and not why: nothing but a write that failed does that.
        short = "requested and" in str(error)
        if only is not None and getattr(error, "errno", None) not in only and not short:
            raise
        raise WriteFailed(f"{url} could not be {verb}: {_told(error)}{' (is the disk full?)' * short}") from error


def _says_exists(error: BaseException | None) -> bool:
    """Whether a put failed because the object is there; clearing up after it may have failed as well."""
    while error is not None and not isinstance(error, FileExistsError):
        error = error.__context__
    return error is not None


def _drop_half(fs: fsspec.AbstractFileSystem, path: str, whole: str) -> None:
    """Delete what a failed put left, if it is the beginning of the file `whole`; another writer's file is not.

    Object stores show an object whole or not at all. Others may show half of one, which the next try would take for a
    part that is there.
    """
    if _protocols(fs) & ATOMIC:
        return
    # What the put failed with is the news, not that this failed too.
    with contextlib.suppress(Exception):
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
        with reading(url):
            fs.get_file(path, temporary, **_in_one_request(fs))
        yield temporary


def _in_one_request(fs: fsspec.AbstractFileSystem) -> dict[str, Any]:
    """gcsfs asks for an object's size, twice, before it gets it, to get large ones in several requests at once.

    Parts are small and many, and there are other workers to use the network.
    """
    return {"concurrency": 1} if "gs" in _protocols(fs) else {}


def _protocols(fs: fsspec.AbstractFileSystem) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
