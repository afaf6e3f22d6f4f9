"""The fsspec filesystem of a URL, and errors that name the file that could not be read or written."""

import contextlib
import errno
import functools
from collections.abc import Container, Iterator
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

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


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec filesystem of a URL and the path inside it.

    It remembers no listings: other processes write into the same folders.
    """
    if "://" not in url:
        # Not url_to_fs, which takes "::" in a name for one file system inside another.
        return LocalFileSystem(), LocalFileSystem._strip_protocol(url)
    return fsspec.core.url_to_fs(url, use_listings_cache=False, **_timeouts(url.partition("://")[0]))


@functools.cache
def _timeouts(protocol: str) -> dict[str, Any]:
    """gcsfs gives every request five minutes, however many bytes move, and does not try again after them."""
    if protocol not in ("gs", "gcs"):
        return {}
    from aiohttp import ClientTimeout

    return {"requests_timeout": ClientTimeout(total=REQUEST, sock_connect=30, sock_read=SILENCE)}


def is_local(url: str) -> bool:
    return isinstance(filesystem(url)[0], LocalFileSystem)


def protocols(fs: fsspec.AbstractFileSystem) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


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


@contextlib.contextmanager
def writing(url: str, *, only: Container[int] | None = None, verb: str = "written") -> Iterator[None]:
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


def _told(error: BaseException) -> str:
    """What an error says; some of those of connections say nothing, those of what is not there only where it is not."""
    return f"{'not found: ' * isinstance(error, FileNotFoundError)}{error}" or type(error).__name__
