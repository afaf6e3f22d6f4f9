"""What the recipes decide about one small corpus, written down: a change that alters it alters everybody's corpora."""

import hashlib
import json

import pytest

from tests.pipelines.corpora import corpus_rows, decisions, make_rows, write_jsonl
from tests.pipelines.running import run_steps

SEMDEDUP = {"step": "semdedup", "clusters": 6, "cut": {"ratio": "0.8"}}
RECIPES = {
    "d4": [{"step": "exact"}, SEMDEDUP, {"step": "prototypes", "clusters": 6, "cut": {"ratio": "0.5"}}],
    "semdedup": [{"step": "exact"}, {**SEMDEDUP, "cut": {"threshold": "0.9"}}],
    "minhash": [{"step": "minhash"}],
    "density": [{"step": "exact"}, {"step": "density", "clusters": 6, "cut": {"ratio": "0.6"}}],
    "code": [{"step": "exact"}, {"step": "scip", "clusters": 6, "cut": {"ratio": "0.8"}}],
    "quality": [{"step": "exact"}, {"step": "quality", "cut": {"ratio": "0.7"}}],
}
# minhash takes digits for noise.
LETTERS = str.maketrans("0123456789", "abcdefghij")
# Documents kept, and digests of the decisions and of the kept lines.
GOLDEN = {
    "d4": (120, "65407812b8901d36", "424a9b55b45cdd96"),
    "semdedup": (148, "144364e3191c533e", "35859f2eccab9e94"),
    "minhash": (118, "b6c9e021fd3523ce", "21685d7c480a8901"),
    "density": (144, "46d4190e6abcf7f1", "59519204904c0c8b"),
    "code": (192, "bf22976a939807fb", "40fdf9ebe5bc1b56"),
    "quality": (168, "4e3b2da404bedaf4", "27d3c0bb8ce93133"),
}


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rows = make_rows(240)
    # Lines for the rules of `quality`, and texts that share most of their words for `minhash`.
    for number, row in enumerate(rows):
        row["text"] += "\n" + " ".join(f"{number % 60}x{place}" for place in range(5 + number % 40)).translate(LETTERS)
    return write_jsonl(tmp_path_factory.mktemp("golden") / "in", rows)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_decides_as_it_always_did(name, source, tmp_path):
    run_steps(source, RECIPES[name], tmp_path / "run")
    columns = decisions(tmp_path / "run").select(["id", "fate", "score", "threshold"]).to_pylist()
    rounded = [
        {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()} for row in columns
    ]
    kept = corpus_rows(tmp_path / "run")
    assert (len(kept), digest(rounded), digest(kept)) == GOLDEN[name]
