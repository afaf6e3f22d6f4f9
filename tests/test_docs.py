"""The code in the documents runs."""

import itertools
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from sluice.pipelines.main import parser
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.resources import check_beam_args
from tests.pipelines.corpora import kept_ids, make_rows, run_d4, write_jsonl

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("templates/*.md")])


def commands(page: Path) -> list[str]:
    """The commands that begin with `sluice` in a page's shell blocks, up to a pipe, a comment or a redirection."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [alone(line) for line in map(str.strip, lines) if line.startswith("sluice ")]


def alone(line: str) -> str:
    """`sluice x --a 'b c' | grep d  # e` -> `sluice x --a 'b c'`."""
    words = shlex.shlex(line.replace(" ...", ""), posix=True, punctuation_chars="|&;<>")
    words.whitespace_split = True
    return shlex.join(itertools.takewhile(lambda word: not set(word) <= set("|&;<>"), words))


@pytest.mark.parametrize("command", sorted({line for page in PAGES for line in commands(page)}))
def test_every_command_in_the_documents_is_one_that_the_command_line_takes(command):
    args, beam_args = parser().parse_known_args(shlex.split(command)[1:])
    if args.command in ("curate", "stage", "plan"):
        check_beam_args(beam_args)
    else:
        assert not beam_args


def test_a_command_ends_where_the_shell_takes_over():
    assert alone("sluice status 'a b' --json | grep x") == "sluice status 'a b' --json"
    assert alone("sluice status run || true  # it is not finished") == "sluice status run"
    assert alone("sluice stage inventory --run gs://b/r ...") == "sluice stage inventory --run gs://b/r"


def anchors(page: Path) -> set[str]:
    """What links to headings of a page are called."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_of_the_repository_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"
    for path in re.findall(r"`((?:models|transforms|pipelines|templates|benchmarks|tests|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_list_of_pages_names_every_page():
    listed = re.findall(r"^- \[[\w./-]+\]\(([\w./-]+)\): \S", (ROOT / "docs" / "README.md").read_text(), re.MULTILINE)
    pages = (path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md"))
    assert sorted(listed) == sorted(page for page in pages if page != "README.md")


def test_every_make_target_in_the_documents_exists():
    named = set(re.findall(r"`?make ([\w-]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
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
