"""Killed anywhere, the same call goes on and ends in the same bytes; only what changed is done again."""

import json
import multiprocessing
from pathlib import Path

import pytest

from sluice.pipelines.main import main
from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.run.runner import run_stages
from sluice.transforms.storage.damage import ArtifactError
from tests.pipelines.corpora import artifact, decisions, fates, kept_ids, make_rows, run_d4, write_jsonl

OPTIONS = {"unit_bytes": 15_000}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(200), files=4)


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    run_d4(source, run, **OPTIONS)
    return run


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but the report and launches/, which hold times."""
    files = (path for path in run.rglob("*") if path.is_file() and path.stem != "report")
    files = (path for path in files if path.parent.name != "launches")
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def modified(run: Path, folder: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (run / folder).iterdir() if path.is_file()}


def timings(run: Path) -> dict[str, bool]:
    return {timing.stage: timing.skipped for timing in run_stages(open_run(str(run)))}


def _curate_in_child(source: str, run: str) -> None:
    run_d4(source, run, **OPTIONS)


def test_a_finished_run_does_nothing_again(source, finished):
    before = contents(finished)
    assert all(timings(finished).values())
    assert contents(finished) == before


def test_another_last_cut_runs_only_the_last_cut_and_what_follows(source, tmp_path):
    run = tmp_path / "run"
    run_d4(source, run, keep="0.5", **OPTIONS)
    embeddings, scores = modified(run, "embeddings"), modified(run, "steps/03-prototypes/scores")
    run_d4(source, run, keep="0.4", **OPTIONS)
    assert modified(run, "embeddings") == embeddings
    assert modified(run, "steps/03-prototypes/scores") == scores
    run_d4(source, tmp_path / "fresh", keep="0.4", **OPTIONS)
    assert fates(run) == fates(tmp_path / "fresh")


def test_another_earlier_cut_embeds_nothing_again(source, tmp_path):
    run = tmp_path / "run"
    run_d4(source, run, keep="0.8", **OPTIONS)
    embeddings = modified(run, "embeddings")
    run_d4(source, run, keep="0.9", **OPTIONS)
    assert modified(run, "embeddings") == embeddings
    run_d4(source, tmp_path / "fresh", keep="0.9", **OPTIONS)
    assert fates(run) == fates(tmp_path / "fresh")


def test_parts_of_another_recipe_are_dropped(source, tmp_path):
    run = tmp_path / "run"
    run_d4(source, run, keep="0.5", **OPTIONS)
    run_d4(source, run, keep="0.4", **OPTIONS)
    for folder in ("steps/03-prototypes/keep", "decisions", "corpus"):
        keys = {path.name.split("-")[2].split(".")[0] for path in (run / folder).glob("part-*")}
        assert len(keys) == 1, folder


def test_a_changed_input_is_noticed_and_read_again(tmp_path):
    rows = make_rows(200)
    source = write_jsonl(tmp_path / "in", rows, files=2)
    run_d4(source, tmp_path / "run", **OPTIONS)
    extra = [{**row, "id": f"new-{row['id']}"} for row in make_rows(30, seed=9)]
    with open(Path(source) / "shard-0.jsonl", "a") as file:
        file.writelines(json.dumps(row) + "\n" for row in extra)
    run_d4(source, tmp_path / "run", **OPTIONS)
    assert len(decisions(tmp_path / "run")) == 230
    run_d4(source, tmp_path / "fresh", **OPTIONS)
    assert fates(tmp_path / "run") == fates(tmp_path / "fresh")


def test_a_damaged_part_is_never_read(source, tmp_path):
    run = tmp_path / "run"
    run_d4(source, run, **OPTIONS)
    documents = artifact(run, "documents")
    part = Path(documents.path(0))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ArtifactError, match="checksum"):
        documents.read(0)
    part.write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(ArtifactError, match="bytes"):
        documents.read(0)


def test_two_curations_into_one_directory_at_once_both_end_right(source, finished, tmp_path):
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_curate_in_child, args=(source, str(tmp_path / "run"))) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert contents(tmp_path / "run") == contents(finished)


def test_a_typo_that_fails_leaves_the_run_to_its_own_command(tmp_path, capsys):
    source = write_jsonl(tmp_path / "in", make_rows(30))
    given = ["curate", "--input", source, "--id", "id", "--recipe", "random", "--keep", "0.5", "--tokens", "none"]
    given += ["--run", str(tmp_path / "run")]
    assert main(given) == 0
    kept = kept_ids(tmp_path / "run")
    assert main([*given, "--text", "body"]) == 1
    assert "records were rejected" in capsys.readouterr().err
    assert main(given) == 0
    assert kept_ids(tmp_path / "run") == kept
