"""What docs/launch/airflow.md says to type works as it stands."""

import json
import re
from pathlib import Path

import pytest

from tests.airflow.environment import ROOT, airflow_python, make_airflow
from tests.docs.pages import play
from tests.pipelines.corpora import kept_ids
from tests.warm import warm_python

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "launch" / "airflow.md"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder like a clone in which everything is installed; its interpreter has Sluice loaded already."""
    (tmp_path / "airflow-env").symlink_to(Path(airflow_python()).parents[1])
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with warm_python(programs) as python:
        sluice = programs / "sluice"
        sluice.write_text(f'#!/bin/sh\nexec {python} -c "from sluice.pipelines.main import main; exit(main())" "$@"\n')
        sluice.chmod(0o755)
        yield tmp_path


def test_the_sequence_of_the_page_runs_from_top_to_bottom(clone):
    assert play(PAGE) == 2
    assert len(kept_ids(clone / "runs" / "airflow")) == 250


def triggered() -> list[tuple[str, str]]:
    """[DAG, --conf] of every command of the page that starts one."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)).replace("\\\n", " ")
    command = r"dags (?:trigger|test) (\w+) .*?--conf (['\"])(\{.*?\})\2\n"
    return [(dag, conf) for dag, _, conf in re.findall(command, blocks, re.DOTALL)]


def test_airflow_takes_the_parameters_of_every_command_on_the_page(tmp_path, tmp_path_factory):
    confs = [(dag, json.loads(conf.replace('\\"', '"').replace("$PWD", "/data"))) for dag, conf in triggered()]
    assert [dag for dag, _ in confs] == [
        *("sluice_beam_random", "sluice_beam_d4", "sluice_beam_d4", "sluice_dataflow_d4", "sluice_daily"),
    ]
    airflow = make_airflow(tmp_path_factory, tmp_path / "home")
    assert airflow.ask(validate=confs)["validate"] == [None] * len(confs)
