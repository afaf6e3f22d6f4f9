"""Status of runs that are finished, under way, broken or not begun."""

import argparse
import json
import os
import shutil
import threading
import uuid
from datetime import datetime
from pathlib import Path

import fsspec
import pytest

from sluice.pipelines.curate import curate
from sluice.pipelines.main import main
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.cutting import UnreachableTarget
from sluice.pipelines.run.launches import read_launches
from sluice.pipelines.run.prepare import prepare
from sluice.pipelines.run.runner import StageFailed, run_stages
from sluice.pipelines.status import status as command
from sluice.pipelines.status.status import render, status
from tests.pipelines.corpora import artifact, make_rows, open_run, run_d4, write_jsonl
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


def test_a_unit_that_was_stopped_half_way_is_work_under_way(copy_of):
    run = copy_of()
    embeddings = artifact(run, "embeddings")
    for part in embeddings.manifest["parts"]:
        folder = run / "embeddings" / f"windows-{part['unit']:05d}-{embeddings.key[:10]}"
        folder.mkdir()
        (run / "embeddings" / part["name"]).rename(folder / f"part-00000-{embeddings.key[:10]}.parquet")
    (run / "embeddings/manifest.json").unlink()
    (run / "report.json").unlink()
    found = status(str(run))
    stage = next(stage for stage in found["stages"] if stage["stage"] == "embeddings")
    assert (stage["state"], stage["units_done"]) == ("under way", 0)
    assert stage["units_begun"] == [part["unit"] for part in embeddings.manifest["parts"]]
    assert f"embeddings: of {len(stage['units_begun'])} units a part is done, and kept" in shown(render(found))
    # What other settings began before
    for key in ("0" * 10, "f" * 10):
        old = run / "embeddings" / f"windows-00099-{key}" / f"part-00000-{key}.parquet"
        old.parent.mkdir()
        old.write_bytes(b"")
        os.utime(old, (1, 1))
    again = next(stage for stage in status(str(run))["stages"] if stage["stage"] == "embeddings")
    assert again["units_begun"] == stage["units_begun"]


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
    assert command.run(argparse.Namespace(url=str(finished.url), json=True, watch=None)) == 0
    assert json.loads(capsys.readouterr().out) == status(str(finished.url))


# Under way ------------------------------------------------------------------------------------------------------------


def unfinish(run: Path, folder: str, *, left: int) -> list[dict]:
    """Take a stage's manifest and its last `left` parts, and the report: it is under way. Returns all its parts."""
    parts = artifact(run, folder).manifest["parts"]
    (run / folder / "manifest.json").unlink()
    for part in parts[len(parts) - left :]:
        (run / folder / part["name"]).unlink()
    (run / "report.json").unlink()
    return parts


def stage_of(found: dict, name: str) -> dict:
    return next(stage for stage in found["stages"] if stage["stage"] == name)


def test_speed_and_time_left_come_from_the_times_of_the_parts(copy_of):
    run = copy_of()
    parts = unfinish(run, "decisions", left=1)
    record = sorted((run / "launches").glob("*.json"))[-1]
    launch = json.loads(record.read_text())
    begun = datetime.fromisoformat(launch["started"]).timestamp()
    launch |= {"outcome": "under way", "ended": None}
    launch["stages"] = [{"stage": "decisions", "started": launch["started"]}]
    record.write_text(json.dumps(launch))
    for number, part in enumerate(parts[:-1], start=1):
        os.utime(run / "decisions" / part["name"], (begun + 10 * number, begun + 10 * number))
    found = status(str(run))
    stage = stage_of(found, "decisions")
    done = sum(part["rows"] for part in parts[:-1])
    assert stage["share"] == pytest.approx(done / (done + parts[-1]["rows"]))
    assert stage["per_second"] == pytest.approx(done / (10 * (len(parts) - 1)))
    assert stage["seconds_left"] == pytest.approx(parts[-1]["rows"] / stage["per_second"])
    assert stage["largest_left"] == {"unit": parts[-1]["unit"], "weight": parts[-1]["rows"]}
    page = shown(render(found))
    assert f"the largest unit left is {parts[-1]['unit']} ({parts[-1]['rows']} documents)" in page
    assert "no end of it is recorded" in page


def test_documents_are_measured_by_bytes_of_input(copy_of):
    run = copy_of()
    parts = unfinish(run, "documents", left=1)
    for folder in ("embeddings", "steps", "decisions", "corpus"):
        shutil.rmtree(run / folder)
    stage = stage_of(status(str(run)), "documents")
    spans = artifact(run, "inventory").read(0).to_pylist()
    sizes = {unit: sum(s["stop"] - s["start"] for s in spans if s["unit"] == unit) for unit in range(len(parts))}
    assert stage["measure"] == "bytes"
    assert stage["share"] == pytest.approx(1 - sizes[len(parts) - 1] / sum(sizes.values()))
    assert stage["largest_left"] == {"unit": len(parts) - 1, "weight": sizes[len(parts) - 1]}


def test_bins_are_measured_by_pairs(copy_of):
    run = copy_of()
    folder = run / "steps/02-semdedup/scores"
    for file in [folder / "manifest.json", *folder.glob("part-*"), run / "report.json"]:
        file.unlink()
    stage = stage_of(status(str(run)), "02-semdedup/scores")
    assert (stage["measure"], stage["bins"], stage["share"]) == ("pairs", stage["bins_done"], 1.0)


