"""Whatever dies or refuses - a process, a worker, a disk, a store - the run says so, and the same call completes it."""

import errno
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.prepare import prepare
from sluice.pipelines.run.runner import StageFailed, run_stage, run_stages
from sluice.transforms import storage
from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.storage import committing, filesystems
from tests.pipelines.corpora import decisions, fates, make_rows, run_d4, write_jsonl
from tests.pipelines.flaky import FlakyFileSystem, StoreDown
from tests.pipelines.running import twice_at_once

OPTIONS = {"unit_bytes": 15_000}
SEMDEDUP = {"recipe": "semdedup", "text": "none", "keep": None, "threshold": "0.9"}
# Children fork off a server that has imported everything, so that one costs milliseconds and not seconds.
SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["tests.pipelines.corpora", "tests.pipelines.run.test_faults"])
CHANGES = {"os.link", "os.rename", "os.remove", "os.mkdir"}
KILLS = 10


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(120), files=2)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> tuple[Path, int]:
    """A D4 run, and how many changes it made to its directory."""
    run, changes = tmp_path_factory.mktemp("undisturbed") / "run", SPAWN.Value("i")
    assert in_child(curate_and_count, source, str(run), changes) == 0
    return run, changes.value


@pytest.fixture(scope="module")
def deduplicated(source, tmp_path_factory) -> Path:
    """A run of fewer stages."""
    run = tmp_path_factory.mktemp("deduplicated") / "run"
    run_d4(source, run, **SEMDEDUP)
    return run


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but the report and launches/, which hold times, and what killed processes left behind."""
    files = (path for path in run.rglob("*") if path.is_file() and path.stem != "report")
    files = (path for path in files if path.parent.name != "launches")
    return {str(path.relative_to(run)): path.read_bytes() for path in files if path.suffix != ".tmp"}


# Processes killed -----------------------------------------------------------------------------------------------------


def count_changes(run: str, at: Callable[[int], None]) -> None:
    """From now on, `at` is called before each change to a run directory by this process, with the change's number."""
    number = 0

    def hook(event: str, args: tuple) -> None:
        nonlocal number
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in CHANGES) and str(args[0]).startswith(run):
            number += 1
            at(number)

    sys.addaudithook(hook)


def curate_and_count(source: str, run: str, changes: Any) -> None:
    def at(number: int) -> None:
        changes.value = number

    count_changes(run, at)
    run_d4(source, run, **OPTIONS)


def curate_until(source: str, run: str, last: int) -> None:
    def at(number: int) -> None:
        if number == last:
            os.kill(os.getpid(), signal.SIGKILL)

    count_changes(run, at)
    run_d4(source, run, **OPTIONS)


def in_child(function: Callable[..., None], *args: Any) -> int:
    """A function in a process of its own; returns the exit code, minus the signal's number where one ended it."""
    child = SPAWN.Process(target=function, args=args)
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def finished_stages(run: Path) -> int:
    return len(list(run.rglob("manifest.json")))


