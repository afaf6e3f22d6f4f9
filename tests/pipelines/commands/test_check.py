"""Every file of a run is compared with its record; what is damaged is named, removed and made again alike."""

import json
import shutil
from pathlib import Path

import pytest

from sluice.pipelines.main import main
from sluice.pipelines.run import holding
from sluice.pipelines.run.prepare import open_run
from tests.pipelines.corpora import make_rows, run_d4, write_jsonl
from tests.pipelines.run.test_resume import contents


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checked")
    run_d4(write_jsonl(folder / "in", make_rows(60), files=2), folder / "run", unit_bytes=15_000)
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def test_a_sound_run_is_told_so(run, capsys):
    assert main(["check", str(run)]) == 0
    assert capsys.readouterr().out.strip().endswith("all are what was written")


def one_of_each_kind(run: Path) -> list[Path]:
    """A file of every kind that a run leaves and has a record of, by folder, first name and ending."""
    folders = [path.parent for path in run.rglob("manifest.json")] + [run / "corpus"]
    kinds: dict[tuple[Path, str, str], Path] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*-*.*")):
        kinds[path.parent, path.name.partition("-")[0], path.suffix] = path
    return list(kinds.values())


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_damaged_files_of_every_kind_are_named_and_after_repair_made_again(run, finished, capsys, damage):
    files = one_of_each_kind(run)
    # What lists the corpus files cannot be damaged with them: it is what they are compared with.
    files = [file for file in files if file.parent.name != "_parts"]
    assert {file.suffix for file in files} >= {".parquet", ".jsonl", ".npy", ".records"}
    for file in files:
        damage(file)
    assert main(["check", str(run), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert sorted(found["file"] for found in result["damaged"]) == sorted(str(file.relative_to(run)) for file in files)
    assert result["removed"] == []
    assert main(["check", str(run), "--repair"]) == 0
    assert f"sluice curate --recipe {run}/recipe.yaml --run {run}" in capsys.readouterr().out.replace("\n", " ")
    assert main(["curate", "--recipe", f"{run}/recipe.yaml", "--run", str(run)]) == 0
    assert contents(run) == contents(finished)
    assert main(["check", str(run)]) == 0


def test_a_damaged_manifest_is_named_and_after_repair_made_again(run, finished, capsys):
    cut(run / "decisions" / "manifest.json")
    assert main(["check", str(run)]) == 1
    assert "decisions/manifest.json: it is not what was written" in capsys.readouterr().out
    assert main(["check", str(run), "--repair"]) == 0
    assert main(["curate", "--recipe", f"{run}/recipe.yaml", "--run", str(run)]) == 0
    assert contents(run) == contents(finished)


def test_nothing_is_removed_while_a_command_works_there(run, capsys):
    flip(next(run.glob("decisions/part-00000-*")))
    before = contents(run)
    with holding.holding(str(run), open_run(str(run)).recipe):
        assert main(["check", str(run), "--repair"]) == 2
    assert "another command is at work" in capsys.readouterr().err
    assert contents(run) == before


def test_a_place_that_is_no_run_is_told(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert "is no run directory" in capsys.readouterr().err