def test_a_run_is_watched_while_another_thread_works_on_it(tmp_path, capsys):
    source = write_jsonl(tmp_path / "in", make_rows(60))
    options = {"id": "id", "vector": "embedding", "recipe": "semdedup", "text": "none", "threshold": "0.9"}
    prepare(build_recipe(inputs=[source], **options), str(tmp_path / "run"))
    worker = threading.Thread(target=curate, args=([source], str(tmp_path / "run")), kwargs=options)
    worker.start()
    code = main(["status", str(tmp_path / "run"), "--watch", "0.05", "--json"])
    worker.join()
    assert code == 0 and json.loads(capsys.readouterr().out)["state"] == "finished"


# How it ended ---------------------------------------------------------------------------------------------------------


def test_a_failed_run_says_why_and_its_exit_code_is_four(tmp_path, capsys):
    source = Path(write_jsonl(tmp_path / "in", make_rows(30)))
    (source / "shard-1.jsonl").write_text("not JSON\n" * 40)
    with pytest.raises(StageFailed, match="--max-reject-share"):
        run_d4(str(source), tmp_path / "run")
    found = status(str(tmp_path / "run"))
    assert (found["state"], found["launch"]["stage"]) == ("failed", "documents")
    assert "were rejected, more than --max-reject-share 0.01 allows" in found["launch"]["error"]
    assert main(["status", str(tmp_path / "run")]) == 4
    assert "last error: stage documents: 40 of" in capsys.readouterr().out


def test_a_target_that_cannot_be_reached_is_a_failure_and_a_reachable_one_ends_it(copy_of):
    run = copy_of()
    assert main(["status", str(run)]) == 0
    recipe = run / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("ratio: '0.75'", "ratio: '0.01'"))
    with pytest.raises(UnreachableTarget):
        run_stages(open_run(str(run)))
    assert main(["status", str(run)]) == 4
    recipe.write_text(text)
    assert main(["status", str(run)]) == 0


def test_a_run_that_is_not_finished_has_exit_code_three(copy_of):
    run = copy_of()
    unfinish(run, "decisions", left=1)
    assert main(["status", str(run)]) == 3


def test_a_stage_that_does_not_exist_is_no_failure_of_the_run(copy_of):
    run = copy_of()
    before = sorted((run / "launches").iterdir())
    assert main(["stage", "04-nothing/keep", "--run", str(run)]) == 2
    assert main(["stage", "decisions", "--run", str(run)]) == 0
    assert sorted((run / "launches").iterdir()) == before


def test_files_that_appear_after_a_failure_mean_that_a_job_goes_on(copy_of):
    run = copy_of()
    parts = unfinish(run, "decisions", left=1)
    record = sorted((run / "launches").glob("*.json"))[-1]
    launch = json.loads(record.read_text()) | {"outcome": "failed", "error": "lost"}
    record.write_text(json.dumps(launch))
    ended = datetime.fromisoformat(launch["ended"]).timestamp()
    for path in run.rglob("*"):
        os.utime(path, (ended - 60, ended - 60))
    assert status(str(run))["state"] == "failed"
    os.utime(run / "decisions" / parts[0]["name"], (ended + 60, ended + 60))
    assert status(str(run))["state"] == "under way"


# From anywhere --------------------------------------------------------------------------------------------------------


def test_a_run_in_a_store_is_read_without_its_inputs_or_model(finished):
    url = f"memory://status-{uuid.uuid4().hex}/run"
    fs = fsspec.filesystem("memory")
    fs.put(str(finished.url), url.removeprefix("memory:/"), recursive=True)
    recipe = f"{url}/recipe.yaml"
    text = fs.cat_file(recipe).decode()
    fs.pipe_file(recipe, text.replace(text.split("paths:\n  - ")[1].split("\n")[0], "/gone/from/here").encode())
    found, local = status(url), status(str(finished.url))
    assert found["state"] == "finished" and found["changed"] is not None
    for name in ("stage", "state", "units_done", "rows", "bytes"):
        assert [stage[name] for stage in found["stages"]] == [stage[name] for stage in local["stages"]]


@pytest.mark.parametrize("content", [b'{"key": "01', b"[]", b'{"key": "0123456789abc"}', b"\xff\xfe", b""])
def test_a_damaged_manifest_is_named_and_its_stage_is_not_finished(copy_of, content):
    run = copy_of()
    place = run / "steps/03-prototypes/scores/manifest.json"
    place.write_bytes(content)
    found = status(str(run))
    stage = stage_of(found, "03-prototypes/scores")
    assert stage["state"] == "under way" and "manifest.json cannot be read" in stage["problem"]
    assert "03-prototypes/scores: its manifest.json cannot be read" in shown(render(found))


def test_a_damaged_inventory_costs_the_share_and_nothing_else(copy_of):
    run = copy_of()
    unfinish(run, "documents", left=1)
    next((run / "inventory").glob("part-*")).write_bytes(b"PAR1 nonsense")
    stage = stage_of(status(str(run)), "documents")
    assert (stage["state"], stage["share"]) == ("under way", None)


def test_a_damaged_launch_record_is_left_out(copy_of):
    run = copy_of()
    (run / "launches" / "99999999T000000.000000-ffffff.json").write_text("{")
    assert len(read_launches(str(run))) == 1
    assert status(str(run))["launch"]["outcome"] == "finished"


def test_files_of_a_finished_stage_that_are_gone_or_cut_are_told_with_the_cure(copy_of):
    run = copy_of()
    folder = run / "steps/03-prototypes/scores"
    first, *_ = sorted(folder.glob("part-*"))
    first.unlink()
    found = status(str(run))
    assert stage_of(found, "03-prototypes/scores")["problem"] == (
        f"1 file missing, or of another size; `sluice check {run} --repair` removes what must be made again, the same "
        "command makes it"
    )
    assert [stage["stage"] for stage in found["stages"] if "problem" in stage] == ["03-prototypes/scores"]
