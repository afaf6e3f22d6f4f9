"""The front door: `import sluice`, light, and what it offers; and a command line that answers at once."""

import subprocess
import sys

import pytest

import sluice
from sluice.pipelines.main import COMMANDS
from tests.pipelines.corpora import fates, make_rows, write_jsonl

HEAVY = ("apache_beam", "jax", "tensorflow", "pyarrow", "numpy", "pydantic")
# What takes more than half a second to load.
HEAVIEST = ("apache_beam", "jax", "tensorflow", "scann", "scipy", "jinja2")
READERS = [
    command.module
    for command in COMMANDS
    if command.name in ("status", "explain", "preview", "clusters", "recipes", "check")
]


def loaded_by(code: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    """The heavy libraries that a fresh interpreter has loaded after the code."""
    code += f"\nimport sys\nsys.stderr.write(' '.join(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.split()


def test_importing_it_loads_nothing_heavy():
    assert loaded_by("import sluice; sluice.__version__; dir(sluice)") == []


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(argument):
    assert (
        loaded_by(f"from sluice.pipelines.main import main\ntry: main([{argument!r}])\nexcept SystemExit: pass") == []
    )


def test_commands_that_only_read_a_run_load_no_beam():
    assert len(READERS) == 6
    imports = "\n".join(f"import sluice.pipelines.{module}" for module in READERS)
    assert loaded_by(f"{imports}\nfrom sluice.pipelines.steps import find_steps\nfind_steps()", HEAVIEST) == []


def test_a_run_is_made_and_read(tmp_path):
    source = write_jsonl(tmp_path / "in", make_rows(60), files=3)
    report = sluice.curate(source, str(tmp_path / "run"), recipe="random", keep="0.3", id="id", unit_bytes=4000)
    run = sluice.Run(str(tmp_path / "run"))
    assert run.report == report and run.status()["state"] == "finished" and run.recipe.name == "random"
    decisions = run.decisions()
    decided = dict(zip(decisions["id"].to_pylist(), decisions["fate"].to_pylist()))
    assert len(decided) == 60 and decided == fates(tmp_path / "run")
    assert run.kept_ids().to_pylist() == [name for name, fate in decided.items() if fate == "kept"]
    assert run.decisions(["id"]).column_names == ["id"]
    assert run.explain(run.kept_ids()[0].as_py())["fate"] == "kept"
    assert repr(run) == f"sluice.Run('{tmp_path / 'run'}')"


def test_a_place_that_is_no_run_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run directory"):
        sluice.Run(str(tmp_path))


def test_it_offers_three_names_and_says_so():
    assert dir(sluice) == ["Run", "__version__", "curate"]
    with pytest.raises(AttributeError, match="it offers Run, __version__, curate"):
        sluice.curatee  # noqa: B018


def test_every_command_is_in_the_help(capsys):
    from sluice.pipelines.main import parser

    page = parser([]).format_help()
    assert all(command.name in page for command in COMMANDS)
