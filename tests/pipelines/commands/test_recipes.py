"""`sluice recipes` says what there is, from what there is."""

import json
import re

import pytest

from sluice.pipelines.commands.recipes import describe
from sluice.pipelines.main import main
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.recipe.presets import PRESETS
from sluice.pipelines.steps import find_steps


def test_every_preset_and_every_step_has_three_lines(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in [*PRESETS, *find_steps()]:
        at = [number for number, line in enumerate(lines) if re.match(rf"{re.escape(name)} ", line)]
        assert at, name
        assert all(lines[at[0] + more].startswith(" " * 14) for more in (1, 2)), name


def test_a_step_is_described_by_its_class():
    found = describe("density")
    assert list(found["steps"]) == ["density"] and list(found["presets"]) == ["density"]
    step = found["steps"]["density"]
    assert "2401.04578" in step["text"] and "temperature:" in step["about_options"] and step["needs"] == ["vectors"]
    assert step["options"] == {
        "neighbours": 20,
        "temperature": "0.1",
        "floor": "0.5",
        "order": "hard",
        "cut": "required",
    }
    assert found["shared"]["steps over clusters"]["options"]["clusters"] == "auto"


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_a_recipe_of_the_steps_that_are_shown(name):
    recipe = build_recipe(recipe=name, inputs=("a.jsonl",))
    assert recipe.name == name
    shown = [step.split(" ")[0] for step in describe(name)["presets"][name]["steps"]]
    assert [step.step for step in recipe.steps] == shown


def test_every_preset_takes_a_share_and_those_of_quotas_no_tokens():
    for name in PRESETS:
        assert build_recipe(recipe=name, inputs=("a.jsonl",), keep="0.3").steps[-1].cut.ratio is not None
    for name in ("density", "code"):
        with pytest.raises(ValueError, match="takes a ratio of documents only"):
            build_recipe(recipe=name, inputs=("a.jsonl",), keep_tokens="1M", tokens="column:n")


def test_everything_is_there_as_json(capsys):
    assert main(["recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"].keys() == find_steps().keys()


def test_an_unknown_name_is_answered_with_near_ones(capsys):
    assert main(["recipes", "densty"]) == 2
    assert "there is density" in capsys.readouterr().err
