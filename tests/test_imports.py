"""The rules that keep the layers apart, read from the source: nothing is imported here."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("models", "transforms", "pipelines")
FOLDERS = (*LAYERS, "templates", "benchmarks", "tests")
HEAVY = {"tensorflow", "tensorflow_text", "jax", "flax", "scann", "apache_beam"}
# What runs code hidden in data, or makes code of strings.
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
UNSAFE_CALLS = {"eval", "exec", "__import__"}
FORBIDDEN = {
    "models": {"apache_beam", "argparse", "sluice.transforms", "sluice.pipelines"},
    "transforms": {"argparse", "sluice.pipelines"},
    "pipelines": set(),
}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    """The full names a module imports, wherever in it; a relative import keeps its dots in front."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def violations(source: str, *, folder: str, is_init: bool = False) -> list[str]:
    """What a module of `folder` does that its layer may not, one line each."""
    tree = ast.parse(source)
    found = []
    for name in imported(tree):
        if name.startswith("."):
            found.append(f"relative import {name}")
        if name.split(".")[0] in LAYERS:
            found.append(f"import without sluice. in front: {name}")
        if is_init and name.split(".")[0] in HEAVY:
            found.append(f"heavy library in __init__: {name}")
        if folder != "tests" and name.split(".")[0] in UNSAFE_MODULES:
            found.append(f"unsafe module {name}")
        found += [f"{folder} imports {name}" for package in FORBIDDEN.get(folder, ()) if below(name, package)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
                found.append(f"line {node.lineno}: {node.func.id}()")
            for keyword in node.keywords:
                safe = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "allow_pickle" and not safe:
                    found.append(f"line {node.lineno}: allow_pickle")
    return found


def test_the_source_is_where_the_rules_look_for_it() -> None:
    assert all(sources(layer) for layer in LAYERS)


@pytest.mark.parametrize("path", sources(*FOLDERS), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_keeps_the_rules_of_its_layer(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    assert violations(path.read_text("utf-8"), folder=folder, is_init=path.name == "__init__.py") == []


def test_no_pipeline_is_named_like_a_module_of_the_standard_library() -> None:
    # Running a file puts its folder first in the search path, where such a name would hide the real one.
    assert {path.stem for path in sources("pipelines")} & sys.stdlib_module_names == set()


@pytest.mark.parametrize(
    ("folder", "source", "complaint"),
    [
        ("models", "import apache_beam as beam", "models imports apache_beam"),
        ("models", "def f():\n    from apache_beam import metrics", "models imports apache_beam.metrics"),
        ("models", "from sluice.transforms import storage", "models imports sluice.transforms.storage"),
        ("models", "from sluice import pipelines", "models imports sluice.pipelines"),
        ("transforms", "import argparse", "transforms imports argparse"),
        ("transforms", "import sluice.pipelines.recipe.recipe", "transforms imports sluice.pipelines.recipe.recipe"),
        ("pipelines", "from . import recipe", "relative import ..recipe"),
        (
            "pipelines",
            "from transforms.storage import join",
            "import without sluice. in front: transforms.storage.join",
        ),
        ("tests", "import models.vectors", "import without sluice. in front: models.vectors"),
        ("pipelines", "import pickle", "unsafe module pickle"),
        ("benchmarks", "from marshal import loads", "unsafe module marshal.loads"),
        ("transforms", "x = eval('1')", "line 1: eval()"),
        ("models", "np.load(f, allow_pickle=True)", "line 1: allow_pickle"),
        ("models", "np.load(f, allow_pickle=flag)", "line 1: allow_pickle"),
    ],
)
def test_the_rules_notice(folder: str, source: str, complaint: str) -> None:
    assert violations(source, folder=folder) == [complaint]


def test_the_rules_notice_a_heavy_library_in_an_init() -> None:
    assert violations("from jax import numpy", folder="models", is_init=True) == [
        "heavy library in __init__: jax.numpy"
    ]


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("transforms", "import apache_beam as beam\nfrom sluice.models import vectors"),
        ("models", "from sluice.models.arrays.vectors import quantise\nimport jax"),
        ("pipelines", "import argparse\nfrom sluice.transforms import storage\nnp.load(f, allow_pickle=False)"),
    ],
)
def test_the_rules_allow_what_the_layers_are_for(folder: str, source: str) -> None:
    assert violations(source, folder=folder) == []
