"""Whole files, first writer wins: no reader sees half of one. Local paths and every fsspec URL."""

import contextlib
import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sluice.transforms.storage import processes
from sluice.transforms.storage.filesystems import filesystem, protocols, writing

NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# Stores that show an object whole or not at all.
ATOMIC = {"gs", "gcs", "s3", "s3a", "abfs", "abfss", "az"}


@contextlib.contextmanager
def create(url: str, *, replace: bool = False) -> Iterator[str]:
    """Yields a local path to write; on success the file appears at `url` whole, unless one is already there.

    The first writer wins: two workers that write the same part both succeed and readers see one of them.
    Locally by a hard link, on object stores by a put that asks for the object not to exist. Raises WriteFailed.
    replace: the last writer wins, for files without a checksum of their own, of which one there may be damaged.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _local_temporary(path) as temporary:
            with writing(url, only=NOT_WRITTEN):
                yield temporary
            with writing(url), contextlib.suppress(FileExistsError):
                _sync(temporary)
                (os.replace if replace else os.link)(temporary, path)
        return
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        temporary = str(Path(folder) / "part")
        with writing(f"{url} (first as {temporary})", only=NOT_WRITTEN):
            yield temporary
        with writing(url):
            _put(fs, temporary, path, mode="overwrite" if replace else "create")


def replace_bytes(url: str, data: bytes) -> None:
    """Write a small file whole, replacing the old one in one step. Raises WriteFailed."""
    fs, path = filesystem(url)
    with writing(url):
        if not isinstance(fs, LocalFileSystem):
            fs.pipe_file(path, data)
            return
        with _local_temporary(path) as temporary:
            Path(temporary).write_bytes(data)
            _sync(temporary)
            os.replace(temporary, path)


def _put(fs: fsspec.AbstractFileSystem, whole: str, path: str, *, mode: str, tries: int = 2) -> None:
    """Upload a file; with mode `create` unless the object is there."""
    try:
        fs.put_file(whole, path, mode=mode, **({"consistency": "md5"} if "gs" in protocols(fs) else {}))
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
            return _put(fs, whole, path, mode=mode, tries=tries - 1)
        _drop_half(fs, path, whole)
        raise


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
    if protocols(fs) & ATOMIC:
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
    with writing(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    # leftovers.py knows them by this name: what a process that was killed leaves is as large as a part.
    temporary = f"{Path(path).parent}/.{processes.this_process()}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _sync(path: str) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
