"""benchmarks/steps.py measures the stages of a step, and takes steps as recipes do."""

import importlib
import sys
from pathlib import Path

import pytest

from sluice.pipelines.recipe.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module("steps")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


def test_a_step_is_a_name_or_json(steps):
    def step_of(text: str) -> dict:
        return steps.step_of(text, 1000, {"benchmarks": "items.jsonl", "runs": "earlier"})

    assert step_of("random") == {"step": "random", "cut": {"ratio": 0.5}}
    assert step_of("exact") == {"step": "exact"}
    assert step_of("cap")["most"] == 100
    assert step_of("reference")["runs"] == ["earlier"]
    assert step_of("contamination")["benchmarks"] == ["items.jsonl"]
    assert step_of('{"step": "scip", "cut": {"ratio": 0.9}}')["cut"] == {"ratio": 0.9}
    for wrong in ("rando", '{"cut": {}}'):
        with pytest.raises(ValueError, match="there is no step"):
            step_of(wrong)


def test_every_step_has_what_it_needs_and_a_budget(steps):
    places = {"benchmarks": "items.jsonl", "targets": "items.jsonl", "runs": "earlier"}
    inputs = {"paths": ["in"], "id": "id", "vector": "embedding", "source": "source", "tokens": "none"}
    for name in steps.all_steps():
        Recipe.model_validate({"input": inputs, "steps": [steps.step_of(name, 1000, places)]})
    assert set(steps.BUDGETS) == set(steps.all_steps())


def test_the_seconds_of_a_step_are_those_of_its_stages(steps, tmp_path):
    steps.make(str(tmp_path / "in"), str(tmp_path / "items"), documents=200, dimension=8)
    inputs = {"paths": [str(tmp_path / "in")], "id": "id", "vector": "embedding", "text": None}
    found = steps.curate(inputs, steps.step_of("density", 200, {}), str(tmp_path / "run"), [])
    assert found["documents"] == 200 and found["kept"] == 100
    own = steps.own_seconds(found)
    assert list(own) == ["centroids", "clusters", "scores", "keep"] and "documents" in found["seconds"]
    shown = steps.row("density", found, 100.0)
    assert (shown[0], shown[4], shown[5]) == ("density", "100 MB", "100") and "scores" in shown[-1]
