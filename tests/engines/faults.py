"""A curation that loses workers on the way: what a lost machine looks like to whoever submits jobs."""

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engines.flink import Cluster
from tests.engines.processes import Server, Servers

Flags = Sequence[str]


@dataclass(frozen=True)
class Ended:
    """How a submission ended: its exit code (None: it waited for lost workers and had to be ended) and last words."""

    code: int | None
    said: str


def submit(servers: Servers, source: str, run: Path, flags: Flags, options: dict[str, str]) -> Server:
    """The command line's `sluice curate`, as a process of its own."""
    sluice = str(Path(sys.executable).with_name("sluice"))
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    name = f"submission-{len(servers.running)}"
    return servers.start(name, [sluice, "curate", "--input", source, "--run", str(run), *arguments, *flags])


def lose(launcher: Server, victim: Server, when: Callable[[], bool], *, patience: float) -> Ended:
    """Kill `victim` once `when()`, and see how the submission takes it: after `patience` seconds it is killed too."""
    while launcher.alive and not when():
        time.sleep(0.005)
    victim.kill()
    return wait(launcher, seconds=patience)


def wait(launcher: Server, *, seconds: float) -> Ended:
    """Wait for a submission to end; kill it when it does not."""
    deadline = time.monotonic() + seconds
    while launcher.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    stuck = launcher.alive
    launcher.kill()
    return Ended(None if stuck else launcher.process.returncode, launcher.tail(12))


def lose_workers(
    servers: Servers,
    source: str,
    run: Path,
    options: dict[str, str],
    *,
    engine: Flags,
    start_pool: Callable[[Servers], tuple[Server, list[str]]],
    files: int,
    kills: int,
    seed: int,
    patience: float = 60,
) -> list[Ended]:
    """One curation whose whole worker pool is killed `kills` times, then left alone; how each submission ended.

    A finished run holds `files` files; the kill number i comes at a random moment of the i-th of `kills` equal shares
    of them, so that all stages have their turn. After each, the same command is given again, with a new pool.
    """
    chance, ends = random.Random(seed), []
    for number in range(kills):
        moment = int(files * (number + chance.random()) / kills)
        pool, workers = start_pool(servers)
        launcher = submit(servers, source, run, [*engine, *workers], options)
        ends.append(lose(launcher, pool, lambda moment=moment: files_in(run) >= moment, patience=patience))  # type: ignore[misc]
    _, workers = start_pool(servers)
    ends.append(wait(submit(servers, source, run, [*engine, *workers], options), seconds=600))
    return ends


def lose_task_manager(
    servers: Servers, cluster: Cluster, source: str, run: Path, options: dict[str, str], *, flags: Flags, files: int
) -> list[Ended]:
    """One curation whose first task manager is killed after a third of its files; how each submission ended.

    Where Flink's restarts do not save the job, another task manager is added and the same command is given again.
    """
    launcher = submit(servers, source, run, flags, options)
    ends = [lose(launcher, cluster.workers[0], lambda: files_in(run) >= files // 3, patience=180)]
    if ends[-1].code != 0:
        cluster.add_task_manager()
        cluster.wait_for_task_managers(cluster.task_managers)
        ends.append(wait(submit(servers, source, run, flags, options), seconds=600))
    return ends


def files_in(run: Path) -> int:
    """How many files a run directory holds by now, those under temporary names included."""
    return sum(path.is_file() for path in run.rglob("*"))
