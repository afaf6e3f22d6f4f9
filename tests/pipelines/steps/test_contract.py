"""What every step promises, tried on every step that there is: a new one needs only its line in OPTIONS."""

import json
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.models.cut import select
from sluice.pipelines.base.layout import SCORED
from sluice.pipelines.run import runner
from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.steps import find_steps
from sluice.transforms.minhash import components
from tests.pipelines.corpora import artifact, fates, make_rows, write_jsonl
from tests.pipelines.running import decide

DOCUMENTS = 240
NAMES = sorted(find_steps())
# Options with which a step, alone, removes some web pages of the corpus below, and could with books protected.
# EARLIER and ITEMS stand for a finished run and a file of benchmark items.
EARLIER, ITEMS = "<earlier>", "<items>"
OPTIONS: dict[str, dict[str, Any]] = {
    "balance": {"cut": {"ratio": "0.61"}},
    "cap": {"groups": ["cluster"], "clusters": 4, "most": 50},
    "contamination": {"benchmarks": [ITEMS], "id": "id", "vector": "embedding", "cut": {"threshold": "0.995"}},
    "density": {"clusters": 6, "cut": {"ratio": "0.61"}},
    "exact": {},
    "length": {"cut": {"ratio": "0.83"}},
    "minhash": {"verify": "0.7"},
    "prototypes": {"clusters": 6, "refine": 1, "cut": {"ratio": "0.61"}},
    "quality": {"cut": {"ratio": "0.83"}},
    "random": {"cut": {"ratio": "0.61"}},
    "reference": {"runs": [EARLIER], "cut": {"threshold": "0.999"}},
    "scip": {"clusters": 8, "cut": {"ratio": "0.61"}},
    "score": {"column": "quality", "cut": {"ratio": "0.61"}},
    "semdedup": {"clusters": 6, "bin_bytes": 4000, "cut": {"ratio": "0.91"}},
    "target": {"targets": [ITEMS], "id": "id", "vector": "embedding", "sample": 150, "cut": {"ratio": "0.61"}},
}


def test_every_step_has_its_options_here():
    missing = set(NAMES) - set(OPTIONS)
    assert not missing, f"add {missing} to OPTIONS: options with which it removes some of {DOCUMENTS} documents"


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Texts of forty words; every tenth repeats the one before it, in capitals or with another end."""
    rows = make_rows(DOCUMENTS, seed=7)
    rng = np.random.default_rng(7)
    words = np.array([a + b + c + d for a in "bdklm" for b in "aeiou" for c in "nrst" for d in "aeiou"])
    for number, row in enumerate(rows):
        row["text"] = " ".join(rng.choice(words, 40)) + rng.choice([".", " ;", "", "!!"])
        if number % 10 == 9:
            before = rows[number - 1]["text"]
            row["text"] = before.upper() if number % 20 == 9 else f"{before[:-20]} {words[number]}"
    return rows


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


@pytest.fixture(scope="module")
def embedded(source, tmp_path_factory) -> Path:
    """What all runs over the corpus begin with: they start from copies of it."""
    run = tmp_path_factory.mktemp("embedded") / "run"
    decide(source, [{"step": "prototypes", "cut": {"ratio": "0.5"}}], run, until="embeddings")
    return run


@pytest.fixture(scope="module")
def given(rows, tmp_path_factory) -> dict[str, str]:
    """What stands for the names in OPTIONS."""
    folder = tmp_path_factory.mktemp("given")
    old = write_jsonl(folder / "old", [row | {"id": f"old-{row['id']}"} for row in rows[:40]], files=1)
    decide(old, [{"step": "semdedup", "clusters": 3, "cut": {"ratio": "0.95"}}], folder / "earlier")
    items = write_jsonl(folder / "items", rows[40:60], files=1)
    return {EARLIER: str(folder / "earlier"), ITEMS: f"{items}/shard-0.jsonl"}


@pytest.fixture
def options(name, given) -> dict[str, Any]:
    text = json.dumps({"step": name, **OPTIONS[name]})
    for placeholder, path in given.items():
        text = text.replace(placeholder, path)
    return json.loads(text)


@pytest.fixture(scope="module")
def _decided() -> dict[str, Path]:
    return {}


@pytest.fixture
def decided(name, options, source, embedded, _decided, tmp_path_factory) -> Path:
    """A run of the step, made once."""
    if name not in _decided:
        _decided[name] = tmp_path_factory.mktemp(name) / "run"
        decide(source, [options], _decided[name], start=embedded)
    return _decided[name]


def removed(run: Path, name: str) -> set[str]:
    return {identity for identity, fate in fates(run).items() if fate == f"01-{name}"}


@pytest.mark.parametrize("name", NAMES)
def test_it_removes_some_and_a_ratio_is_met_exactly(name, options, decided):
    gone = removed(decided, name)
    assert 0 < len(gone) < DOCUMENTS / 2
    if ratio := options.get("cut", {}).get("ratio"):
        assert DOCUMENTS - len(gone) == ceil(Fraction(ratio) * DOCUMENTS)


@pytest.mark.parametrize("name", NAMES)
def test_neither_the_order_of_rows_nor_units_nor_counting_change_decisions(
    name, options, rows, decided, tmp_path, monkeypatch
):
    """Every graph to the corpus passes Beam's type checks as well, and cuts count as for a corpus too large to sort."""
    monkeypatch.setattr(select, "FEW", 0)
    monkeypatch.setattr(components, "FEW", 0)
    plain = runner.Options
    monkeypatch.setattr(runner, "Options", lambda args, **more: plain(args, **more | {"pipeline_type_check": True}))
    shuffled = [rows[place] for place in np.random.default_rng(3).permutation(DOCUMENTS)]
    other = write_jsonl(tmp_path / "shuffled", shuffled, files=2)
    decide(other, [options], tmp_path / "run", unit_bytes=25_000, until=None)
    assert len(artifact(tmp_path / "run", "documents").manifest["parts"]) > 3
    assert fates(tmp_path / "run") == fates(decided)


