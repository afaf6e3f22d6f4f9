"""A run that one machine began and another ends: what a run writes is all that the second one needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sluice.pipelines.commands.explain.command import explain
from sluice.pipelines.main import main
from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.run.runner import run_stages
from tests.cloud.proxy import Proxy, Request
from tests.cloud.test_run import SEMDEDUP, contents, generations, upload
from tests.pipelines.corpora import fates, make_rows, run_d4, write_jsonl

ROOT = Path(__file__).parents[2]
FOLDERS = ("models", "transforms", "pipelines")
RECIPE = """
name: texts
steps:
  - {step: exact}
  - {step: minhash}
  - {step: semdedup, clusters: 4, cut: {ratio: 0.7}}
"""


class Machine:
    """Its own home, working directory, cache, model directory, recipe file and checkout of Sluice."""

    def __init__(self, folder: Path):
        self.places = {name: folder / name for name in ("home", "cache", "work")}
        for place in self.places.values():
            place.mkdir(parents=True)
        self.checkout = folder / "checkout"
        for name in FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.checkout / "sluice" / name, ignore=ignored)
        self.model = shutil.copytree(ROOT / "tests" / "data" / "bert", folder / "model")
        (folder / "work" / "texts.yaml").write_text(RECIPE)

    def curate(self, source: str, run: str) -> subprocess.Popen:
        """The command `sluice curate` there, as a process that is started."""
        code = "import sys; from sluice.pipelines.main import main; sys.exit(main())"
        options = ["--recipe=texts.yaml", f"--model={self.model}", "--id=id", "--unit-bytes=20000"]
        environment = {
            "HOME": str(self.places["home"]),
            "XDG_CACHE_HOME": str(self.places["cache"]),
            "PYTHONPATH": str(self.checkout),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-c", code, "curate", "--input", source, "--run", run, *options],
            cwd=self.places["work"],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )


def curate_until(machine: Machine, source: str, run: str, store: Proxy, *, put: str) -> None:
    """A curation whose process is killed as it begins to write the first object with `put` in its name."""
    processes: list[subprocess.Popen] = []

    def kill(request: Request) -> None:
        if request.kind == "put" and put in request.name:
            processes[0].kill()

    store.reset(kill)
    processes.append(machine.curate(source, run))
    said = processes[0].communicate()[1]
    assert processes[0].returncode == -9, said
    store.reset()


def make_texts(documents: int) -> list[dict]:
    """Documents of random words; every fifth is another one with a word more, every tenth another one again."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), 5)) for _ in range(500)]
    texts = [" ".join(rng.choice(words, 40)) for _ in range(documents)]
    for row in range(5, documents, 5):
        texts[row] = texts[row - 3] + " more" * (row % 2)
    return [{"id": f"document-{row}", "text": text} for row, text in enumerate(texts)]


def test_a_run_that_dies_on_one_machine_is_ended_by_another_in_the_same_bytes(store, place, tmp_path):
    source = Path(write_jsonl(tmp_path / "in", make_texts(60), files=2))
    root = place()
    upload(source, f"{root}/in")
    first, second = Machine(tmp_path / "first"), Machine(tmp_path / "second")
    curate_until(first, f"{root}/in", f"{root}/run", store, put="/03-semdedup/clusters/part")
    before = generations(f"{root}/run")
    finished = {name.split("/run/")[1].removesuffix("/manifest.json") for name in before}
    assert finished >= {"documents", "steps/02-minhash/keep", "embeddings", "steps/03-semdedup/centroids"}
    assert "steps/03-semdedup/clusters" not in finished
    ended = second.curate(f"{root}/in", f"{root}/run")
    said = ended.communicate()[1]
    assert ended.returncode == 0, said
    assert before.items() <= generations(f"{root}/run").items()
    recipe = str(second.places["work"] / "texts.yaml")
    run_d4(
        str(source),
        tmp_path / "uncut",
        **{"recipe": recipe, "model": str(ROOT / "tests" / "data" / "bert"), "unit_bytes": 20_000},
        **dict.fromkeys(("vector", "tokens", "clusters", "keep")),
    )
    assert contents(f"{root}/run") == contents(tmp_path / "uncut")


# Moved on a disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The inputs, and a run of them that was made somewhere else, with a relative path as input."""
    source = Path(write_jsonl(tmp_path / "in", make_rows(60), files=2))
    monkeypatch.chdir(tmp_path)
    run_d4("in", "made/run", **SEMDEDUP | {"text": None})
    (tmp_path / "elsewhere").mkdir()
    return source, Path(shutil.move(tmp_path / "made" / "run", tmp_path / "elsewhere" / "run"))


def test_a_run_that_is_moved_goes_on_there_and_moved_inputs_are_a_new_corpus(moved, tmp_path, monkeypatch, capsys):
    source, run = moved
    monkeypatch.chdir(run)
    assert all(timing.skipped for timing in run_stages(open_run(str(run))))
    assert explain(str(run), "document-7")["text"]
    decided = fates(run)
    source.rename(tmp_path / "corpus")
    assert main(["stage", "documents", "--run", str(run)]) == 2
    assert f"sluice: no files at {source}" in capsys.readouterr().err
    assert "has changed or gone since the inventory was made" in explain(str(run), "document-7")["problem"]
    flags = ["--recipe=semdedup", "--id=id", "--vector=embedding", "--threshold=0.9", "--clusters=6"]
    command = ["curate", "--input", str(tmp_path / "corpus"), "--run", str(run), *flags, "--tokens=column:tokens"]
    assert main(command) == 0
    assert f"input.paths.1: {source} -> {tmp_path / 'corpus'}" in capsys.readouterr().err
    assert fates(run) == decided
