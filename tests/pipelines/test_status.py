"""Status of runs that are finished, under way, broken or not begun."""

import argparse
import json
import shutil

import pytest

from sluice.pipelines import status as command
from sluice.pipelines.status import render, status
from tests.pipelines.corpora import artifact
from tests.pipelines.reading_back import shown


def states(run) -> dict[str, str]:
    return {stage["stage"]: stage["state"] for stage in status(str(run))["stages"]}


def test_a_finished_run_has_all_its_stages_in_order(finished):
    found = status(str(finished.url))
    # The report lists the stages as they ran, so a stage that is added is missed here.
    assert [stage["stage"] for stage in found["stages"]] == list(finished.report["artifacts"])
    assert {stage["state"] for stage in found["stages"]} == {"finished"}
    assert (found["state"], found["finished"], found["report"]) == ("finished", 17, True)
    assert found["bytes"] == sum(path.stat().st_size for path in finished.url.rglob("*") if path.is_file())
    for stage in found["stages"][1:]:
        assert stage["units_done"] == stage["units"] == finished.report["totals"]["units"]
        assert stage["rows"] == finished.report["artifacts"][stage["stage"]]["rows"]
    assert found["stages"][1]["totals"]["rejected"] == 2


def test_a_stage_under_way_says_how_far_it_is(copy_of):
    run = copy_of()
    embeddings = artifact(run, "embeddings")
    parts = embeddings.manifest["parts"]
    for folder in ("steps/02-semdedup", "steps/03-prototypes", "decisions", "corpus"):
        shutil.rmtree(run / folder)
    (run / "embeddings/manifest.json").unlink()
    (run / "embeddings" / parts[-1]["name"]).unlink()
    (run / "report.json").unlink()
    found = status(str(run))
    stage = next(stage for stage in found["stages"] if stage["stage"] == "embeddings")
    assert (stage["state"], stage["units_done"], stage["units"]) == ("under way", len(parts) - 1, len(parts))
    assert stage["rows"] == sum(part["rows"] for part in parts[:-1])
    assert found["state"] == "under way"
    assert list(states(run).values()) == ["finished"] * 5 + ["under way"] + ["not started"] * 11


def test_bins_count_before_there_are_parts(copy_of):
    run = copy_of()
    folder = run / "steps/02-semdedup/scores"
    for file in [folder / "manifest.json", *folder.glob("part-*")]:
        file.unlink()
    stage = next(stage for stage in status(str(run))["stages"] if stage["stage"] == "02-semdedup/scores")
    assert (stage["state"], stage["units_done"], stage["rows"]) == ("under way", 0, None)
    assert stage["bins_done"] == len(list((folder / "bins").glob("bin-*"))) > 0


def test_what_follows_an_unfinished_stage_is_of_other_settings(copy_of):
    run = copy_of()
    (run / "steps/02-semdedup/keep/manifest.json").unlink()
    found = states(run)
    assert found["02-semdedup/scores"] == "finished"
    assert found["02-semdedup/keep"] == "under way"
    assert {found[name] for name in ("03-prototypes/centroids", "decisions", "corpus")} == {"of other settings"}


def test_parts_of_a_newer_configuration_beside_a_manifest_are_work_under_way(copy_of):
    run = copy_of()
    folder = run / "steps/03-prototypes/keep"
    part = next(folder.glob("part-00000-*"))
    shutil.copy(part, folder / "part-00000-0123456789.parquet")
    stage = next(stage for stage in status(str(run))["stages"] if stage["stage"] == "03-prototypes/keep")
    assert (stage["state"], stage["units_done"]) == ("under way", 1)


def test_a_cut_with_another_target_is_of_other_settings(copy_of):
    run = copy_of()
    place = run / "recipe.yaml"
    place.write_text(place.read_text().replace("ratio: '0.5'", "ratio: '0.4'"))
    found = states(run)
    assert found["03-prototypes/scores"] == "finished"
    assert found["03-prototypes/keep"] == found["decisions"] == "of other settings"
    assert status(str(run))["state"] == "under way"


def test_a_run_that_has_not_begun_has_no_stage_done(copy_of, tmp_path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.copy(copy_of() / "recipe.yaml", fresh)
    found = status(str(fresh))
    assert {stage["state"] for stage in found["stages"]} == {"not started"}
    assert (found["state"], found["units"], found["finished"]) == ("not started", None, 0)


def test_a_place_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run directory"):
        status(str(tmp_path / "nothing"))


def test_the_page_and_json_hold_every_stage(finished, capsys):
    page = shown(render(status(str(finished.url))))
    assert all(stage in page for stage in finished.report["artifacts"])
    assert command.run(argparse.Namespace(url=str(finished.url), json=True)) == 0
    assert json.loads(capsys.readouterr().out) == status(str(finished.url))
