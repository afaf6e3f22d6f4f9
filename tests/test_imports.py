"""The rules that keep the layers apart, read from the source: nothing is imported here."""

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("models", "transforms", "pipelines")
FOLDERS = (*LAYERS, "templates", "benchmarks", "tests")
HEAVY = {"tensorflow", "tensorflow_text", "jax", "flax", "scann", "apache_beam"}
# Every package of the source, lowest first: a file imports from its own package and from those above it in this list.
# One that lies in none of them (pipelines/main.py) is above all. pipelines/curate is a file.
PACKAGES = (
    "models/arrays",
    "models/checkpoints",
    "models/clustering",
    "models/cut",
    "models/methods",
    "models/tokenizers",
    "models/layers",
    "models/families",
    "models/embedders",
    "models/forecast",
    "models/reporting",
    "transforms/storage",
    "transforms/records",
    "transforms/formats/parquet",
    "transforms/pages",
    "transforms/formats",
    "transforms/corpus",
    "transforms/stages",
    "transforms/documents",
    "transforms/clusters",
    "transforms/scores",
    "transforms/embeddings",
    "transforms/minhash",
    "transforms/outcome",
    "transforms/audit",
    "pipelines/terminal",
    "pipelines/base",
    "pipelines/steps",
    "pipelines/recipe",
    "pipelines/run",
    "pipelines/report/html",
    "pipelines/report",
    "pipelines/curate",
    "pipelines/launch",
    "pipelines/status",
    "pipelines/plan",
    "pipelines/commands",
    "pipelines/front",
)
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


# Walls ----------------------------------------------------------------------------------------------------------


def package_of(file: str) -> str:
    """The package of a file, `pipelines/base` of `pipelines/base/step`; `` of a file that is in none."""
    return max((name for name in PACKAGES if f"{file}/".startswith(f"{name}/")), key=len, default="")


def imports_of(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The files of the source that each file imports, at its top, in a function or under TYPE_CHECKING alike.

    >>> imports_of({"a": "from sluice.b.c import name", "b/c": "import sys"})
    {'a': {'b/c'}, 'b/c': set()}
    """
    found: dict[str, set[str]] = {file: set() for file in sources}
    for file, source in sources.items():
        for name in imported(ast.parse(source)):
            parts = name.split(".")
            if parts[0] == "sluice":
                # The last part is a file, a folder, or something that a file defines.
                names = ["/".join(parts[1:end]) for end in range(len(parts), 1, -1)]
                # sluice.finished_run is pipelines/front/finished_run.
                places = (place for name in names for place in (name, f"pipelines/front/{name}"))
                found[file].update([next(place for place in places if place in sources)])
        found[file].discard(file)
    return found


def climbs(imports: Mapping[str, set[str]]) -> list[str]:
    """Imports of a package that does not stand below the importing file's own."""
    height = {name: place for place, name in enumerate((*PACKAGES, ""))}
    return [
        f"{file} imports {other}"
        for file, others in imports.items()
        for other in sorted(others)
        if package_of(file) != package_of(other) and height[package_of(other)] >= height[package_of(file)]
    ]


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Files of which each imports the next and the last the first; [] where there are none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def source_files() -> dict[str, str]:
    """What is in each file of the three layers, by its path without .py; a folder's __init__ has the folder's name."""
    paths = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in sources(*LAYERS)}
    return {name.removesuffix("/__init__"): path.read_text("utf-8") for name, path in paths.items()}


def test_packages_import_only_what_stands_below_them() -> None:
    # The layer's own __init__ makes settings for all below it.
    files = {file: text for file, text in source_files().items() if file not in LAYERS}
    assert climbs(imports_of(files)) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(imports_of({file: text for file, text in source_files().items() if file not in LAYERS})) == []


def hidden_imports(source: str) -> list[int]:
    """The lines of imports of sluice within functions, but those whose comment above begins with `heavy:`."""
    lines = source.splitlines()
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    inner = (node for function in functions for node in ast.walk(function))
    imports = {node.lineno for node in inner if isinstance(node, ast.ImportFrom) and node.module}
    ours = sorted(line for line in imports if "from sluice" in lines[line - 1])
    # Of several in a row, the first has the comment.
    first = [line for line in ours if line - 1 not in ours]
    return [line for line in first if not lines[line - 2].strip().startswith("# heavy:")]


def test_imports_within_functions_say_which_heavy_library_they_put_off() -> None:
    assert {file: lines for file, text in source_files().items() if (lines := hidden_imports(text))} == {}


def test_an_import_that_is_hidden_in_a_function_is_noticed() -> None:
    source = "def f():\n    from sluice.a import b\n    from sluice.a import c\n"
    assert hidden_imports(source) == [2]
    assert hidden_imports(source.replace("():\n", "():\n    # heavy: JAX\n")) == []


def test_every_package_is_there() -> None:
    assert [name for name in PACKAGES if not (ROOT / name).is_dir() and not (ROOT / f"{name}.py").is_file()] == []


def test_the_page_about_the_source_names_every_package_in_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    places = [max(page.find(f"`{name}`"), page.find(f"`{name}.py`")) for name in PACKAGES]
    assert [name for name, place in zip(PACKAGES, places) if place < 0] == []
    assert [PACKAGES[place] for place in sorted(range(len(PACKAGES)), key=places.__getitem__)] == list(PACKAGES)


def test_every_file_is_in_a_package_or_starts_something() -> None:
    assert {file for file in source_files() if not package_of(file)} == {*LAYERS, "pipelines/main"}


def test_an_import_that_climbs_is_noticed_wherever_it_stands() -> None:
    source = "def f():\n    from sluice.pipelines.run.run import Run"
    files = {"pipelines/steps/exact": source, "pipelines/run/run": "from sluice.pipelines.steps.exact import Exact"}
    assert climbs(imports_of(files)) == ["pipelines/steps/exact imports pipelines/run/run"]


def test_a_circle_is_noticed() -> None:
    files = {"a": "from sluice.b import x", "b": "if TYPE_CHECKING:\n    from sluice import c", "c": "import sluice.a"}
    assert set(circle(imports_of(files))) == {"a", "b", "c"}
