"""What a test starts is ended with it, children and all, and nothing else is."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engines.processes import EngineFailed, Servers, free_port, listening

CHILD = "import time; print('child', flush=True); time.sleep(60)"
STUBBORN = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}])
print(child.pid, flush=True)
time.sleep(60)
"""


def running(process: int) -> bool:
    """Whether a process runs; one that is dead and only waits for its parent to notice does not."""
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at processes in /proc")
def test_leaving_ends_processes_that_ignore_the_signal_and_their_children(tmp_path: Path):
    bystander = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.DEVNULL)
    try:
        with Servers(tmp_path) as servers:
            server = servers.start("stubborn", [sys.executable, "-c", STUBBORN])
            server.wait_until(lambda: "child" in server.tail(), seconds=30)
            child = int(server.tail().split()[0])
            assert running(child)
            server.stop(seconds=0.2)
        for _ in range(100):
            if not running(child):
                break
            time.sleep(0.05)
        assert not server.alive
        assert not running(child)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_children_that_outlive_their_parent_are_ended_too(tmp_path: Path):
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {CHILD!r}]).pid, flush=True)"
    with Servers(tmp_path) as servers:
        server = servers.start("gone", [sys.executable, "-c", code])
        while server.alive or "child" not in server.tail():
            time.sleep(0.02)
        child = int(next(line for line in server.tail().splitlines() if line.isdigit()))
    for _ in range(100):
        if not running(child):
            break
        time.sleep(0.05)
    assert not running(child)


def test_a_server_that_ends_too_soon_fails_with_its_last_words(tmp_path: Path):
    with Servers(tmp_path) as servers:
        server = servers.start("short", [sys.executable, "-c", "print('no such engine')"])
        with pytest.raises(EngineFailed, match="short ended:\nno such engine"):
            server.wait_until(lambda: False, seconds=30)


def test_a_free_port_is_one_that_nobody_listens_on():
    assert not listening(free_port())
