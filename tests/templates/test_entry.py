"""The entry of the templates: every value is text, and stage by stage a run ends like `curate`'s."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sluice.pipelines.launch.stage import main
from sluice.pipelines.main import main as command_line
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import stage_names
from sluice.pipelines.run.run import Run
from sluice.transforms.minhash import components
from tests.pipelines.corpora import fates, make_rows, run_d4, write_jsonl

ROOT = Path(__file__).parents[2]
OPTIONS = ["--recipe=semdedup", "--id=id", "--vector=embedding", "--tokens=column:tokens", "--clusters=4", "--keep=0.8"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(60), files=2)


@pytest.fixture
def run(source, tmp_path) -> str:
    """A run directory with a recipe and an inventory."""
    url = str(tmp_path / "run")
    assert (
        main(["--stage=inventory", f"--run={url}", f"--input={source}", "--recipe=random", "--keep_tokens=40", TOKENS])
        == 0
    )
    return url


TOKENS = "--tokens=column:tokens"


def written(url: str) -> dict:
    return yaml.safe_load((Path(url) / "recipe.yaml").read_text())


def test_all_stages_of_a_recipe_one_after_another_end_like_curate(source, tmp_path, caplog):
    caplog.set_level("INFO", logger="sluice")
    url = str(tmp_path / "run")
    assert main(["--stage=inventory", f"--run={url}", f"--input={source}", *OPTIONS]) == 0
    names = stage_names(Recipe.model_validate(written(url)), repeats=1)
    for name in names[1:]:
        assert main([f"--stage={name}", f"--run={url}"]) == 0, name
    run_d4(source, tmp_path / "other", recipe="semdedup", clusters="4", keep="0.8")
    assert fates(url) == fates(tmp_path / "other")
    assert json.loads((tmp_path / "run" / "report.json").read_text())["totals"]["kept"] == 48
    # What this run does not have was asked for as well.
    none = [message for message in caplog.messages if message.endswith("state=none")]
    assert len(none) == 4 and "stage=02-semdedup/split-1/centroids state=none" in none


def test_a_launcher_starts_the_entry_as_a_process_with_text_for_everything(source, tmp_path):
    files = ",".join(str(path) for path in sorted(Path(source).iterdir()))
    values = {"id": "id", "input": files, "keep_tokens": "0.5K", "max_reject_share": "0.5", "recipe": "random"}
    values |= {"run": f"{tmp_path}/run", "seed": "7", "stage": "inventory", "tokens": "column:tokens"}
    values |= {"job_name": "nightly", "labels": "airflow-version=v3-3-2", "runner": "FnApiRunner"}
    command = [sys.executable, str(ROOT / "templates" / "stage.py")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*command, *(f"--{name}={value}" for name, value in sorted(values.items()))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    recipe = written(values["run"])
    assert (recipe["input"]["paths"], recipe["seed"]) == (files.split(","), 7)
    assert (recipe["input"]["max_reject_share"], recipe["steps"][0]["cut"]["tokens"]) == (0.5, 500)
    assert (tmp_path / "run" / "inventory" / "manifest.json").exists()


LAUNCH = """
import sys
from sluice.pipelines.launch.stage import main
assert main(["--stage=01-exact/scores", "--run=" + sys.argv[1]]) == 0
print([name for name in ("tensorflow", "jax", "scann") if name in sys.modules])
"""


def test_a_stage_that_runs_no_model_loads_no_library_for_models(tmp_path):
    rows = [{"id": str(number), "text": f"text {number}"} for number in range(20)]
    source = write_jsonl(tmp_path / "in", rows)
    model = f"--model={ROOT}/tests/data/bert"
    options = [f"--input={source}", "--id=id", model]
    assert main(["--stage=inventory", f"--run={tmp_path}/run", *options]) == 0
    for name in ("documents", "01-exact/copies"):
        assert main([f"--stage={name}", f"--run={tmp_path}/run"]) == 0
    done = subprocess.run([sys.executable, "-c", LAUNCH, f"{tmp_path}/run"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_underscores_and_dashes_are_the_same(source, tmp_path):
    for mark in ("_", "-"):
        args = [f"--keep{mark}tokens=40", f"--max{mark}reject{mark}share=0.5", TOKENS, "--recipe=random"]
        assert main(["--stage=inventory", f"--run={tmp_path}/{mark}", f"--input={source}", *args]) == 0
    assert written(f"{tmp_path}/_") == written(f"{tmp_path}/-")


def test_without_an_input_the_recipe_that_is_there_is_followed_whatever_defaults_are_sent_along(run, caplog):
    caplog.set_level("INFO", logger="sluice")
    before = written(run)
    assert main(["--stage=inventory", f"--run={run}", "--recipe=d4", "--text=text", "--seed=0", "--dtype=auto"]) == 0
    assert written(run) == before and before["name"] == "random"
    assert f"recipe random, as in {run}/recipe.yaml" in caplog.messages


def test_defaults_do_not_override_a_recipe_file_and_other_values_do(source, tmp_path, caplog):
    caplog.set_level("INFO", logger="sluice")
    steps = [{"step": "random", "cut": {"ratio": "0.5"}}]
    own = {"input": {"paths": [source], "max_reject_share": 0.25, "id": "id"}, "seed": 3, "steps": steps}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    args = [f"--recipe={(tmp_path / 'own.yaml').as_uri()}", "--max_reject_share=0.01", "--seed=4", "--unit_bytes=500"]
    assert main(["--stage=inventory", f"--run={tmp_path}/run", *args]) == 0
    recipe = written(f"{tmp_path}/run")
    assert (recipe["input"]["max_reject_share"], recipe["input"]["unit_bytes"], recipe["seed"]) == (0.25, 500, 4)
    assert any(message.startswith("--max_reject_share=0.01 is the default") for message in caplog.messages)


@pytest.mark.parametrize("given", ["--keep=0.5", "--recipe=d4", "--seed=0", "--input=gs://b/c"])
def test_options_belong_to_the_inventory(run, given, capsys):
    assert main(["--stage=documents", f"--run={run}", given]) == 2
    assert f"{given.partition('=')[0]} goes with --stage=inventory" in capsys.readouterr().err


def test_misuse_ends_with_2_and_what_is_missing_with_1(run, tmp_path, capsys):
    assert main(["--stage=corpus", f"--run={run}"]) == 1
    assert "stage corpus needs documents, which is not finished" in capsys.readouterr().err
    assert main(["--stage=report", f"--run={run}"]) == 1
    assert main(["--stage=corpse", f"--run={run}"]) == 2
    assert "this recipe has no stage 'corpse'" in capsys.readouterr().err
    assert main(["--stage=documents", f"--run={tmp_path}/nowhere"]) == 2
    assert main(["--stage=inventory", f"--run={tmp_path}/new", "--keep=0.5"]) == 2
    assert "no input is given" in capsys.readouterr().err
    assert main(["--stage=inventory", f"--run={tmp_path}/new", "--kepe=0.5"]) == 2
    assert "did you mean --keep?" in capsys.readouterr().err
    for wrong in (["--input=a,,b"], ["--unit_bytes=128MB"], ["--dtype=float16"]):
        with pytest.raises(SystemExit) as stopped:
            main(["--stage=inventory", f"--run={tmp_path}/new", *wrong])
        assert stopped.value.code == 2


# The names of stages ----------------------------------------------------------------------------------------------


def test_the_command_line_names_the_stages_of_a_recipe(tmp_path, capsys):
    assert command_line(["recipes", "--stages", "random"]) == 0
    expected = ["inventory", "documents", "01-random/scores", "01-random/keep", "decisions", "corpus", "report"]
    assert capsys.readouterr().out.split() == expected
    (tmp_path / "own.yaml").write_text("steps: [{step: semdedup, refine: 1, cut: {ratio: 0.5}}]")
    assert command_line(["recipes", "--stages", str(tmp_path / "own.yaml"), "--repeats", "1"]) == 0
    assert capsys.readouterr().out.split()[2:-3] == [
        "embeddings",
        *("01-embedded/scores", "01-embedded/keep"),
        *("01-semdedup/copies", "01-semdedup/centroids", "01-semdedup/refine-1/centroids", "01-semdedup/clusters"),
        *("01-semdedup/split-1/centroids", "01-semdedup/split-1/clusters", "01-semdedup/scores", "01-semdedup/keep"),
    ]
    assert command_line(["recipes", "--stages", "random", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"] == expected
    assert command_line(["recipes", "--stages", "radnom"]) == 2
    assert command_line(["recipes", "density", "--stages", "random"]) == 2
    assert command_line(["recipes", "--repeats", "1"]) == 2
    assert command_line(["recipes", "--stages", "random", "--repeats", "-1"]) == 2


def test_rounds_of_minhash_are_named_before_they_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(components, "FEW", 0)  # as if the corpus had millions of links
    source = write_jsonl(tmp_path / "in", make_rows(20))
    steps = [{"step": "minhash"}, {"step": "length", "cut": {"ratio": "0.5"}}]
    recipe = Recipe.model_validate({"input": {"paths": [source], "tokens": "column:tokens"}, "steps": steps})
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.status.status import status

    run_recipe(recipe, str(tmp_path / "run"))
    made = [stage.name for stage in Run(str(tmp_path / "run"), recipe).stages()]
    rounds = [name for name in made if re.search(r"/round-\d+$", name)]
    named = stage_names(recipe)
    assert rounds and [name for name in named if name in made] == made
    assert stage_names(recipe, repeats=len(rounds)) == [*made, "report"]
    # `status` has them too, in the same places.
    assert [stage["stage"] for stage in status(str(tmp_path / "run"))["stages"]] == made
