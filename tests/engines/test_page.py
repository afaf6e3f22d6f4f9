"""The sequence in docs/launch/flink.md runs as it stands on a cluster of this machine, D4 with a tiny model."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from sluice.pipelines.commands.sample_corpus.command import write_sample_corpus
from sluice.pipelines.status.status import status
from tests.docs.pages import ROOT, play
from tests.engines import fetch
from tests.engines.processes import Servers, listening
from tests.pipelines.corpora import kept_ids

DOCUMENTS = 200
PORTS = (8081, 8097, 8098, 8099, 50000)
# What Flink's distribution has in conf/config.yaml.
SHIPPED = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: 6123
jobmanager.bind-host: localhost
jobmanager.memory.process.size: 1600m
taskmanager.bind-host: localhost
taskmanager.host: localhost
parallelism.default: 1
rest.address: localhost
rest.bind-address: localhost
"""
START = """\
#!/bin/sh
cd {root} && exec {python} -m tests.engines.start_cluster {flink}
"""


@pytest.fixture
def flink(tmp_path, monkeypatch):
    """Flink's folder, as far as the page uses it, beside a clone's build folder; its processes end with the test."""
    try:
        fetch.flink_tools(), fetch.job_server(), fetch.java()
    except fetch.Missing as error:
        pytest.skip(str(error))
    if taken := [port for port in PORTS if listening(port)]:
        pytest.skip(f"ports are taken: {taken}")
    for name in ("bin", "conf"):
        (tmp_path / name).mkdir()
    (tmp_path / "build").symlink_to(ROOT / "build")
    (tmp_path / "conf" / "config.yaml").write_text(SHIPPED)
    script = tmp_path / "bin" / "start-cluster.sh"
    script.write_text(START.format(root=ROOT, python=sys.executable, flink=tmp_path))
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    pids = tmp_path / "pids"
    for pid in pids.read_text().split() if pids.exists() else ():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid), signal.SIGKILL)


@pytest.mark.engines
def test_the_sequence_of_the_page_runs_from_top_to_bottom(flink):
    write_sample_corpus(str(flink / "data" / "corpus"), limit=DOCUMENTS)
    instead = {"/data/": f"{flink}/data/", "/opt/sluice/.venv": str(Path(sys.executable).parents[1])}
    with Servers(flink / "servers") as servers:

        def start(text: str, port: int) -> None:
            server = servers.start(str(port), ["bash", "-c", f"exec env {text}" if "=" in text.split()[0] else text])
            server.wait_until(lambda: listening(port), seconds=120)

        assert play(ROOT / "docs" / "launch" / "flink.md", instead, start=start) == 4
    found = status(str(flink / "data" / "runs" / "first"))
    assert (found["state"], found["recipe"]) == ("finished", "d4")
    assert len(kept_ids(flink / "data" / "runs" / "first")) == DOCUMENTS // 2
