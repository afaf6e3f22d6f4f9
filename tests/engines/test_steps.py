"""Every kind of step decides the same on every engine: one recipe of them all."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from sluice.pipelines.steps import find_steps
from tests.engines import fetch
from tests.engines.engines import ENGINES
from tests.engines.running import Contents, contents, curate, curate_on, differing
from tests.pipelines.corpora import fates, make_rows, write_jsonl

# A recipe of all steps has four times as many jobs as D4; `pytest -m engines` has the other engines.
SLOW = {"4 threads", "Prism"}
ITEMS = {"text": "text", "id": "id", "vector": "embedding"}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Documents with long enough texts for shingles; some repeat the text before them, or most of it."""
    rows = make_rows(400)
    rng = np.random.default_rng(3)
    words = np.array(["".join(letters) for letters in itertools.product("aeiou", "bdklmnrst", "aeiou", "gpvz")])
    for row in rows:
        row["text"] = " ".join(rng.choice(words, 40)) + rng.choice([".", " ;", "", "!!"])
    for number in rng.choice(np.arange(1, len(rows)), len(rows) // 10, replace=False):
        text = rows[number - 1]["text"]
        rows[number]["text"] = text.upper() if number % 3 else f"{text[:-30]} {words[number]}"
    return rows


@pytest.fixture(scope="module")
def source(rows: list[dict], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows, files=4)


@pytest.fixture(scope="module")
def options(rows: list[dict], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A recipe of every step, the earlier run and the benchmark items that it names."""
    folder = tmp_path_factory.mktemp("recipe")
    old = write_jsonl(folder / "old", rows[:40], files=1)
    earlier = curate(old, folder / "earlier", ["--runner=FnApiRunner"], {"recipe": "semdedup", "keep": "0.9"})
    items = write_jsonl(folder / "items", rows[40:60], files=1) + "/shard-0.jsonl"
    steps = [
        {"step": "exact"},
        {"step": "quality", "cut": {"ratio": "0.95"}},
        {"step": "minhash", "verify": "0.7"},
        {"step": "length", "cut": {"ratio": "0.85"}},
        {"step": "score", "column": "quality", "cut": {"ratio": "0.8"}},
        {"step": "reference", "runs": [str(earlier)], "cut": {"threshold": "0.9995"}},
        {"step": "contamination", "benchmarks": [items], "cut": {"threshold": "0.995"}, **ITEMS},
        {"step": "semdedup", "clusters": 5, "bin_bytes": 4000, "cut": {"threshold": "0.999"}},
        {"step": "density", "clusters": 6, "cut": {"ratio": "0.6"}},
        {"step": "scip", "clusters": 5, "cut": {"ratio": "0.55"}},
        {"step": "prototypes", "clusters": 4, "refine": 1, "cut": {"ratio": "0.5"}},
        {"step": "cap", "groups": ["cluster"], "clusters": 4, "most": 60},
        {"step": "balance", "cut": {"ratio": "0.4"}},
        {"step": "target", "targets": [items], "sample": 150, "cut": {"ratio": "0.3"}, **ITEMS},
        {"step": "random", "epochs": 2, "share": "0.5"},
    ]
    assert {step["step"] for step in steps} == set(find_steps())
    recipe = folder / "all.yaml"
    recipe.write_text(yaml.safe_dump({"steps": steps}))
    return {"recipe": str(recipe), "clusters": None, "keep": None, "source": "source", "unit_bytes": 60_000}


@pytest.fixture(scope="module")
def expected(source: str, options: dict, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    run = curate(source, tmp_path_factory.mktemp("expected") / "run", ["--runner=FnApiRunner"], options)
    assert len(set(fates(run).values())) >= 12
    return contents(run)


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else pytest.mark.engines)
        for name in ENGINES
        if name != "in memory"
    ],
)
def test_every_step_leaves_the_same_files_on_every_engine(
    source: str, options: dict, expected: Contents, tmp_path: Path, engine: str
):
    try:
        outcome = curate_on(engine, source, tmp_path, options)
    except fetch.Missing as reason:
        pytest.skip(str(reason))
    assert differing(outcome.contents, expected) == []
