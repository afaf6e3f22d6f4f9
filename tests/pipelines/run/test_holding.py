"""One recipe at a time works in a run directory; files of commands that ended, however they did, keep nobody out."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sluice.pipelines.main import main
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run import holding
from sluice.pipelines.run.prepare import prepare
from sluice.transforms.storage import processes
from tests.pipelines.corpora import make_rows, write_jsonl


def recipe(keep: str = "0.5", source: str = "/in") -> Recipe:
    steps = [{"step": "random", "cut": {"ratio": float(keep)}}]
    return Recipe.model_validate({"input": {"paths": [source], "text": "text"}, "steps": steps})


def files(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "launches").iterdir())


def leave(run: Path, other: Recipe, **record: object) -> Path:
    """The file of a command that works there, changed by `record`, when that has gone."""
    with holding.holding(str(run), other):
        (file,) = (run / "launches").iterdir()
        content = json.loads(file.read_bytes()) | record
    file.write_text(json.dumps(content))
    return file


def enter(run: Path, keep: str) -> str:
    """What a command with that recipe is told."""
    with pytest.raises(ValueError) as error, holding.holding(str(run), recipe(keep)):
        pass
    return str(error.value)


def ended_process() -> str:
    code = "from sluice.transforms.storage import processes; print(processes.this_process())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_same_recipe_works_there_twice_and_leaves_nothing(tmp_path):
    with holding.holding(str(tmp_path), recipe()):
        assert len(files(tmp_path)) == 1
        with holding.holding(str(tmp_path), recipe()):
            assert len(files(tmp_path)) == 1  # within one command it is one
    assert files(tmp_path) == []
    leave(tmp_path, recipe())
    with holding.holding(str(tmp_path), recipe()):
        assert len(files(tmp_path)) == 2


def test_another_recipe_is_kept_out_in_one_line_until_the_first_has_ended(tmp_path):
    with holding.holding(str(tmp_path), recipe("0.5")):
        line = enter(tmp_path, "0.6")
        assert re.fullmatch(
            r"another command is at work in .*: .*, process \d+ on .*; wait .* name another --run", line
        )
        assert f"process {os.getpid()} " in line
        assert len(files(tmp_path)) == 1
    with holding.holding(str(tmp_path), recipe("0.6")):
        pass


def test_a_killed_command_of_this_machine_keeps_nobody_out(tmp_path):
    leave(tmp_path, recipe("0.6"), process=ended_process())
    with holding.holding(str(tmp_path), recipe("0.5")):
        assert len(files(tmp_path)) == 1


def test_a_command_elsewhere_counts_until_it_is_silent_for_too_long(tmp_path):
    file = leave(tmp_path, recipe("0.6"), process="00000000-1-1", host="elsewhere")
    assert re.search(
        r"on elsewhere, .* \(if it is dead: wait 1\d\d seconds more, or delete .*json", enter(tmp_path, "0.5")
    )
    os.utime(file, (time.time() - holding.LEASE - 5,) * 2)
    with holding.holding(str(tmp_path), recipe("0.5")):
        assert file.name not in files(tmp_path)


def test_files_that_say_nothing_keep_nobody_out(tmp_path):
    (tmp_path / "launches").mkdir()
    (tmp_path / "launches" / "working-0.json").write_text('{"recipe": ')
    (tmp_path / "launches" / "working-1.json").write_text("[]")
    with holding.holding(str(tmp_path), recipe()):
        pass


def test_a_recipe_is_not_written_over_that_of_a_command_at_work(tmp_path):
    source = write_jsonl(tmp_path / "in", make_rows(20), files=1)
    run = tmp_path / "run"
    prepare(recipe("0.5", source), str(run))
    before = (run / "recipe.yaml").read_bytes()
    leave(run, recipe("0.5", source))
    with pytest.raises(ValueError, match="another command is at work"):
        prepare(recipe("0.6", source), str(run))
    assert (run / "recipe.yaml").read_bytes() == before


def test_wrong_inputs_are_told_before_anything_is_written(tmp_path, capsys):
    command = ["curate", "--input", str(tmp_path / "none"), "--run", str(tmp_path / "run"), "--recipe", "random"]
    assert main([*command, "--keep", "0.5"]) == 2
    assert "none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_processes_are_known_by_machine_number_and_begin():
    here = processes.this_process()
    assert processes.lives(here) is True
    # Its number was given again.
    assert processes.lives(here.rpartition("-")[0] + "-1") is False
    for elsewhere in ("00000000-1-1", "", "damaged"):
        assert processes.lives(elsewhere) is None


def test_an_ended_process_is_gone():
    assert processes.lives(ended_process()) is False
