"""Plans for training on more tokens than are kept."""

import json

import pytest
from pydantic import ValidationError

from sluice.pipelines.curate import run_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.report.page import summary
from sluice.transforms.storage import listing
from tests.pipelines.corpora import kept_ids, make_rows, write_jsonl
from tests.pipelines.reading_back import shown
from tests.pipelines.running import INPUT


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows(120, seed=41)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows, files=5)


def run(source: str, steps: list[dict], url, **options) -> dict:
    recipe = {"input": {"paths": [source], **INPUT, "unit_bytes": 4000}, "steps": steps, **options}
    return run_recipe(Recipe.model_validate(recipe), str(url))[0]


def test_a_budget_above_what_there_is_becomes_epochs_of_shuffled_shards(rows, source, tmp_path):
    total = sum(row["tokens"] for row in rows)
    steps = [{"step": "random", "cut": {"tokens": 5 * total // 2}}]
    report = run(source, steps, tmp_path / "run")
    plan = report["repeats"]
    assert (plan["target_tokens"], plan["selected_tokens"]) == (5 * total // 2, total)
    assert plan["epochs"] == pytest.approx(2.5) and plan["last_epoch_tokens"] == 5 * total // 2 - 2 * total
    assert plan["warnings"] == []
    assert json.loads((tmp_path / "run/repeats/plan.json").read_text()) == plan
    lists = [(tmp_path / f"run/repeats/epoch-{epoch:03d}.txt").read_text().split() for epoch in (1, 2, 3)]
    assert not (tmp_path / "run/repeats/epoch-004.txt").exists()
    corpus = tmp_path / "run/corpus"
    files = sorted(file.path[len(str(corpus)) + 1 :] for file in listing.list_files(str(corpus)))
    assert [sorted(one) for one in lists] == [files] * 3 and len(files) > 5
    assert lists[0] != lists[1] != lists[2]
    assert f"the {total:,} kept are read 2.50 times" in shown(summary(report))


def test_more_than_four_epochs_are_warned_about_and_lists_are_bounded(rows, source, tmp_path):
    steps = [{"step": "random", "cut": {"ratio": "0.1"}}]
    report = run(source, steps, tmp_path / "run", training_tokens=10**6)
    assert report["repeats"]["epochs"] > 1000 and report["repeats"]["lists"] == 100
    assert len(list((tmp_path / "run/repeats").glob("epoch-*"))) == 100
    page = shown(summary(report))
    assert "beyond about 4 they are worth less and less" in page and "only 100 lists are written" in page


def test_a_budget_that_was_filled_needs_no_repeats_and_drops_older_plans(rows, source, tmp_path):
    steps = [{"step": "random", "cut": {"tokens": 10**6}}]
    assert run(source, steps, tmp_path / "run")["repeats"] is not None
    steps = [{"step": "random", "cut": {"tokens": 900}}]
    assert run(source, steps, tmp_path / "run")["repeats"] is None
    assert not list((tmp_path / "run/repeats").glob("*"))
    used = sum(row["tokens"] for row in rows if row["id"] in kept_ids(tmp_path / "run"))
    assert 850 < used <= 900
    assert run(source, steps, tmp_path / "run", training_tokens=1800)["repeats"]["epochs"] == 1800 / used


def test_a_step_after_the_budget_makes_it_a_target_again(rows, source, tmp_path):
    steps = [{"step": "random", "cut": {"tokens": 2000}}, {"step": "cap", "most": 5}]
    plan = run(source, steps, tmp_path / "run")["repeats"]
    assert plan["target_tokens"] == 2000 and plan["epochs"] > 2


def test_training_tokens_without_a_count_are_refused():
    with pytest.raises(ValidationError, match="nothing counts tokens"):
        Recipe.model_validate(
            {
                "input": {"paths": ["x"]},
                "training_tokens": 5,
                "steps": [{"step": "random", "cut": {"ratio": "0.5"}}],
            }
        )
