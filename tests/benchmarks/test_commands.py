"""Every benchmark runs at a size of seconds and prints its table."""

import os
import subprocess
import sys

import pytest

from benchmarks.embed import flops
from benchmarks.measure import ROOT

BERT = str(ROOT / "tests" / "data" / "bert")
SMALL = ("--documents", "300", "--dimension", "8")


@pytest.mark.parametrize(
    ("name", "arguments", "printed"),
    [
        ("formats", ("--megabytes", "0.1", "--kinds", "JSON lines"), "| JSON lines |"),
        ("steps", (*SMALL, "--steps", "density"), "| density |"),
        ("scale.limits", ("--units", "100", "--files", "100"), "Listing 100 files"),
        ("scale.clustering", ("--k", "10", "--each", "20", "--dimension", "8"), "| two levels |"),
        pytest.param("scale.skew", (*SMALL, "--clusters", "3"), "| none ", marks=pytest.mark.slow),
        ("embed", ("--model", BERT, "--documents", "6", "--rounds", "1"), "| Sluice, float32 |"),
        ("embed.packing", ("--model", BERT, "--documents", "30", "--timed", "6", "--rounds", "1"), "| packed "),
        ("proof", ("--shared", "/nowhere", "--quick"), ""),
        ("scip", ("--model", BERT, "--files", "20"), "| syntax: closing brackets removed |"),
    ],
)
def test_a_benchmark_runs_and_prints_its_table(command, monkeypatch, name, arguments, printed):
    monkeypatch.setattr(flops, "CPU_SHAPES", ((256, 256, 256),))
    if name == "scale.clustering":
        pytest.importorskip("faiss")
    assert printed in command(name, *arguments)


def test_token_tables_are_measured(command):
    out = command("embed.static", "--teacher", BERT, "--documents", "20", "--rounds", "1", "--sample", "0")
    assert "| new texts " in out


@pytest.mark.parametrize("script", ["d4.py", "formats.py", "steps.py"])
def test_the_three_most_used_are_run_as_files_from_any_folder(tmp_path, script):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    file = str(ROOT / "benchmarks" / script)
    done = subprocess.run([sys.executable, file, "--help"], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0 and f"python benchmarks/{script}".encode() in done.stdout


def test_the_list_of_benchmarks_names_every_command():
    page = (ROOT / "benchmarks" / "README.md").read_text()
    for path in (ROOT / "benchmarks").rglob("*.py"):
        if "add_argument(" in path.read_text() and path.name != "corpora.py":
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
            assert f"`python -m {name}`" in page or f"`python benchmarks/{path.name}`" in page, name
