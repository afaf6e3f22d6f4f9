"""Server processes of a test: each with its own log and process group, ended one by one by process id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class EngineFailed(RuntimeError):
    """A server did not come up, or ended too soon; the message holds the end of its log."""


@dataclass
class Server:
    """One process that was started here, and the file its output goes to."""

    name: str
    process: subprocess.Popen
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.returncode is None and not self._ended()

    def kill(self) -> None:
        """SIGKILL to the process and its children, as a lost machine would look; returns when it is gone."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, *, seconds: float = 10) -> None:
        """SIGTERM, then SIGKILL to what is left of its group after some seconds."""
        if self.process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._ended():
            time.sleep(0.05)
        # Its children may outlive it. It is not reaped before they are gone, so its group's number is still its own.
        self.kill()

    def _ended(self) -> bool:
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Return when `ready()`; EngineFailed when the process ends before, or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                raise EngineFailed(f"{self.name} ended:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise EngineFailed(f"{self.name} was not ready after {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.1)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Servers:
    """Every process that one test started; leaving the `with` block ends them, the last one first."""

    folder: Path
    running: list[Server] = field(default_factory=list)

    def __enter__(self) -> "Servers":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        for server in reversed(self.running):
            server.stop()

    def start(self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Server:
        """Start a process in a group of its own, so that its children can be ended with it and nothing else is."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        server = Server(name, process, log)
        self.running.append(server)
        return server


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port: int) -> bool:
    """Whether something on this machine accepts connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
