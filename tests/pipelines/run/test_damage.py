"""Whatever byte of whatever file is damaged: it is noticed, and made again or named, and no decision is another."""

import shutil
from pathlib import Path

import pytest

from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.run.runner import StageFailed, run_stages
from sluice.transforms.audit.soundness import check_stage, stage_folders
from sluice.transforms.storage.damage import ArtifactError
from tests.pipelines.corpora import make_rows, run_d4, write_jsonl
from tests.pipelines.run.test_resume import contents


def flip(data: bytes) -> bytes:
    return data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 32]) + data[len(data) // 3 + 1 :]


def zeros(data: bytes) -> bytes:
    start = len(data) // 2
    return data[:start] + bytes(min(100, len(data) - start)) + data[start + 100 :]


def cut(data: bytes) -> bytes:
    return data[: -min(20, len(data))]


def gone(data: bytes) -> None:
    return None


DAMAGES = [flip, zeros, cut, gone]


def damage(path: Path, how) -> None:
    data = how(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    source = write_jsonl(folder / "in", make_rows(120), files=2)
    run_d4(source, folder / "run", unit_bytes=15_000, source="source")
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def drop_after(run: Path, stage: str) -> None:
    """Remove what the stages after one left, so that they read it again."""
    names = [timing.stage for timing in run_stages(open_run(str(run)))]
    for name in names[names.index(stage) + 1 :]:
        shutil.rmtree(run / (f"steps/{name}" if "/" in name else name), ignore_errors=True)


@pytest.mark.parametrize("how", DAMAGES)
def test_every_file_of_a_run_is_checked(run, how):
    seen = 0
    for folder in stage_folders(str(run)):
        for checked in list(check_stage(folder)):
            assert checked.problem is None, checked
            path = Path(checked.url)
            data = path.read_bytes()
            if data:
                damage(path, how)
                assert [one.url for one in check_stage(folder) if one.problem][:1] == [checked.url] or how is gone
                assert any(one.url == checked.url and one.problem for one in check_stage(folder))
                path.write_bytes(data)
                seen += 1
    kinds = {path.suffix for path in run.rglob("*-*") if path.is_file()}
    assert seen > 60 and kinds == {".parquet", ".npy", ".records", ".offsets", ".jsonl", ".json"}


@pytest.mark.parametrize(
    ("stage", "name", "how"),
    [
        ("inventory", "part-*", flip),
        ("documents", "part-00001-*", zeros),
        ("embeddings", "part-00001-*", cut),
        ("02-semdedup/centroids", "centroids-*", flip),
        ("02-semdedup/centroids", "centroids-*", gone),
        ("02-semdedup/clusters", "part-00001-*.records", flip),
        ("02-semdedup/clusters", "part-00001-*.records", zeros),
        ("02-semdedup/clusters", "part-00001-*.records", cut),
        ("02-semdedup/clusters", "part-00001-*.records", gone),
        ("02-semdedup/clusters", "part-00001-*.offsets", flip),
        ("02-semdedup/clusters", "part-00001-*.offsets", cut),
        ("02-semdedup/clusters", "statistics-*", zeros),
        ("02-semdedup/scores", "part-00000-*", gone),
        ("02-semdedup/keep", "part-00000-*", flip),
        ("03-prototypes/centroids", "centroids-*", zeros),
    ],
)
def test_a_damaged_file_of_a_finished_stage_is_named_with_its_cure(run, stage, name, how):
    drop_after(run, stage)
    path = next((run / (f"steps/{stage}" if "/" in stage else stage)).glob(name))
    damage(path, how)
    with pytest.raises((StageFailed, ArtifactError)) as failed:
        for _ in run_stages(open_run(str(run))):
            pass
    assert f"{path} is damaged: " in str(failed.value) and f"`sluice check {run} --repair`" in str(failed.value)


@pytest.mark.parametrize("first", [0, 2])
def test_what_an_unfinished_run_left_damaged_is_made_again_alike(run, finished, first):
    kinds: dict[tuple[Path, str, str], Path] = {}
    for path in sorted(run.rglob("*-*.*")):
        if path.is_file() and path.parent.name != "launches":
            kinds[path.parent, path.name.split("-")[0], path.suffix] = path
    for number, path in enumerate(kinds.values(), start=first):
        damage(path, DAMAGES[number % len(DAMAGES)])
    for path in run.rglob("manifest.json"):
        damage(path, flip)
    for _ in run_stages(open_run(str(run))):
        pass
    assert len(kinds) > 20 and contents(run) == contents(finished)
