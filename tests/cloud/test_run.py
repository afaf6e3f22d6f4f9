"""A whole curation in a bucket: the bytes are those of a local one, commands read it, the store may have bad days."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.pipelines.main import main
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.prepare import prepare
from sluice.pipelines.run.runner import StageFailed, run_stages
from sluice.transforms import storage
from sluice.transforms.storage import committing, filesystems
from tests.cloud.proxy import CUT, DROP, LOSE, REFUSE, SLOW_DOWN, Request
from tests.pipelines.corpora import decisions, make_rows, run_d4, write_jsonl
from tests.pipelines.running import twice_at_once

D4 = {"unit_bytes": 20_000}
SEMDEDUP = {"recipe": "semdedup", "text": "none", "keep": None, "threshold": "0.9"}


def upload(folder: Path, url: str) -> str:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            committing.replace_bytes(f"{url}/{path.relative_to(folder)}", path.read_bytes())
    return url


def contents(run: Path | str) -> dict[str, bytes]:
    """The files of a run by name, without the keys in the names.

    Keys and manifests follow from the inputs' etags, which no two stores have in common; so do the inventory and the
    list of the corpus' files.
    """
    fs, root = filesystems.filesystem(str(run))
    files = {re.sub("-[0-9a-f]{10}", "", name[len(root) :].strip("/")): name for name in fs.find(root)}
    own = re.compile(r"inventory/|corpus/_parts/|.*\.(json|yaml|html)$")
    return {name: fs.cat_file(path) for name, path in files.items() if not own.match(name)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON lines and Parquet files side by side."""
    folder, rows = tmp_path_factory.mktemp("corpus"), make_rows(120)
    write_jsonl(folder / "lines", rows[:70], files=2)
    (folder / "tables").mkdir()
    pq.write_table(pa.Table.from_pylist(rows[70:]), folder / "tables" / "shard.parquet", row_group_size=25)
    return folder


@pytest.fixture(scope="module")
def remote(source: Path, bucket: str) -> str:
    return upload(source, f"{bucket}/corpus")


@pytest.fixture(scope="module")
def local_run(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("local") / "run"
    run_d4(str(source), run, **D4)
    return run


@pytest.fixture(scope="module")
def remote_run(remote: str, bucket: str) -> str:
    run = f"{bucket}/runs/first"
    run_d4(remote, run, **D4)
    return run


@pytest.fixture(scope="module")
def deduplicated(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local run of fewer stages."""
    run = tmp_path_factory.mktemp("deduplicated") / "run"
    run_d4(str(source), run, **SEMDEDUP)
    return run


def test_a_run_in_a_bucket_writes_the_bytes_that_a_local_one_writes(local_run, remote_run):
    assert decisions(remote_run).equals(decisions(local_run))
    local, remote = contents(local_run), contents(remote_run)
    assert {name.rpartition(".")[2] for name in local} >= {"parquet", "jsonl", "npy", "records"}
    assert local == remote


COMMANDS = (["status"], ["explain", "document-7"], ["preview"], ["clusters"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_commands_say_of_a_run_in_a_bucket_what_they_say_of_a_local_one(command, local_run, remote_run, capsys):
    said = []
    for run in (local_run, remote_run):
        assert main([command[0], str(run), *command[1:], "--json"]) == 0
        said.append(without_places(json.loads(capsys.readouterr().out)))
        assert main([command[0], str(run), *command[1:]]) == 0
        assert capsys.readouterr().out
    assert said[0] == said[1]


def without_places(value: object) -> object:
    """What does not say where or when: paths, times, and sizes of folders whose manifests hold paths."""
    if isinstance(value, dict):
        left_out = ("run", "changed", "bytes", "launch")
        return {name: without_places(one) for name, one in value.items() if name not in left_out}
    return [without_places(one) for one in value] if isinstance(value, list) else value


def test_a_finished_run_is_done_again_with_reads_alone(remote, remote_run, store):
    run_d4(remote, remote_run, **D4)
    written = {request.name.removeprefix("runs/first/") for request in store.requests if request.kind == "put"}
    assert {name for name in written if not name.startswith("launches/")} == {"report.json", "report.html"}
    deleted = {request.name.removeprefix("runs/first/") for request in store.requests if request.kind == "delete"}
    assert all(name.startswith("launches/working-") for name in deleted)
    assert not store.kinds.keys() - {"get", "range", "info", "list", "put", "delete"}


def test_an_input_that_changes_between_two_stages_is_noticed(source, place):
    root = place()
    upload(source, f"{root}/in")
    recipe = build_recipe(inputs=[f"{root}/in"], recipe="random", id="id", tokens="none", keep="0.5")
    run, _ = prepare(recipe, f"{root}/run")
    run_stages(run, only="inventory")
    changed = f"{root}/in/lines/shard-0.jsonl"
    committing.replace_bytes(changed, storage.read_bytes(changed).replace(b"text number 3", b"text number 4"))
    with pytest.raises(StageFailed, match=r"shard-0\.jsonl has changed or gone since the inventory was made"):
        run_stages(run, only="documents")


# Bad days -------------------------------------------------------------------------------------------------------------


def every(nth: int) -> Callable[[Request], str | None]:
    """Each n-th request fails, in one way after another."""
    numbers, faults = itertools.count(1), itertools.cycle([REFUSE, DROP, LOSE, SLOW_DOWN, CUT])
    return lambda request: next(faults) if next(numbers) % nth == 0 else None


@pytest.mark.slow
def test_a_store_that_fails_now_and_then_changes_nothing(remote, store, place, deduplicated):
    run = place()
    store.reset(every(7))
    run_d4(remote, run, **SEMDEDUP)
    assert len(store.failed) > 30
    assert {request.kind for request in store.failed} >= {"put", "get", "info", "list", "range"}
    store.reset()
    assert contents(run) == contents(deduplicated)


def generations(run: str) -> dict[str, str]:
    """The generations of the manifests: numbers that Google's store gives to every write."""
    fs, path = filesystems.filesystem(run)
    found = fs.find(path, detail=True)
    return {name: entry["generation"] for name, entry in found.items() if name.endswith("/manifest.json")}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "numbers"), [("put", (3, 18)), ("get", (25, 90))])
def test_a_store_that_fails_for_good_ends_the_stage_and_the_next_try_completes_it(
    kind, numbers, remote, store, place, deduplicated
):
    run = place()
    for number in numbers:
        before = generations(run)
        store.reset(
            lambda request, number=number: REFUSE if (request.kind, request.number >= number) == (kind, True) else None
        )
        with pytest.raises((StageFailed, OSError), match=rf"{run}/\S+ could not be (written|read): .*503"):
            run_d4(remote, run, **SEMDEDUP)
        store.reset()
        assert before.items() <= generations(run).items()
    before = generations(run)
    assert before
    run_d4(remote, run, **SEMDEDUP)
    assert before.items() <= generations(run).items()
    assert contents(run) == contents(deduplicated)


def test_two_runs_at_once_in_one_place_both_end_right(remote, place, deduplicated):
    run = place()
    twice_at_once(lambda: run_d4(remote, run, **SEMDEDUP))
    assert contents(run) == contents(deduplicated)
