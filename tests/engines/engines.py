"""Every engine that Sluice is run on: a name, and a function that starts its processes and gives Beam's flags.

The last four keep the three parts of a cluster apart, as a real one does: who submits, the engine, and the workers
that run Sluice's code, which are started from a pool that the engine reaches by address.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.engines import fetch
from tests.engines.flink import Cluster
from tests.engines.processes import Server, Servers, free_port, listening

Start = Callable[[Servers], list[str]]


def start_pool(servers: Servers, *, processes: bool = True, shared: bool = False) -> tuple[Server, list[str]]:
    """A worker pool, and the flags that name it; its workers are processes, one for each job, or threads of its own.

    shared: several task managers may use it.
    """
    port = free_port()
    command = ["-m", "apache_beam.runners.worker.worker_pool_main", "--service_port", str(port)]
    if shared or not processes:
        own = str(Path(__file__).with_name("worker_pool.py"))
        command = [own, "shared" if shared else "threads", str(port)]
    pool = servers.start(
        f"workers-{port}",
        [sys.executable, *command],
        # Beam's pool starts its workers as plain `python`: one without Beam would be waited for for ever.
        env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
    )
    pool.wait_until(lambda: listening(port), seconds=60)
    return pool, ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]


def start_prism(servers: Servers) -> list[str]:
    """A Prism server of its own, and the flags to submit to it. Raises Missing."""
    port = free_port()
    # Without its web page, and gone by itself should the test be killed before it can end it.
    command = [str(fetch.prism()), "--job_port", str(port), "--serve_http=false", "--idle_shutdown_timeout=10m"]
    server = servers.start(f"prism-{port}", command)
    server.wait_until(lambda: listening(port), seconds=60)
    return ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]


def _fn_api(*flags: str) -> Start:
    return lambda servers: ["--runner=FnApiRunner", *flags]


def _workers(mode: str, count: int) -> Start:
    return _fn_api(f"--direct_running_mode={mode}", f"--direct_num_workers={count}")


def _embedded(*flags: str) -> Start:
    return lambda servers: ["--runner=PortableRunner", "--job_endpoint=embed", *flags]


def _subprocess(servers: Servers) -> list[str]:
    worker = f"{sys.executable} -m apache_beam.runners.worker.sdk_worker_main"
    environment = ["--environment_type=beam:env:harness_subprocess_python:v1", f"--environment_config={worker}"]
    return _embedded(*environment)(servers)


def _pool(engine: Start, *, processes: bool) -> Start:
    """An engine with its workers in a pool."""
    return lambda servers: [*engine(servers), *start_pool(servers, processes=processes)[1]]


def _prism_runner(servers: Servers) -> list[str]:
    return ["--runner=PrismRunner", f"--prism_location={fetch.prism()}"]


def _flink(parallelism: int) -> Start:
    def start(servers: Servers) -> list[str]:
        # Asked for first: without it there is no need to start a cluster.
        fetch.job_server()
        cluster = Cluster(servers).start()
        return flink_flags(cluster, parallelism) + start_pool(servers, shared=True)[1]

    return start


def flink_flags(cluster: Cluster, parallelism: int) -> list[str]:
    """A job server in front of a cluster, and the flags to submit to it; as many workers as tasks side by side."""
    endpoint = cluster.start_job_server()
    slots = -(-parallelism // cluster.task_managers)
    return [
        *("--runner=PortableRunner", f"--job_endpoint={endpoint}"),
        *(f"--parallelism={parallelism}", f"--sdk_worker_parallelism={slots}"),
    ]


ENGINES: dict[str, Start] = {
    "in memory": _fn_api(),
    "every bundle twice": _fn_api("--direct_runner_bundle_repeat=1"),
    "4 threads": _workers("multi_threading", 4),
    "1 process": _workers("multi_processing", 1),
    "4 processes": _workers("multi_processing", 4),
    "portable, a thread here": _embedded("--environment_type=LOOPBACK"),
    "portable, threads in another process": _pool(_embedded(), processes=False),
    "portable, a process for each job": _subprocess,
    "portable, a worker pool": _pool(_embedded(), processes=True),
    "Prism": _prism_runner,
    "Prism, threads in another process": _pool(start_prism, processes=False),
    "Prism, a worker pool": _pool(start_prism, processes=True),
    "Flink, parallelism 1": _flink(1),
    "Flink, parallelism 4": _flink(4),
}
