"""A source or a cluster that loses everything is named before the corpus is written, or stops the run."""

import json
import logging

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.pipelines.curate import run_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.report.report import summary
from sluice.pipelines.run.losses import LostEverything
from tests.pipelines.corpora import artifact, corpus_rows, make_rows, write_jsonl
from tests.pipelines.reading_back import shown, whole


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    rows = make_rows(300, seed=2)
    rng = np.random.default_rng(0)
    # A third lies close together, on the other side of everything else.
    for number, row in enumerate(rows):
        near = -np.ones(12) + 0.02 * rng.normal(size=12)
        row["embedding"] = (near if number < 100 else np.abs(row["embedding"])).tolist()
    for row in rows[5::40]:
        row["source"] = None
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


def recipe(source: str, step: dict, **losses) -> Recipe:
    given = {"paths": [source], "id": "id", "vector": "embedding", "source": "source", "unit_bytes": 20_000}
    return Recipe.model_validate({"input": given, "steps": [step], "losses": losses})


# Only the 97 of web may go, and 96 have to.
ONLY_WEB = {"step": "random", "only": ["web"], "cut": {"ratio": "0.68"}}
PROTOTYPES = {"step": "prototypes", "clusters": 4, "cut": {"ratio": "0.6"}}


def test_a_source_that_loses_everything_is_named_before_and_after(source, tmp_path, caplog):
    run = tmp_path / "run"
    with caplog.at_level(logging.WARNING, logger="sluice"):
        report, _ = run_recipe(recipe(source, ONLY_WEB, share=0.05), str(run))
    lost = {"groups": 1, "documents": 97, "kept": 1, "largest": [["web", 97, 1]]}
    assert report["losses"]["sources"] == lost == artifact(run, "decisions").manifest["totals"]["lost_sources"]
    (line,) = report["losses"]["warnings"]
    assert line == "1 source of 97 documents kept 1 of them: web (1 of 97)."
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [line]
    assert f"Warning: {line}" in shown(summary(report), width=500)


def test_by_default_a_tenth_of_what_a_source_would_keep_is_too_little(source, tmp_path):
    # 210 or 209 of 300 are kept: of the 97 of web, a tenth of 67.9 or of 67.6 is what must be left.
    for ratio, left, warned in (
        ("0.7", 7, []),
        ("0.6966", 6, ["1 source of 97 documents kept 6 of them: web (6 of 97)."]),
    ):
        report, _ = run_recipe(recipe(source, ONLY_WEB | {"cut": {"ratio": ratio}}), str(tmp_path / "run"))
        (web,) = [one for one in report["sources"]["largest"] if one["source"] == "web"]
        assert web["kept"] == left
        assert report["losses"]["warnings"] == warned


def test_what_became_of_every_source_is_counted(source, tmp_path):
    run = tmp_path / "run"
    report, _ = run_recipe(recipe(source, ONLY_WEB), str(run))
    names = whole(run, "documents", ["source"])["source"].to_pylist()
    fate = whole(run, "decisions", ["fate"])["fate"].to_pylist()
    found = report["sources"]
    assert found["sources"] == 3
    listed = {one["source"]: one for one in found["largest"]} | {None: found["without"]}
    assert set(listed) == set(names)
    for name, one in listed.items():
        own = [was for given, was in zip(names, fate) if given == name]
        assert one["documents"] == len(own)
        assert one["kept"] == own.count("kept")
        assert one["removed"] == {"01-random": own.count("01-random")}
    assert sum(one["documents"] for one in listed.values()) == 300


def test_a_refusal_writes_no_corpus_and_goes_on_once_it_is_lifted(source, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(LostEverything, match=r"web \(\d+ of \d+\).*no corpus is written"):
        run_recipe(recipe(source, ONLY_WEB, share=0.05, sources="refuse"), str(run))
    assert not (run / "corpus").exists() and not (run / "report.json").exists()
    report, timings = run_recipe(recipe(source, ONLY_WEB, share=0.05), str(run))
    assert [timing.stage for timing in timings if not timing.skipped] == ["corpus"]
    assert len(corpus_rows(run)) == report["totals"]["kept"] == 204


def test_a_cluster_of_which_nothing_is_left_is_named_or_refused(source, tmp_path):
    run = tmp_path / "run"
    report, _ = run_recipe(recipe(source, PROTOTYPES), str(run))
    cluster = whole(run, "steps/01-prototypes/clusters")["cluster"].to_numpy()
    keep = whole(run, "steps/01-prototypes/keep")["keep"].to_numpy()
    emptied = [
        [int(number), int((cluster == number).sum()), 0]
        for number in np.unique(cluster)
        if not keep[cluster == number].any() and (cluster == number).sum() * 0.6 >= 20
    ]
    assert emptied and report["losses"]["clusters"]["01-prototypes"]["largest"] == emptied
    largest = report["clusterings"][0]["largest"]
    sizes = np.bincount(cluster)
    assert [one["size"] for one in largest] == sorted(sizes.tolist(), reverse=True)
    gone = [1 - keep[cluster == one["cluster"]].mean() for one in largest]
    assert [one["share_removed"] for one in largest] == pytest.approx(gone)
    with pytest.raises(LostEverything, match="clusters: refuse"):
        run_recipe(recipe(source, PROTOTYPES, clusters="refuse"), str(tmp_path / "other"))


def test_a_control_that_treats_all_alike_loses_nothing(source, tmp_path):
    random = {"step": "random", "cut": {"ratio": "0.2"}}
    report, _ = run_recipe(recipe(source, random, sources="refuse", clusters="refuse"), str(tmp_path / "run"))
    assert report["losses"] == {"sources": None, "clusters": {}, "warnings": []}
    assert json.loads((tmp_path / "run/report.json").read_text())["losses"] == report["losses"]


def test_without_a_source_field_nothing_is_told_apart(finished):
    assert finished.report["sources"] is None and finished.report["losses"]["sources"] is None


@pytest.mark.parametrize("wrong", [{"share": 1.0}, {"share": -0.1}, {"sources": "maybe"}, {"documents": 3}])
def test_impossible_losses_are_refused(wrong):
    with pytest.raises(ValidationError):
        recipe("corpus", ONLY_WEB, **wrong)
