"""The code in the documents runs."""

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from sluice.pipelines.main import parser
from sluice.pipelines.options import build_recipe, check_beam_args
from tests.pipelines.corpora import kept_ids, make_rows, run_d4, write_jsonl

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("templates/*.md")])


def commands(page: Path) -> list[str]:
    """The lines that begin with `sluice` in a page's shell blocks, continuations joined and comments dropped."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].replace(" ...", "").strip() for line in lines if line.startswith("sluice ")]


@pytest.mark.parametrize("command", sorted({line for page in PAGES for line in commands(page)}))
def test_every_command_in_the_documents_is_one_that_the_command_line_takes(command):
    args, beam_args = parser().parse_known_args(shlex.split(command, comments=True)[1:])
    if args.command in ("curate", "stage"):
        check_beam_args(beam_args)
    else:
        assert not beam_args


def test_every_make_target_in_the_documents_exists():
    named = set(re.findall(r"`?make (\w+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named and named <= targets


def test_the_recipe_in_the_readme_is_a_recipe(tmp_path):
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    (tmp_path / "recipe.yaml").write_text(found[1])
    recipe = build_recipe(recipe=str(tmp_path / "recipe.yaml"))
    assert [step.step for step in recipe.steps] == ["exact", "semdedup", "prototypes"]


def test_the_beam_example_removes_what_curate_removes(tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "beam.md").read_text(), re.DOTALL)
    assert code
    (tmp_path / "example.py").write_text(code[1])
    names = runpy.run_path(str(tmp_path / "example.py"))
    rows = make_rows(120)
    source = write_jsonl(tmp_path / "in", rows)
    left = names["deduplicate"](
        [source], str(tmp_path / "run"), documents=len(rows), dimension=len(rows[0]["embedding"]), threshold=0.9
    )
    run_d4(source, tmp_path / "other", recipe="semdedup", text="none", keep=None, threshold="0.9", clusters="20")
    assert left == len(kept_ids(tmp_path / "other"))
    assert left < len(np.unique([row["id"] for row in rows]))


def test_the_run_inference_example_gives_cosines(tmp_path, capfd):
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "beam.md").read_text(), re.DOTALL)[1]
    (tmp_path / "example.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "example.py"))
    names["similarities"](["the fox", "a lazy dog"], str(ROOT / "tests" / "data" / "bert"), "the fox")
    found = dict(re.findall(r"\('([\w ]+)', (-?[\d.]+)\)", capfd.readouterr().out))
    assert float(found["the fox"]) > 0.9999 > float(found["a lazy dog"])
