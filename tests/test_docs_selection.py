"""The recipes in the page on selecting steps are recipes."""

import re
from pathlib import Path

import pytest
import yaml

from sluice.pipelines.recipe.recipe import Recipe

PAGE = (Path(__file__).parent.parent / "docs" / "methods" / "selection.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_recipe_on_the_page_is_accepted(block):
    given = {"paths": ["x"], "tokens": "column:tokens", "source": "source"}
    recipe = Recipe.model_validate({"input": given, **yaml.safe_load(block)})
    assert Recipe.model_validate(yaml.safe_load(recipe.to_yaml())) == recipe


def test_every_step_of_the_page_has_a_recipe_there():
    named = {step["step"] for block in BLOCKS for step in yaml.safe_load(block)["steps"]}
    assert named == {"score", "cap", "balance", "reference", "contamination", "target", "random"}
