"""The sample corpus, harvested from a small made-up site-packages."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sluice.pipelines.commands.sample_corpus import command as sample_corpus
from sluice.pipelines.commands.sample_corpus import docstrings

LONG = "Says what goes in and what comes out, at some length. " * 5
MODULE = f'''"""The module. {LONG}"""

raise SystemExit("a harvested file must never run")

class Widget:
    r"""A widget, with a \\d that warns when it is not raw. {LONG}

        An indented line.
    """

    def turn(self):
        """Turn it. {LONG}"""
        def inner():
            """Inner. {LONG}"""

    async def wait(self):
        """Wait. {LONG}"""

if True:
    def either():
        """First branch. {LONG}"""
else:
    def either():
        """Second branch. {LONG}"""

def short():
    """Too short to be a document."""

def bare():
    return "{LONG}"
'''


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """A search root: one package with every kind of docstring, three more of 30 functions, and files to refuse."""
    root = tmp_path / "packages"
    for package in ("alpha", "beta", "gamma", "delta"):
        (root / package).mkdir(parents=True)
    (root / "alpha" / "__init__.py").write_text(MODULE)
    for package in ("beta", "gamma", "delta"):
        for index in range(30):
            text = f'def f():\n    "In {package}, number {index}. {LONG}"\n'
            (root / package / f"m{index}.py").write_text(text)
    (root / "alpha" / "python2.py").write_text('print "hello"')
    (root / "alpha" / "nulls.py").write_bytes(b"x = 1\0")
    (root / "alpha" / "latin.py").write_bytes(b'"\xe9"')
    (root / "alpha" / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000)
    (root / "alpha" / "folder.py").mkdir()
    (root / "alpha" / "dangling.py").symlink_to("nowhere")
    (root / "alpha" / "data.txt").write_text(LONG)
    (root / "alpha" / ".hidden").mkdir()
    (root / "alpha" / ".hidden" / "secret.py").write_text(f'"""{LONG}"""')
    return str(root)


def documents(folder: Path) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()]


def test_every_kind_of_docstring_is_found_once_under_its_qualified_name(packages: str, tmp_path: Path) -> None:
    summary = sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[packages])
    alpha = {d["id"]: d for d in documents(tmp_path / "out") if d["source"] == "alpha"}
    second_branch = MODULE.splitlines().index("else:") + 2
    assert {identity: d["kind"] for identity, d in alpha.items()} == {
        "alpha:__doc__": "module",
        "alpha:Widget": "class",
        "alpha:Widget.turn": "function",
        "alpha:Widget.turn.<locals>.inner": "function",
        "alpha:Widget.wait": "function",
        "alpha:either": "function",
        f"alpha:either:{second_branch}": "function",
    }
    assert {d["path"] for d in alpha.values()} == {"alpha/__init__.py"}
    assert alpha["alpha:Widget"]["text"].endswith(f"{LONG}\n\nAn indented line.")
    assert summary["documents"] == 97
    assert summary["sources"]["alpha"] == {
        "documents": 7,
        "characters": sum(len(d["text"]) for d in alpha.values()),
    }


def test_files_that_do_not_parse_are_counted_and_the_rest_goes_on(packages: str, tmp_path: Path) -> None:
    summary = sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[packages])
    # python2, nulls, latin, deep, dangling; the 91 others parse.
    assert (summary["files"], summary["skipped"]) == (96, 5)


def test_the_same_installation_gives_the_same_bytes(packages: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        sample_corpus.write_sample_corpus(str(tmp_path / name), shards=3, limit=40, roots=[packages])
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert sorted(one) == ["sample-00000.jsonl", "sample-00001.jsonl", "sample-00002.jsonl"]


@pytest.mark.parametrize("limit", [1, 2, 10, 40, 96, 97, 1000])
def test_a_limit_is_met_exactly_when_there_are_enough(packages: str, tmp_path: Path, limit: int) -> None:
    summary = sample_corpus.write_sample_corpus(str(tmp_path / "out"), limit=limit, roots=[packages])
    found = documents(tmp_path / "out")
    assert summary["documents"] == len(found) == min(limit, 97)
    assert len({d["id"] for d in found}) == len(found)


def test_a_limit_is_spread_over_the_sources_and_what_one_lacks_the_others_give(packages: str, tmp_path: Path) -> None:
    sample_corpus.write_sample_corpus(str(tmp_path / "out"), limit=60, roots=[packages])
    counts = Counter(d["source"] for d in documents(tmp_path / "out"))
    assert counts["alpha"] == 7
    assert min(counts[name] for name in ("beta", "gamma", "delta")) >= 15


def test_shards_differ_by_at_most_one_document(packages: str, tmp_path: Path) -> None:
    sample_corpus.write_sample_corpus(str(tmp_path / "out"), shards=10, roots=[packages])
    sizes = [len(path.read_bytes().splitlines()) for path in (tmp_path / "out").iterdir()]
    assert sorted(sizes) == [9] * 3 + [10] * 7


def test_ids_stay_unique_where_module_names_clash(tmp_path: Path) -> None:
    root = tmp_path / "packages"
    for path in ("a.py", "a/__init__.py", "a/b.py", "a.b.py", "a/py.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f'"""{path} {LONG}"""')
    sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[str(root)])
    assert {d["id"]: d["path"] for d in documents(tmp_path / "out")} == {
        "./a.py:__doc__": "a.py",
        "a:__doc__": "a/__init__.py",
        "a.b:__doc__": "a/b.py",
        "./a.b.py:__doc__": "a.b.py",
        "a.py:__doc__": "a/py.py",
    }


def test_a_path_in_two_roots_counts_once_and_the_first_root_wins(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.py").write_text(f'"""From {name}. {LONG}"""')
    roots = [str(tmp_path / "first"), str(tmp_path / "second")]
    sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=roots)
    assert [d["text"][:11] for d in documents(tmp_path / "out")] == ["From first."]


def test_a_lone_surrogate_in_a_docstring_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "odd.py").write_text(f'"""\\ud800 é {LONG}"""')
    sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[str(tmp_path / "packages")])
    assert documents(tmp_path / "out")[0]["text"].startswith("? é Says")


def test_syntax_warnings_of_harvested_files_stay_silent(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "odd.py").write_text(f'"""\\d {LONG}"""\nx = 1 is 1\n')
    sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[str(tmp_path / "packages")])
    assert [str(w.message) for w in recwarn if issubclass(w.category, SyntaxWarning | DeprecationWarning)] == []


def test_a_folder_with_files_is_refused_and_left_alone(packages: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="exists"):
        sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[packages])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("arguments", [{"shards": 0}, {"limit": 0}, {"limit": -5}])
def test_impossible_arguments_are_refused(packages: str, tmp_path: Path, arguments: dict) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[packages], **arguments)


def test_a_failure_leaves_nothing_behind(packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(tmp_path.iterdir())
    parse = docstrings._parse

    def fail_late(path: Path) -> object:
        if path.parent.name == "gamma":
            raise KeyboardInterrupt
        return parse(path)

    monkeypatch.setattr(docstrings, "_parse", fail_late)
    with pytest.raises(KeyboardInterrupt):
        sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[packages])
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_to_harvest_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no docstring"):
        sample_corpus.write_sample_corpus(str(tmp_path / "out"), roots=[str(tmp_path / "absent")])
    assert list(tmp_path.iterdir()) == []


def test_the_command_harvests_this_installation_and_says_what_it_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sluice.pipelines.main", "sample-corpus", "out", "--documents", "400"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("out: 400 documents, ")
    found = documents(tmp_path / "out")
    assert len(found) == 400
    assert all(len(d["text"]) >= 200 and not d["path"].startswith("/") for d in found)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr.startswith("sluice: out exists")
