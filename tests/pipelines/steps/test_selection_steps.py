"""The selecting steps together: on image vectors, in any order, and with a model."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from sluice.models.checkpoints.default import default_model_dir
from sluice.pipelines.commands.explain.command import explain
from sluice.pipelines.curate import run_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.transforms import storage
from tests.pipelines.corpora import fates, kept_ids, write_jsonl

INPUT = {"text": None, "id": "url", "vector": "image.embedding", "source": "site"}


@pytest.fixture(scope="module")
def images() -> list[dict]:
    """Rows as image-text corpora have them: a vector in a nested field, a similarity of image and caption, no text."""
    rng = np.random.default_rng(6)
    centres = rng.normal(size=(5, 16))
    vectors = centres[rng.integers(0, 5, 220)] + 0.4 * rng.normal(size=(220, 16))
    vectors[100:130] = vectors[:30] + 0.01 * rng.normal(size=(30, 16))
    return [
        {
            "url": f"https://example.org/{number}.jpg",
            "image": {"embedding": vector.tolist()},
            "clip": float(rng.normal(0.25, 0.05)),
            "site": ["a", "b", "c"][number % 3],
        }
        for number, vector in enumerate(vectors)
    ]


@pytest.fixture(scope="module")
def source(images, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("images"), images)


@pytest.fixture(scope="module")
def shown(images, tmp_path_factory) -> str:
    """Images of a benchmark: nearly the same as two of the corpus."""
    path = tmp_path_factory.mktemp("items") / "imagenet.jsonl"
    rng = np.random.default_rng(1)
    rows = [
        {
            "name": number,
            "embedding": (np.array(images[number]["image"]["embedding"]) + 0.01 * rng.normal(size=16)).tolist(),
        }
        for number in (40, 50)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(source: str, steps: list[dict], url: Path, **options) -> Path:
    recipe = {"input": {"paths": [source], **INPUT, **options}, "steps": steps}
    run_recipe(Recipe.model_validate(recipe), str(url))
    return url


def steps_over(shown: str, earlier: Path) -> list[dict]:
    items = {"text": None, "id": "name", "vector": "embedding"}
    return [
        {"step": "score", "column": "clip", "cut": {"ratio": "0.9"}},
        {"step": "reference", "runs": [str(earlier)], "cut": {"threshold": "0.9995"}},
        {"step": "contamination", "benchmarks": [shown], "ngram": None, "cut": {"threshold": "0.99"}, **items},
        {"step": "cap", "groups": ["cluster"], "clusters": 5, "most": 30},
        {"step": "target", "targets": [shown], "sample": 150, "cut": {"ratio": "0.4"}, **items},
        {"step": "balance", "cut": {"ratio": "0.2"}},
        {"step": "random", "epochs": 2, "share": "0.4"},
    ]


def test_all_steps_work_on_image_vectors(images, source, shown, tmp_path):
    semdedup = {"step": "semdedup", "clusters": 4, "cut": {"threshold": "0.99"}}
    old = write_jsonl(tmp_path / "old", [row | {"url": "old" + row["url"]} for row in images[10:20]], files=1)
    earlier = run(old, [semdedup], tmp_path / "earlier")
    steps = steps_over(shown, earlier)
    run(source, steps, tmp_path / "a", unit_bytes=12_000)
    found = fates(tmp_path / "a")
    assert {found[row["url"]] for row in images[10:20]} <= {"01-score", "02-reference"}
    assert {found[images[number]["url"]] for number in (40, 50)} <= {"01-score", "03-contamination"}
    assert {f"{number:02d}-{step['step']}" for number, step in enumerate(steps, start=1)} - set(found.values()) <= {
        "04-cap"
    }
    assert len(set(found.values())) >= 6
    assert 10 < len(kept_ids(tmp_path / "a")) <= 44


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1::2])
def test_they_compose_in_any_order_with_the_rest(source, shown, tmp_path, order):
    steps = [
        {"step": "semdedup", "clusters": 4, "cut": {"threshold": "0.99"}},
        {"step": "cap", "most": 45},
        {"step": "score", "column": "clip", "cut": {"threshold": "0.2"}},
    ]
    url = run(source, [steps[place] for place in order], tmp_path / "run")
    found = fates(url)
    assert sum(fate == "kept" for fate in found.values()) > 80
    assert {fate.split("-")[1] for fate in found.values() if fate != "kept"} == {"semdedup", "cap", "score"}


def test_a_model_embeds_benchmark_items_as_it_does_documents(tmp_path):
    try:
        default_model_dir()
    except (FileNotFoundError, ValueError) as error:
        pytest.skip(f"the default model is not installed: {error}")
    question = "How many moons does the planet Jupiter have?"
    texts = [
        "The number of moons that Jupiter, the planet, has: how many are there?",
        "Bread is baked from flour, water, yeast and salt.",
        "The parliament voted on the budget for the coming year.",
        "Tigers are the largest of the big cats and live in Asia.",
        *(f"A note about gardening, number {number}: roses want sun and water." for number in range(8)),
    ]
    source = write_jsonl(tmp_path / "in", [{"id": str(n), "text": text} for n, text in enumerate(texts)])
    items = tmp_path / "trivia.jsonl"
    items.write_text(json.dumps({"text": question}) + "\n")
    steps = [{"step": "contamination", "benchmarks": [str(items)], "cut": {"threshold": "0.7"}}]
    recipe = {"input": {"paths": [source], "id": "id"}, "steps": steps}
    run_recipe(Recipe.model_validate(recipe), str(tmp_path / "run"))
    assert kept_ids(tmp_path / "run") == {str(number) for number in range(1, len(texts))}
    match = explain(str(tmp_path / "run"), "0")["steps"][0]["match"]
    assert match["where"] == "trivia" and match["text"] == question
    target = {"step": "target", "targets": [str(items)], "positives": 0.2, "cut": {"ratio": "0.1"}}
    recipe["steps"] = [target]
    run_recipe(Recipe.model_validate(recipe), str(tmp_path / "run"))
    assert "0" in kept_ids(tmp_path / "run")
    assert not storage.exists(str(tmp_path / "run" / "repeats"))
