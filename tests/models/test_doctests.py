"""The examples in the docstrings of models/ and transforms/ hold."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for layer in ("models", "transforms") for path in sorted((ROOT / layer).rglob("*.py"))]
WITH_EXAMPLES = [path.relative_to(ROOT) for path in FILES if ">>> " in path.read_text("utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_the_examples_of_a_file_hold(path: Path) -> None:
    name = ".".join(("sluice", *path.with_suffix("").parts)).removesuffix(".__init__")
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted and not outcome.failed
