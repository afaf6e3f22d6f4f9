"""Files that carry a checksum of their own, so that whoever reads them knows that they hold what was written.

A sealed file (arrays, sorted records, searchers) has it in its last 12 bytes, which readers of .npy and .tar pass over.
A Parquet part has it in its metadata and a manifest in its first line, both as eight hex digits that were zeros when
the checksum was taken.
"""

import contextlib
import io
import logging
import os
import shutil
from collections.abc import Iterator

import google_crc32c
import numpy as np

from sluice.transforms import storage
from sluice.transforms.storage import committing
from sluice.transforms.storage.damage import damaged

log = logging.getLogger("sluice")

MAGIC = b"\0sluice1"
TRAILER = len(MAGIC) + 4
BLOCK = 1 << 22
# Of a Parquet part's metadata: key and value as Thrift's compact protocol writes them; JSON never has such bytes.
PART_KEY = "sluice.crc32c"
UNSET = b"00000000"
_PART_FIELD = b"\x18" + bytes([len(PART_KEY)]) + PART_KEY.encode() + b"\x18" + bytes([len(UNSET)])
_MANIFEST_FIELD = b'{\n "check": "'


def checksum_of(path: str) -> tuple[int, int]:
    """crc32c and size in bytes of a local file."""
    with open(path, "rb") as file:
        return _checksum(file), file.tell()


def _checksum(file: io.BufferedIOBase, checksum: int = 0, size: int | None = None) -> int:
    """crc32c of the next `size` bytes (None: all), after those that `checksum` is of."""
    while block := file.read(BLOCK if size is None else min(BLOCK, size)):
        checksum = google_crc32c.extend(checksum, block)
        if size is not None:
            size -= len(block)
    return checksum


# Sealed files ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def create(url: str) -> Iterator[str]:
    """committing.create for a sealed file; a damaged one that is there already is replaced."""
    discard_damaged(url)
    with committing.create(url) as path:
        yield path
        checksum, _ = checksum_of(path)
        with open(path, "ab") as file:
            file.write(MAGIC + checksum.to_bytes(4, "little"))


def problem(path: str) -> str | None:
    """What is wrong with a local sealed file, None for nothing. Raises FileNotFoundError."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size - TRAILER
        checksum = _checksum(file, size=max(size, 0))
        trailer = file.read()
    if size < 0 or not trailer.startswith(MAGIC):
        return "it has no checksum at its end"
    said = int.from_bytes(trailer[len(MAGIC) :], "little")
    return None if said == checksum else f"its checksum is {checksum:08x}, it was written with {said:08x}"


def discard_damaged(url: str) -> bool:
    """Whether a sealed file is there and whole; a damaged one is deleted, which the log says."""
    try:
        with storage.local_copy(url) as path:
            found = problem(path)
    except FileNotFoundError:
        return False
    if found is not None:
        discard(url, found)
    return found is None


def existing_array(url: str) -> np.ndarray | None:
    """The sealed array that an earlier try left, or None; a damaged one is deleted."""
    return load_array(url, folder="") if discard_damaged(url) else None


def discard(url: str, found: str) -> None:
    """Delete a damaged file of a stage that is not finished, and say so in the log."""
    log.warning("%s is damaged: %s; it is made again", url, found)
    storage.delete(url)


@contextlib.contextmanager
def opened(url: str, *, folder: str) -> Iterator[str]:
    """A local path with the sealed file's content, the checksum behind it. Raises Damaged, for a missing file too."""
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(storage.local_copy(url))
            found = problem(path)
        except FileNotFoundError:
            raise damaged(url, "it is missing", folder=folder) from None
        if found is not None:
            raise damaged(url, found, folder=folder)
        yield path


def copy(local: str, target: str) -> None:
    """A sealed file like a local one, which may lack its checksum, where an earlier version wrote it."""
    with create(target) as other:
        shutil.copyfile(local, other)
        if problem(local) is None:
            os.truncate(other, os.path.getsize(other) - TRAILER)


def save_array(url: str, array: np.ndarray) -> None:
    """Write an array as a sealed .npy, unless a whole one is there."""
    with create(url) as path, open(path, "wb") as file:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
        file.write(header.getvalue())
        # Not numpy's tofile, which says nothing of what a full disk did not take.
        file.write(np.ascontiguousarray(array).data if array.size else b"")


def load_array(url: str, *, folder: str) -> np.ndarray:
    """A sealed array, copied into memory. Raises Damaged."""
    with opened(url, folder=folder) as path:
        return np.load(path, allow_pickle=False)


# Fields of eight hex digits -------------------------------------------------------------------------------------


def seal_part(path: str) -> None:
    """Enter the checksum into a local Parquet file whose metadata has PART_KEY: UNSET."""
    at = _place_in_part(path)
    if at is None:
        raise ValueError(f"{path}: no {PART_KEY} in its metadata")
    checksum, _ = checksum_of(path)
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"%08x" % checksum)


def check_part(path: str) -> tuple[int, int, str | None]:
    """crc32c, size in bytes, and what is wrong with a local Parquet part by its own checksum (None: nothing)."""
    at = _place_in_part(path)
    if at is None:
        return *checksum_of(path), "it is cut, or its metadata are damaged"
    with open(path, "rb") as file:
        before = _checksum(file, size=at)
        said, rest = file.read(len(UNSET)), file.read()
        size = file.tell()
    whole, unset = (google_crc32c.extend(google_crc32c.extend(before, field), rest) for field in (said, UNSET))
    if said != b"%08x" % unset:
        return whole, size, f"its checksum is {unset:08x}, it was written with {said.decode(errors='replace')!r}"
    return whole, size, None


def _place_in_part(path: str) -> int | None:
    """Where a Parquet file has the digits of its checksum."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        end = file.read()
        length = int.from_bytes(end[:4], "little")
        if end[4:] != b"PAR1" or length + 8 > size:
            return None
        start = file.seek(size - 8 - length)
        place = file.read(length).rfind(_PART_FIELD)
    return None if place < 0 else start + place + len(_PART_FIELD)


def seal_manifest(data: bytes) -> bytes:
    """JSON with indent 1 whose first key is `check`, eight zeros -> the same with the checksum entered."""
    start = len(_MANIFEST_FIELD)
    assert data.startswith(_MANIFEST_FIELD + UNSET), data[:40]
    return data[:start] + b"%08x" % google_crc32c.value(data) + data[start + len(UNSET) :]


def sound_manifest(data: bytes) -> bool:
    """Whether a manifest is as it was written; those of versions before checksums pass."""
    start = len(_MANIFEST_FIELD)
    if data.startswith(b'{\n "stage": '):
        return True
    unset = data[:start] + UNSET + data[start + len(UNSET) :]
    return data[:start] == _MANIFEST_FIELD and data[start:][:8] == b"%08x" % google_crc32c.value(unset)
