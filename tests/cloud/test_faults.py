"""A store that fails now and then changes nothing; one that fails for good is named, and leaves nothing half."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.transforms import storage
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.records.records import Fields
from sluice.transforms.storage import committing, filesystems, listing, streams
from tests.cloud.proxy import CUT, DROP, EXISTS, FORBID, LOSE, REFUSE, SLOW_DOWN, STALL, Proxy, Request

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 100
# Above 5 MB gcsfs uploads in several requests.
LARGE = bytes(range(251)) * 26_000


def put(url: str, data: bytes = CONTENT) -> None:
    with committing.create(url) as path:
        Path(path).write_bytes(data)


def read_stream(url: str) -> bytes:
    with storage.open_read(url) as file:
        return file.read()


def copy(url: str) -> bytes:
    with storage.local_copy(url) as path:
        return Path(path).read_bytes()


# What is done with an object, of which kind its requests are, and what comes out.
READS: dict[str, tuple[str, Callable[[str], object], object]] = {
    "whole": ("get", storage.read_bytes, CONTENT),
    "range": ("range", lambda url: storage.read_range(url, 5, 99), CONTENT[5:99]),
    "stream": ("range", read_stream, CONTENT),
    "opened": ("info", read_stream, CONTENT),
    "copy": ("get", copy, CONTENT),
    "info": ("info", lambda url: storage.info(url).size, len(CONTENT)),
    "exists": ("info", storage.exists, True),
    "listed": ("list", lambda url: [file.size for file in listing.list_files(url.rpartition("/")[0])], [len(CONTENT)]),
}
WRITES: dict[str, tuple[str, Callable[[str], object], bytes]] = {
    "create": ("put", put, CONTENT),
    "replace": ("put", lambda url: committing.replace_bytes(url, CONTENT), CONTENT),
    "begin": ("start", lambda url: put(url, LARGE), LARGE),
    "chunk": ("chunk", lambda url: put(url, LARGE), LARGE),
    "last chunk": ("chunk", lambda url: put(url, LARGE), LARGE),
}
FAULTS = (REFUSE, SLOW_DOWN, STALL, DROP, LOSE, CUT)


@pytest.fixture(autouse=True)
def impatient(store: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A silent store is given up after a moment, and large objects go up in small pieces."""
    from gcsfs import GCSFileSystem

    defaults = list(GCSFileSystem._put_file.__defaults__)
    defaults[defaults.index(50 * 2**20)] = 2**20
    monkeypatch.setattr(GCSFileSystem._put_file, "__defaults__", tuple(defaults))
    monkeypatch.setattr(filesystems, "SILENCE", 0.5)
    filesystems._timeouts.cache_clear()
    yield
    filesystems._timeouts.cache_clear()


def first(kind: str, fault: str, number: int = 1) -> Callable[[Request], str | None]:
    return lambda request: fault if (request.kind, request.number) == (kind, number) else None


def always(kind: str, fault: str) -> Callable[[Request], str | None]:
    return lambda request: fault if request.kind == kind else None


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", READS)
def test_a_read_that_fails_once_is_tried_again(name, fault, store, place):
    kind, read, expected = READS[name]
    url = f"{place()}/object"
    put(url)
    store.reset(first(kind, fault))
    assert read(url) == expected
    assert len(store.failed) == 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_fails_once_is_tried_again(name, fault, store, place):
    kind, write, expected = WRITES[name]
    url = f"{place()}/object"
    store.reset(first(kind, fault, {"chunk": 3, "last chunk": 7}.get(name, 1)))
    write(url)
    assert len(store.failed) == 1
    store.reset()
    assert storage.read_bytes(url) == expected


@pytest.mark.parametrize("fault", (REFUSE, DROP))
@pytest.mark.parametrize("name", READS)
def test_a_read_that_keeps_failing_names_the_file(name, fault, store, place):
    kind, read, _ = READS[name]
    url = f"{place()}/object"
    put(url)
    store.reset(always(kind, fault))
    with pytest.raises(filesystems.ReadFailed, match=f"{url.rpartition('/')[0]}.* could not be read: "):
        read(url)
    assert len(store.failed) >= 6


@pytest.mark.parametrize("fault", (REFUSE, DROP))
@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_keeps_failing_names_the_file_and_leaves_nothing(name, fault, store, place):
    kind, write, expected = WRITES[name]
    url = f"{place()}/object"
    last = {"chunk": 3, "last chunk": 7}.get(name, 1)
    store.reset(lambda request: fault if request.kind == kind and request.number >= last else None)
    with pytest.raises(filesystems.WriteFailed, match=f"{url} could not be written: "):
        write(url)
    assert len(store.failed) >= 6
    store.reset()
    assert not storage.exists(url)
    write(url)
    assert storage.read_bytes(url) == expected


def test_what_is_not_there_or_forbidden_is_no_failure_of_the_store(store, place):
    url = f"{place()}/object"
    assert not storage.exists(url)
    for read in (storage.read_bytes, read_stream, copy, storage.info):
        with pytest.raises(FileNotFoundError):
            read(url)
    storage.delete(url)
    put(url)
    store.reset(always("get", FORBID))
    with pytest.raises(PermissionError, match=f"{url} may not be read"):
        storage.read_bytes(url)


@pytest.mark.parametrize(("data", "moment"), [(CONTENT, "put"), (LARGE, "start"), (LARGE, "chunk")])
def test_of_two_who_write_the_same_object_the_first_wins(data, moment, store, place):
    url = f"{place()}/object"

    def write_between(request: Request) -> str | None:
        if (request.kind, request.number) != (moment, 1):
            return None
        store.fails = lambda request: None
        put(url, b"first")
        # Google refuses pieces of an object that has come to be there as well; the emulator looks at whole ones only.
        return None if moment == "put" else EXISTS

    store.reset(write_between)
    put(url, data)
    assert storage.read_bytes(url) == b"first"


FORMATS = ("lines.jsonl", "lines.jsonl.gz", "lines.jsonl.bz2", "lines.jsonl.zst", "table.parquet")


@pytest.mark.parametrize("name", FORMATS)
def test_a_store_that_fails_is_not_a_damaged_file(name, store, place, tmp_path):
    numbers = np.random.default_rng(0).integers(1 << 60, size=200_000)
    lines = b"".join(b'{"text": "text %d"}\n' % number for number in numbers)
    if name == "table.parquet":
        table = pa.table({"text": [f"text {number}" for number in numbers]})
        pq.write_table(table, tmp_path / name, row_group_size=20_000)
    else:
        with streams.open_write(str(tmp_path / name), streams.split_compression(name)[1]) as out:
            out.write(lines)
    url = f"{place()}/{name}"
    put(url, (tmp_path / name).read_bytes())
    (unit,) = plan_units([url])
    store.reset(lambda request: REFUSE if request.kind == "range" and request.number > 2 else None)
    with pytest.raises(filesystems.ReadFailed, match=f"{url} could not be read: .*503"):
        list(reading.read_unit(unit, Fields(), on_unreadable="reject"))
