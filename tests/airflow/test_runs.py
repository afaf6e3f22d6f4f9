"""The DAGs that need no cloud, to their end in a real Airflow: a curation in which a process dies, and two days."""

import hashlib
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from sluice.pipelines.commands.explain.command import explain
from sluice.pipelines.commands.sample_corpus.command import write_sample_corpus
from sluice.pipelines.curate import curate
from sluice.pipelines.run.layout import stage_names
from sluice.pipelines.status.status import status
from tests.airflow.environment import ROOT, make_airflow
from tests.pipelines.corpora import corpus_rows, fates, kept_ids, make_rows, open_run, run_d4, write_jsonl
from tests.pipelines.running import run_steps
from tests.warm import warm_python

pytestmark = pytest.mark.slow

DOCUMENTS = 60
MODEL = ROOT / "tests" / "data" / "bert"


def digests(folder: Path) -> dict[str, str]:
    """What every file below a folder holds."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.blake2b(path.read_bytes()).hexdigest() for path in files}


DIES_ONCE = """\
#!/bin/sh
case " $* " in *" --stage=embeddings "*) mkdir {folder}/died 2>/dev/null && kill -9 $$ ;; esac
exec {python} "$@"
"""


@pytest.fixture
def dying_python(tmp_path):
    """An interpreter whose process is killed when it is first told to embed."""
    script = tmp_path / "dying"
    with warm_python(tmp_path) as python:
        script.write_text(DIES_ONCE.format(folder=tmp_path, python=python))
        script.chmod(0o755)
        yield str(script)


def test_a_stage_that_dies_is_tried_again_and_the_same_run_once_more_changes_nothing(
    tmp_path, tmp_path_factory, dying_python
):
    source, run = str(tmp_path / "in"), tmp_path / "run"
    write_sample_corpus(source, shards=2, limit=DOCUMENTS, roots=[sysconfig.get_paths()["stdlib"]])
    options = {"id": "id", "keep": 0.5, "model": str(MODEL)}
    airflow = make_airflow(tmp_path_factory, tmp_path / "home", file="sluice_beam.py", python=dying_python)
    told = {"dag": "sluice_beam_d4", "conf": {"input": source, "run": str(run), **options}}
    (first,) = airflow.ask(run=[told | {"date": "2026-03-01"}])["run"]
    assert first["state"] == "success", (first, airflow.log[-5000:])
    assert {task: tries for task, tries in first["tries"].items() if tries != 1} == {"embeddings": 2}
    assert "return code -9" in airflow.log
    made = {stage.name for stage in open_run(str(run)).stages()} | {"report", "publish"}
    assert {task.replace(".", "/") for task, state in first["tasks"].items() if state == "success"} == made
    assert set(first["tasks"].values()) == {"success", "skipped"}
    assert first["assets"][0]["uri"] == f"file://{run}/corpus"
    assert first["assets"][0]["aliases"] == ["sluice_beam_d4"]
    assert status(str(run))["state"] == "finished"

    # The same without Airflow.
    curate([source], str(tmp_path / "alone"), recipe="d4", **options | {"keep": "0.5"})
    assert kept_ids(run) == kept_ids(tmp_path / "alone") and len(kept_ids(run)) == DOCUMENTS // 2
    assert corpus_rows(run) == corpus_rows(tmp_path / "alone")

    before = digests(run)
    # Without the Prism that DirectRunner would download.
    direct = {"runner": "DirectRunner", "beam_options": {"prism_location": str(tmp_path / "none")}}
    (again,) = airflow.ask(run=[told | {"date": "2026-03-02", "conf": told["conf"] | direct}])["run"]
    assert again["state"] == "success", (again, airflow.log[-5000:])
    assert airflow.log.count("finished_before") >= len(made) - 2
    after = digests(run)
    # The report is made again, and every launch leaves its note.
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert {name for name in changed if not name.startswith("launches/")} <= {"report.json", "report.html"}


@pytest.fixture(scope="module")
def days(tmp_path_factory) -> tuple[Path, list[dict[str, Any]], str]:
    """A corpus so far, two days after it with copies of earlier documents, and what Airflow made of the days."""
    folder = tmp_path_factory.mktemp("days")
    old = make_rows(90, seed=1)
    base = write_jsonl(folder / "old", old)
    run_d4(base, folder / "base", keep="0.8", clusters="3")
    first = [row | {"id": f"first-{number}"} for number, row in enumerate(make_rows(40, seed=2))]
    first[0]["embedding"] = [1.0, *[0.0] * 11]  # like no other one
    kept = kept_ids(folder / "base")
    known = next(row for row in old if row["id"] in kept)
    first.append(known | {"id": "copy-of-base", "text": "the same in other words"})
    second = [row | {"id": f"second-{number}"} for number, row in enumerate(make_rows(40, seed=3))]
    second.append(first[0] | {"id": "copy-of-first", "text": "what the day before said"})
    second.append(known | {"id": "copy-of-base", "text": "once more"})
    write_jsonl(folder / "in" / "2026-01-02", first)
    write_jsonl(folder / "in" / "2026-01-03", second)
    conf = {
        "input": f"{folder}/in/%Y-%m-%d",
        "runs": f"{folder}/daily",
        "base": f"{folder}/base",
        "id": "id",
        "vector": "embedding",
        "duplicate_threshold": 0.999,
        "options": {"clusters": "3"},
    }
    told = {"dag": "sluice_daily", "conf": conf}
    # There are no documents of the third day, and the last one is before the others.
    dates = ["2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05", "2026-01-01"]
    with warm_python(folder) as python:
        airflow = make_airflow(tmp_path_factory, folder / "home", file="sluice_daily.py", python=python)
        return folder, airflow.ask(run=[told | {"date": date} for date in dates])["run"], airflow.log


def test_a_day_is_compared_with_the_corpus_so_far_and_all_days_before(days):
    folder, runs, log = days
    assert [run["state"] for run in runs[:2]] == ["success", "success"], (runs[:2], log[-5000:])
    first, second = (folder / "daily" / day for day in ("2026-01-02", "2026-01-03"))
    assert fates(first)["copy-of-base"] == fates(second)["copy-of-base"] == "02-reference"
    assert fates(first)["first-0"] == "kept"
    assert fates(second)["copy-of-first"] == "02-reference"
    match = next(step for step in explain(str(second), "copy-of-first")["steps"] if step.get("match"))["match"]
    assert (match["where"], match["id"]) == (str(first), "first-0")
    assert open_run(str(second)).recipe.steps[1].runs == (str(folder / "base"), str(first))
    assert len(kept_ids(second)) > 20
    # Each document of the past is assigned to clusters once, and no later day copies it.
    made = {path.name for day in (first, second) for path in (day / "steps" / "02-reference").glob("run-*")}
    assert made == {"run-1"} and not (second / "steps" / "02-reference" / "run-1").exists()
    for day, run in zip((first, second), runs):
        assert run["assets"][0]["uri"] == f"file://{day}/corpus"
        stages = set(stage_names(open_run(str(day)).recipe)) | {"plan", "publish"}
        assert {task.replace(".", "/") for task in run["tasks"]} <= stages
        assert "02-embedded.scores" in {task for task, state in run["tasks"].items() if state == "skipped"}


def test_a_day_without_documents_fails_at_once_and_holds_the_days_after_it(days):
    _, (_, _, third, fourth, _), log = days
    assert third["state"] == fourth["state"] == "failed"
    # What was asked for wrongly is not tried again.
    assert (third["tasks"]["inventory"], third["tries"]["inventory"]) == ("failed", 1)
    assert (fourth["tasks"]["plan"], fourth["tries"]["plan"]) == ("failed", 1)
    assert fourth["tasks"]["inventory"] == "upstream_failed"
    assert "failed: clear it first, then this run" in log


def test_a_day_that_later_days_were_not_compared_with_is_refused(days):
    _, (*_, earlier), log = days
    assert (earlier["tasks"]["plan"], earlier["tasks"]["inventory"]) == ("failed", "upstream_failed")
    assert "2026-01-02 is finished and was not compared with 2026-01-01" in log


def test_airflow_skips_just_the_stages_that_a_run_does_not_have(tmp_path, tmp_path_factory):
    """Against runs made without Airflow: one whose clusters had to be split, and one whose did not."""
    source = write_jsonl(tmp_path / "in", make_rows(120, seed=4))
    airflow = make_airflow(tmp_path_factory, tmp_path / "home")
    for name, bin_bytes in (("split", 44 * 12), ("whole", 1 << 20)):
        steps = [{"step": "semdedup", "clusters": 3, "bin_bytes": bin_bytes, "cut": {"threshold": "0.99"}}]
        run_steps(source, steps, tmp_path / name)
        run = open_run(str(tmp_path / name))
        # Without the six splits that there can be, but those that a DAG names.
        names = stage_names(run.recipe, repeats=2)
        answer = airflow.ask(needed={"run": str(tmp_path / name), "stages": names})["needed"]
        made = {stage.name for stage in run.stages()} | {"report"}
        assert {stage for stage, needed in answer.items() if needed} == made & set(names)
        assert any("split-1" in stage for stage in made) == (name == "split")
