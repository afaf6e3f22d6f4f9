"""Previews against direct counts over the scores."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from sluice.models.arrays.vectors import COARSE
from sluice.pipelines.commands.preview import command
from sluice.pipelines.commands.preview.command import PAIRS, SHOWN, THRESHOLDS, preview, render
from sluice.transforms import storage
from tests.pipelines.reading_back import shown, whole


def with_steps(run: Path, change: Callable[[list[dict]], object]) -> Path:
    """The run with a changed recipe."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    change(recipe["steps"])
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run


@pytest.fixture(scope="module")
def found(finished) -> dict:
    return preview(str(finished.url))


def test_each_threshold_keeps_what_does_not_score_above_it(finished, found):
    column = whole(finished.url, "steps/02-semdedup/scores")["score"].combine_chunks()
    alive = ~column.is_null().to_numpy(False)
    score = column.fill_null(0).to_numpy(zero_copy_only=False) / COARSE**2
    tokens = np.array([row["tokens"] for row in finished.rows])
    assert {*THRESHOLDS} < {row["threshold"] for row in found["thresholds"]}
    for row in found["thresholds"]:
        if row["threshold"] == found["own_threshold"]:
            continue
        kept = alive & (score <= row["threshold"])
        assert (row["kept"], row["kept_tokens"]) == (kept.sum(), tokens[kept].sum())
        assert row["share"] == kept.sum() / 300
        assert row["share_of_tokens"] == tokens[kept].sum() / tokens.sum()


def test_the_own_threshold_keeps_what_the_run_kept(finished, found):
    own = next(row for row in found["thresholds"] if row["threshold"] == found["own_threshold"])
    step = finished.report["steps"][1]
    assert (own["kept"], own["kept_tokens"]) == (step["kept"], step["kept_tokens"])


def test_thresholds_that_chance_reaches_are_marked(finished, found):
    lot = finished.report["steps"][1]["chance"]
    assert found["chance"] == {name: value for name, value in lot.items() if name != "threshold_below"}
    page = shown(render(found | {"chance": lot | {"similarity": 0.8}}), width=200)
    marked = [line.split()[0] for line in page.splitlines() if line.endswith("no duplicates")]
    own = found["own_threshold"]
    assert marked == [f"{row['threshold']:.4f}" for row in found["thresholds"] if row["threshold"] <= 0.8]
    assert (f"{own:.4f}" in marked) == (own <= 0.8)
    assert "From 0.8000 down these are not duplicates" in page
    assert "not duplicates" not in shown(render(found | {"chance": None}))


def test_pairs_lie_just_either_side(finished, found):
    scores = whole(finished.url, "steps/02-semdedup/scores").to_pylist()
    known = sorted(
        row["score"] / COARSE**2 for row in scores if row["neighbour_row"] is not None and row["score"] < COARSE**2
    )
    assert {either["threshold"] for either in found["pairs"]} == {*SHOWN, found["own_threshold"]}
    for either in found["pairs"]:
        limit = either["threshold"] + 1e-9
        assert [pair["score"] for pair in either["above"]] == [score for score in known if score > limit][:PAIRS]
        below = [score for score in known if score <= limit][::-1][:PAIRS]
        assert [pair["score"] for pair in either["below"]] == below


def test_pairs_show_both_texts(finished, found):
    text = {row["id"]: row["text"] for row in finished.rows if sum(r["id"] == row["id"] for r in finished.rows) == 1}
    pairs = [pair for either in found["pairs"] for side in ("above", "below") for pair in either[side]]
    checked = 0
    for pair in pairs:
        for document in (pair["document"], pair["neighbour"]):
            if document["id"] in text:
                assert document["text"] == text[document["id"]][: len(document["text"])]
                checked += len(document["text"]) > 10
    assert checked > len(pairs)


def test_it_works_before_the_cut_and_without_what_follows(copy_of, found):
    run = copy_of()
    for folder in ("steps/02-semdedup/keep", "steps/03-prototypes", "decisions", "corpus"):
        shutil.rmtree(run / folder)
    early = preview(str(run))
    assert early["own_threshold"] is None
    own = found["own_threshold"]
    assert early["thresholds"] == [row for row in found["thresholds"] if row["threshold"] != own]


def test_a_given_threshold_is_the_runs_own(copy_of):
    found = preview(str(with_steps(copy_of(), lambda steps: steps[1].update(cut={"threshold": "0.9"}))))
    assert found["own_threshold"] == 0.9
    assert sorted(found["own_threshold"] == row["threshold"] for row in found["thresholds"]).count(True) == 1


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("03-prototypes", "no semdedup step; its steps are 01-exact, 02-semdedup"),
        ("07-x", "no step 07-x; its steps are"),
    ],
)
def test_other_steps_are_refused(finished, step, message):
    with pytest.raises(ValueError, match=message):
        preview(str(finished.url), step)


def test_a_recipe_without_semdedup_is_refused(copy_of):
    run = with_steps(copy_of(), lambda steps: steps.pop(1))
    with pytest.raises(ValueError, match="has no semdedup step"):
        preview(str(run))


def test_a_rule_whose_kept_sets_are_not_nested_is_refused(copy_of):
    run = with_steps(copy_of(), lambda steps: steps[1].update(rule="greedy", cut={"threshold": "0.9"}))
    with pytest.raises(ValueError, match="rule greedy"):
        preview(str(run))


def test_scores_that_are_not_there_yet_are_missed(copy_of):
    run = copy_of()
    (run / "steps/02-semdedup/scores/manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="steps/02-semdedup/scores is not finished"):
        preview(str(run))


def test_the_page_shows_all_of_it_and_obeys_no_text(found, finished, capsys):
    page = shown(render(found))
    assert "Just above 0.9000" in page and "Just below 0.9000" in page
    assert "\x1b" not in page and "[bold red]markup[/]" in page
    assert command.run(argparse.Namespace(url=str(finished.url), step="02-semdedup", json=True)) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_documents_that_the_input_no_longer_has_are_named_by_their_place(finished, monkeypatch):
    def gone(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(storage, "info", gone)
    found = preview(str(finished.url))
    one = next(pair for either in found["pairs"] for side in ("above", "below") for pair in either[side])
    page = shown(render(found))
    assert f"{one['document']['unit']}:{one['document']['row']}" in page and "has changed or gone" in page
    assert "None" not in page
