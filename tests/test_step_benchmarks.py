"""benchmarks/steps.py measures the stages of a step, and takes steps as recipes do."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module("steps")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


def test_a_step_is_a_name_or_json(steps):
    assert steps.step_of("random") == {"step": "random", "cut": {"ratio": 0.5}}
    assert steps.step_of("exact") == {"step": "exact"}
    assert steps.step_of('{"step": "scip", "cut": {"ratio": 0.9}}')["cut"] == {"ratio": 0.9}
    with pytest.raises(ValueError, match="there is no step 'rando'"):
        steps.step_of("rando")
    with pytest.raises(ValueError, match="names no step"):
        steps.step_of('{"cut": {}}')


def test_the_seconds_of_a_step_are_those_of_its_stages(steps, tmp_path):
    steps.make(str(tmp_path / "in"), documents=200, dimension=8)
    inputs = {"paths": [str(tmp_path / "in")], "id": "id", "vector": "embedding", "text": None}
    found = steps.curate(inputs, steps.step_of("density"), str(tmp_path / "run"), [])
    assert found["documents"] == 200 and found["kept"] == 100
    own = steps.own_seconds(found)
    assert list(own) == ["centroids", "clusters", "scores", "keep"] and "documents" in found["seconds"]
    shown = steps.row("density", found, 100.0, sum(own.values()))
    assert shown[:2] == ("density", "100") and shown[4] == "1.0" and "scores" in shown[-1]
