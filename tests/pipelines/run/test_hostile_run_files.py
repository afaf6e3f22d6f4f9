"""Recipes and launches in a run directory that somebody else wrote."""

import pytest

from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.recipe.presets import PRESETS
from sluice.pipelines.run.finished import read_recipe
from sluice.pipelines.run.launches import read_launches
from sluice.pipelines.run.prepare import prepare

BOMB = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)}, ' * 9}]\n" for n in range(9))
HARMFUL = {
    "references": (BOMB, "anchors and references are not taken"),
    "depth": ("[" * 60 + "]" * 60, "nested more than 50 deep"),
    "size": ("a" * ((4 << 20) + 1), "at most 4,194,304 are read"),
    "no YAML": ("{", "while parsing"),
    "a list": ("[1]", "valid dictionary"),
}


@pytest.mark.parametrize(("text", "message"), HARMFUL.values(), ids=HARMFUL)
def test_a_harmful_recipe_is_refused_by_its_name_and_replaced_by_the_next_run(tmp_path, text, message):
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"recipe\.yaml: (.|\n)*{message}"):
        read_recipe(str(run))
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    recipe = build_recipe(inputs=str(tmp_path / "a.jsonl"), recipe="random")
    prepare(recipe, str(run))
    assert read_recipe(str(run)) == recipe


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "code"])
def test_what_is_written_into_a_run_directory_passes_the_guards(tmp_path, name):
    recipe = build_recipe(inputs=[str(tmp_path / f"{n}.jsonl") for n in range(2_000)], recipe=name)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert read_recipe(str(tmp_path)) == recipe


def test_launches_that_are_no_records_are_passed_over(tmp_path):
    (tmp_path / "launches").mkdir()
    for name, text in (("a", "[" * 100_000), ("b", "[]"), ("c", '{"stages": 1}'), ("d", '{"stages": []}')):
        (tmp_path / "launches" / f"20261121T120000.123456-00000{name}.json").write_text(text)
    assert read_launches(str(tmp_path)) == [{"stages": []}]