def test_a_run_killed_ten_times_over_its_stages_ends_in_the_same_bytes(source, undisturbed, tmp_path):
    most = undisturbed[1] // KILLS
    assert most > 5
    run, chance, stages = tmp_path / "run", random.Random(3), set()
    for _ in range(KILLS):
        assert in_child(curate_until, source, str(run), chance.randint(most // 2, most)) == -signal.SIGKILL
        stages.add(finished_stages(run))
    assert len(stages) >= 5
    run_d4(source, run, **OPTIONS)
    assert contents(run) == contents(undisturbed[0])


def test_a_run_beside_another_that_is_killed_ends_right(source, undisturbed, tmp_path):
    run = tmp_path / "run"
    children = [SPAWN.Process(target=curate_until, args=(source, str(run), last)) for last in (60, 10**9)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [-signal.SIGKILL, 0]
    assert contents(run) == contents(undisturbed[0])


# A worker looks at every link that it makes, and kills itself at the third; only once, for it leaves a mark.
DYING_WORKER = """
import os, signal, sys
links = 0
def hook(event, args):
    global links
    if event == "os.link" and str(args[1]).startswith({run!r}):
        links += 1
        if links == 3 and not os.path.exists({mark!r}):
            os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
WORKERS = {
    "two processes": [
        "--runner=FnApiRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    ],
    "portable": [
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        "--environment_type=beam:env:harness_subprocess_python:v1",
        f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main",
    ],
}


# Beam's threads that talked to the worker end in exceptions.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("runner", "last"), [("two processes", "documents"), ("portable", "01-semdedup/clusters")])
def test_a_worker_that_is_killed_fails_the_stage_and_changes_nothing(
    runner, last, source, deduplicated, tmp_path, monkeypatch
):
    url, mark = tmp_path / "run", tmp_path / "killed"
    options = {**SEMDEDUP, "unit_bytes": 6000}
    recipe = build_recipe(inputs=[source], id="id", vector="embedding", tokens="column:tokens", clusters="6", **options)
    run, _ = prepare(recipe, str(url))
    for stage in run.stages():
        if stage.name == last:
            break
        run_stage(stage, run)
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "sitecustomize.py").write_text(DYING_WORKER.format(run=str(url), mark=str(mark)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "startup"), prepend=os.pathsep)
    with pytest.raises(StageFailed, match=f"stage {last}: a worker process died"):
        run_stage(stage, run, WORKERS[runner])
    assert mark.exists() and not stage.finished
    run_d4(source, url, **options)
    assert fates(url) == fates(deduplicated)


# Disks that are full --------------------------------------------------------------------------------------------------


def run_each_stage_with_small_files(source: str, url: str, sizes: dict[str, list[int]], messages: str) -> None:
    """Every stage, first where no file may grow above so many bytes, by its folder, and at last without a limit."""
    settings = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "clusters": "6", "keep": "0.5"}
    recipe = build_recipe(inputs=[source], recipe="d4", **settings, **OPTIONS)
    run, _ = prepare(recipe, url)
    failed = []
    for stage in run.stages():
        folders = [artifact.url.removeprefix(f"{url}/").removesuffix("/_parts") for artifact in stage.artifacts]
        for most in sorted({size for folder in folders for size in sizes.get(folder, [])}):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
            try:
                run_stages(run, only=stage.name)
            except StageFailed as error:
                failed.append(str(error))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert not list(Path(url).rglob("*.tmp"))
        run_stages(run, only=stage.name)
    Path(messages).write_text(json.dumps(failed))


def check_says_full(messages: Iterable[str], run: Path) -> None:
    for text in messages:
        assert f"{run}" in text and "could not be written" in text, text
        assert re.search(r"File too large|No space left|is the disk full\?", text), text


def test_a_disk_that_takes_all_but_the_last_byte_of_a_file_leaves_none_that_counts_as_whole(
    source, undisturbed, tmp_path
):
    whole, run, messages = contents(undisturbed[0]), tmp_path / "run", tmp_path / "messages"
    # What a library buffers until the end is what does not fit: NumPy's tofile says nothing of it.
    sizes: dict[str, list[int]] = {}
    for name, data in whole.items():
        if Path(name).suffix not in (".parquet", ".json") or name.startswith("embeddings/part-00001-"):
            sizes.setdefault(str(Path(name).parent), []).append(len(data) - 1)
    assert in_child(run_each_stage_with_small_files, source, str(run), sizes, str(messages)) == 0
    failed = json.loads(messages.read_text())
    assert len(failed) >= 8
    check_says_full(failed, run)
    assert contents(run) == whole


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own, of 40 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_run_on_a_disk_that_fills_up_completes_as_room_is_made(source, deduplicated, small_disk):
    run, messages = small_disk / "run", []
    for kilobytes in (40, 80, 120, 4000):
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(small_disk)], check=True)
        try:
            run_d4(source, run, **SEMDEDUP)
        except (StageFailed, OSError) as error:
            messages.append(str(error))
            assert not list(run.rglob("*.tmp"))
    assert len(messages) >= 2
    check_says_full(messages, run)
    assert contents(run) == contents(deduplicated)


# Stores that fail -----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def working_store() -> Iterator[None]:
    FlakyFileSystem.reset()
    yield
    FlakyFileSystem.reset()


def every(nth: int, *names: str) -> Callable[[str, str, int], bool]:
    """Fails every n-th of the operations that have these names."""
    asked = iter(range(1, 10**9))
    return lambda name, path, number: name in names and next(asked) % nth == 0


FAILING = {"reads": (29, "cat_file", "get_file", "find"), "writes": (5, "put_file", "pipe_file")}


@pytest.mark.parametrize("kind", list(FAILING))
def test_a_store_that_fails_now_and_then_fails_stages_loudly_and_tries_add_up(kind, source, deduplicated):
    run, messages = f"flaky://{kind}/run", []
    FlakyFileSystem.reset(every(*FAILING[kind]))
    while len(messages) < 40:
        try:
            run_d4(source, run, **SEMDEDUP)
            break
        except (StageFailed, OSError) as error:
            messages.append(str(error))
    assert len(FlakyFileSystem.failures) >= len(messages) >= 3
    assert all("503 Service Unavailable" in message for message in messages)
    FlakyFileSystem.reset()
    assert decisions(run).equals(decisions(deduplicated))


def test_two_runs_at_once_in_one_store_both_end_right(source, deduplicated):
    run = "flaky://at-once/run"
    twice_at_once(lambda: run_d4(source, run, **SEMDEDUP))
    assert decisions(run).equals(decisions(deduplicated))


def write(url: str) -> None:
    with committing.create(url) as path:
        Path(path).write_bytes(b"whole content")


def test_half_of_an_object_is_not_taken_for_a_whole_one():
    url = "flaky://halves/part"
    FlakyFileSystem.reset(lambda name, path, number: name == "put_file")
    with pytest.raises(filesystems.WriteFailed, match="flaky://halves/part could not be written: 503"):
        write(url)
    assert FlakyFileSystem.failures and not storage.exists(url)
    FlakyFileSystem.reset()
    write(url)
    assert storage.read_bytes(url) == b"whole content"


def test_a_put_that_fails_leaves_the_object_of_another_writer(monkeypatch):
    url = "flaky://others/part"

    def beaten(self: FlakyFileSystem, local: str, path: str, **options: Any) -> None:
        self.pipe_file(path, b"another")
        raise StoreDown("503 Service Unavailable")

    monkeypatch.setattr(FlakyFileSystem, "put_file", beaten)
    with pytest.raises(filesystems.WriteFailed):
        write(url)
    assert storage.read_bytes(url) == b"another"


def test_half_of_a_manifest_or_a_recipe_counts_as_none(source, tmp_path):
    recipe = build_recipe(inputs=[source], recipe="semdedup", text="none", vector="embedding", threshold="0.9")
    prepare(recipe, str(tmp_path))
    whole = (tmp_path / "recipe.yaml").read_bytes()
    for name in ("recipe.yaml", "manifest.json"):
        (tmp_path / name).write_bytes(b'{"key": "0123\xc3')
    assert find_manifest(str(tmp_path)) is None
    assert prepare(recipe, str(tmp_path))[1] == []
    assert (tmp_path / "recipe.yaml").read_bytes() == whole


def test_a_finished_run_is_read_where_nothing_can_be_written(source, monkeypatch):
    url = f"memory://{uuid.uuid4().hex}"
    done = run_d4(source, url, **SEMDEDUP)

    def refuse(self: MemoryFileSystem, path: str, *args: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "403 Forbidden", path)

    for name in ("put_file", "pipe_file", "rm_file", "mkdir", "makedirs"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
    assert run_d4(source, url, **SEMDEDUP)["totals"] == done["totals"]
    with pytest.raises(OSError, match=r"recipe\.yaml could not be written"):
        run_d4(source, url, **SEMDEDUP | {"threshold": "0.8"})
