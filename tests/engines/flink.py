"""A Flink cluster on this machine: one job manager, some task managers and Beam's job server, each a process."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines import fetch
from tests.engines.processes import Server, Servers, free_port, listening

# Flink on Java 17 reads its own classes' fields by reflection; these are the ones of Flink's own start script.
OPENS = ("java.base/java.lang", "java.base/java.net", "java.base/java.nio", "java.base/java.util")
LOG = """rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = CONSOLE
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss} %p %c{1} %m%n
"""


@dataclass
class Cluster:
    """A session cluster; `slots` of each task manager bound the parallelism of a job."""

    servers: Servers
    task_managers: int = 2
    slots: int = 2
    rest_port: int = field(default_factory=free_port)
    rpc_port: int = field(default_factory=free_port)
    workers: list[Server] = field(default_factory=list)

    def start(self) -> "Cluster":
        """Bring everything up; returns when every task manager is registered. Raises Missing and EngineFailed."""
        self._jars, self._java = fetch.flink_jars(), fetch.java()
        self.job_manager = self._java_process(
            "job-manager",
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            heap="256m",
        )
        self.job_manager.wait_until(lambda: listening(self.rest_port), seconds=60)
        for _ in range(self.task_managers):
            self.add_task_manager()
        self.wait_for_task_managers(self.task_managers)
        return self

    def add_task_manager(self) -> Server:
        number = len(self.workers) + 1
        worker = self._java_process(
            f"task-manager-{number}",
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            heap="384m",
            # Flink's own reckoning of memory is off: sizes are set by hand, so that it is what the two heaps hold.
            **{
                "taskmanager.memory.task.heap.size": "256m",
                "taskmanager.memory.managed.size": "64m",
                "taskmanager.memory.framework.heap.size": "128m",
                "taskmanager.memory.network.min": "128m",
                "taskmanager.memory.network.max": "128m",
                "taskmanager.memory.task.off-heap.size": "64m",
                "taskmanager.memory.framework.off-heap.size": "64m",
                "taskmanager.memory.jvm-metaspace.size": "160m",
                "taskmanager.memory.jvm-overhead.min": "64m",
                "taskmanager.memory.jvm-overhead.max": "64m",
                "taskmanager.cpu.cores": "1.0",
                "taskmanager.resource-id": f"task-manager-{number}",
                "taskmanager.host": "localhost",
            },
        )
        self.workers.append(worker)
        return worker

    def wait_for_task_managers(self, count: int, *, seconds: float = 60) -> None:
        def registered() -> bool:
            # A task manager's slots are reported a moment after itself.
            found = self.ask("overview")
            return (found["taskmanagers"], found["slots-total"]) == (count, count * self.slots)

        for server in [worker for worker in self.workers if worker.alive] or [self.job_manager]:
            server.wait_until(registered, seconds=seconds)

    def ask(self, path: str) -> dict:
        """What the job manager's REST interface says."""
        with urllib.request.urlopen(f"http://localhost:{self.rest_port}/{path}", timeout=10) as answer:
            return json.load(answer)

    def start_job_server(self) -> str:
        """Beam's job server in front of this cluster: its endpoint. Raises Missing and EngineFailed."""
        jar = fetch.job_server()
        port = free_port()
        server = self.servers.start(
            "job-server",
            [
                *(self._java, "-Xmx384m", "-jar", str(jar)),
                *("--flink-master", f"localhost:{self.rest_port}", "--artifacts-dir", str(self._folder("artifacts"))),
                *("--job-port", str(port), "--artifact-port", "0", "--expansion-port", "0"),
            ],
        )
        server.wait_until(lambda: listening(port), seconds=60)
        return f"localhost:{port}"

    def _java_process(self, name: str, main: str, *, heap: str, **settings: str) -> Server:
        config = self._write_config(name, settings)
        command = [self._java, f"-Xmx{heap}", f"-Xms{heap}", "-XX:MaxDirectMemorySize=384m", "-XX:+UseSerialGC"]
        command += [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]
        command += [f"-Dlog4j.configurationFile={config / 'log4j.properties'}"]
        command += ["-classpath", ":".join(map(str, self._jars)), main, "--configDir", str(config)]
        return self.servers.start(name, command)

    def _write_config(self, name: str, settings: Mapping[str, str]) -> Path:
        folder = self._folder(name)
        lines = {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": str(self.rpc_port),
            "jobmanager.memory.process.size": "768m",
            "rest.address": "localhost",
            "rest.port": str(self.rest_port),
            "rest.bind-port": str(self.rest_port),
            "blob.server.port": "0",
            "io.tmp.dirs": str(self._folder(f"{name}/tmp")),
            "taskmanager.numberOfTaskSlots": str(self.slots),
            # A lost task manager is noticed in seconds, not in the fifty of the defaults.
            "heartbeat.interval": "1000",
            "heartbeat.timeout": "6000",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": "3",
            "restart-strategy.fixed-delay.delay": "1 s",
            **settings,
        }
        (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        (folder / "log4j.properties").write_text(LOG)
        return folder

    def _folder(self, name: str) -> Path:
        folder = self.servers.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