THREADS = ("--runner=FnApiRunner", "--direct_running_mode=multi_threading", "--direct_num_workers=2")
TWICE = ("--direct_runner_bundle_repeat=1",)


@pytest.mark.parametrize("name", NAMES)
def test_neither_workers_side_by_side_nor_bundles_done_twice_change_a_byte(
    name, options, source, embedded, decided, tmp_path
):
    decide(source, [options], tmp_path / "run", start=embedded, beam_args=[*THREADS, *TWICE])
    parts = [artifact(run, "decisions").manifest["parts"] for run in (tmp_path / "run", decided)]
    assert parts[0] == parts[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_protected_source_stays_and_only_the_named_ones_go(name, options, rows, source, embedded, tmp_path):
    sources = {row["id"]: row["source"] for row in rows}
    guarded = options | {"only": ["web", "books"], "protect": ["books"]}
    if "ratio" in guarded.get("cut", {}):
        guarded["cut"] = {"ratio": "0.95"}
    decide(source, [guarded], tmp_path / "run", start=embedded)
    assert {sources[identity] for identity in removed(tmp_path / "run", name)} == {"web"}


@pytest.mark.parametrize("name", NAMES)
def test_a_run_without_one_of_its_stages_makes_just_that_again(name, options, source, decided, tmp_path):
    """As after a kill before the stage was committed: its parts are there, or nothing of it is."""
    step = open_run(str(decided)).recipe.steps[0]
    first, last = step.layout()[0].folder, SCORED[-1].folder
    folder = Path("steps") / f"01-{name}"
    run = tmp_path / "run"
    decide(source, [options], run, start=decided)
    kept = sorted(path for path in run.rglob("part-*") if folder / first not in path.relative_to(run).parents)
    times = {path: path.stat().st_mtime_ns for path in kept}
    for path in (run / folder / first).iterdir():
        path.unlink()
    (run / folder / last / "manifest.json").unlink(missing_ok=True)
    (run / "decisions" / "manifest.json").unlink()
    decide(source, [options], run)
    assert fates(run) == fates(decided)
    earlier = [path for path in kept if path.relative_to(run).parts[0] in ("documents", "embeddings")]
    assert earlier and all(path.stat().st_mtime_ns == times[path] for path in earlier)
    assert (run / folder / first / "manifest.json").read_bytes() == (
        decided / folder / first / "manifest.json"
    ).read_bytes()
