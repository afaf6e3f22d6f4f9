"""`sluice plan`: what it says of a corpus is what a run of it then does."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.models.forecast.ranges import Range
from sluice.pipelines.curate import run_recipe
from sluice.pipelines.main import main
from sluice.pipelines.plan import sample as plan_sample
from sluice.pipelines.plan.cost import make_fleets
from sluice.pipelines.plan.forecast import ANOTHER, NOT_MEASURED, Work
from sluice.pipelines.plan.page import render
from sluice.pipelines.plan.plan import plan
from sluice.pipelines.plan.prices import read_prices
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.status.status import status
from sluice.pipelines.terminal.printing import emit
from sluice.transforms.stages import memory
from tests.pipelines.corpora import make_rows, run_d4, write_jsonl

ENDS = {"low", "likely", "high"}
# What programs that read a plan hold on to.
NAMES = {"recipe", "input", "sample", "documents", "characters_per_document", "tokens_per_document", "tokens", "kept"}
NAMES |= {"embedding", "machine", "stages", "totals", "cost", "largest_clusters", "warnings"}
NAMES_OF_STAGES = {"stage", "basis", "machine", "workers", "tasks", "core_seconds", "seconds", "memory_bytes"}
NAMES_OF_STAGES |= {"shuffled_bytes", "stored_bytes", "cost"}
NAMES_OF_COST = {"currency", "date", "source", "machines", "shuffle", "storage_for_a_month", "total", "without_price"}
OPTIONS_OF_RUN = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "clusters": "6", "keep": "0.5"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("plan") / "in", make_rows(600), files=4)


@pytest.fixture(scope="module")
def planned(corpus) -> dict[str, Any]:
    return plan(build_recipe(inputs=(corpus,), **OPTIONS_OF_RUN), prices=read_prices())


def ranges(value: Any, path: str = "") -> dict[str, dict[str, float]]:
    """Every {low, likely, high} in a plan, by its place."""
    if isinstance(value, dict) and value.keys() == ENDS:
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {place: one for name, item in items for place, one in ranges(item, f"{path}.{name}").items()}


# Forecast and run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory) -> str:
    url = str(tmp_path_factory.mktemp("plan") / "run")
    run_d4(corpus, url)
    return url


def test_every_stage_of_the_run_has_its_row_in_order(planned, run):
    ran = [stage["stage"] for stage in status(run)["stages"]]
    assert [stage["stage"] for stage in planned["stages"] if stage["stage"] != "report"] == [
        name for name in ran if name != "report"
    ]


def test_documents_and_what_is_kept_are_those_of_the_run_where_all_were_read(planned, run):
    totals = json.loads((Path(run) / "report.json").read_text())["totals"]
    assert planned["sample"]["is_the_corpus"]
    assert planned["documents"] == dict.fromkeys(ENDS, totals["documents"])
    assert planned["kept"]["low"] <= totals["kept"] <= planned["kept"]["high"]


def test_memory_is_what_the_stages_ask_for(planned, run):
    """The sample and K follow from how many are alive, which d4 knows to within what `exact` removes."""
    stated = {
        stage.name: stage.transform.worker_memory
        for stage in open_run(run).stages()
        if hasattr(type(stage.transform), "worker_memory")
    }
    assert {"embeddings", "02-semdedup/centroids", "02-semdedup/clusters", "02-semdedup/scores"} <= stated.keys()
    for stage in planned["stages"]:
        assert stage["memory_bytes"] == pytest.approx(stated.get(stage["stage"], memory.PROCESS), rel=0.001), stage


def test_stored_bytes_of_every_stage_are_within_the_forecast(planned, run):
    """Or a fifth below it, as the trial has other clusters; parts of a few bytes are guesses."""
    on_disk = {stage["stage"]: stage["bytes"] for stage in status(run)["stages"]}
    for stage in planned["stages"]:
        if stage["stage"] in on_disk and stage["stage"] != "report":
            forecast, found = stage["stored_bytes"], on_disk[stage["stage"]]
            assert 0.8 * forecast["low"] <= found <= 1.03 * forecast["high"], stage["stage"]
            assert 0.8 <= forecast["likely"] / found <= 2.5, stage["stage"]
    total = planned["totals"]["stored_bytes"]
    assert total["low"] <= status(run)["bytes"] <= total["high"]


# Arithmetic -----------------------------------------------------------------------------------------------------


def test_all_ranges_are_in_order_and_totals_are_sums(planned):
    found = ranges(planned)
    assert len(found) > 100
    for place, one in found.items():
        assert 0 <= one["low"] <= one["likely"] <= one["high"] < float("inf"), place
    for name in ("core_seconds", "seconds", "shuffled_bytes", "stored_bytes", "cost"):
        for end in ENDS:
            sums = sum(stage[name][end] for stage in planned["stages"])
            assert planned["totals"][name][end] == pytest.approx(sums), name
    assert planned["totals"]["memory_bytes"] == max(stage["memory_bytes"] for stage in planned["stages"])
    cost = planned["cost"]
    for end in ENDS:
        assert cost["total"][end] == pytest.approx(cost["machines"][end] + cost["shuffle"][end])
        assert cost["total"][end] == pytest.approx(planned["totals"]["cost"][end])


def test_the_json_has_these_names_and_no_others(planned):
    assert set(planned) == NAMES
    assert all(set(stage) == NAMES_OF_STAGES for stage in planned["stages"])
    assert set(planned["cost"]) == NAMES_OF_COST
    assert set(planned["embedding"]) == {"model", "dimension", "here", "on_accelerator"}
    assert set(planned["largest_clusters"][0]) == {"step", "clusters", "documents", "most_in_bin", "split"}
    assert json.loads(json.dumps(planned, allow_nan=False)) == planned


def test_more_machines_take_less_time_and_dearer_ones_cost_more():
    prices = read_prices()
    machine = prices.machine("n2-standard-8")
    # Eight processes a machine; 24 pieces of work, of 100 seconds each.
    work = Work("documents", 24, "sample", seconds=Range.exactly(2400))
    one, many = (make_fleets(prices, "n2-standard-8", machine, workers)[1].cost(work) for workers in (1, 3))
    start = machine.start.likely
    speed = machine.speed
    assert one.seconds.likely == pytest.approx(300 / speed + start)
    assert many.seconds.likely == pytest.approx(100 / speed + start)
    assert one.core_seconds == many.core_seconds and many.workers == 3
    hour, _ = prices.hour(machine)
    assert many.cost.likely == pytest.approx(3 * many.seconds.likely * hour / 3600)
    dearer = prices.model_copy(update={"prices": prices.prices.model_copy(update={"vcpu_hour": 5.6})})
    assert make_fleets(dearer, "n2-standard-8", machine, 1)[1].cost(work).cost.likely > 20 * one.cost.likely


# Trials ---------------------------------------------------------------------------------------------------------


def steps_recipe(tmp_path: Path, place: str, steps: list[dict[str, Any]], **options: Any) -> Any:
    (tmp_path / "recipe.yaml").write_text(json.dumps({"steps": steps}))
    return build_recipe(recipe=str(tmp_path / "recipe.yaml"), inputs=(place,), id="id", **options)


def test_a_part_of_the_corpus_tells_what_all_of_it_leaves_behind(tmp_path, monkeypatch):
    """Of 6,000 documents a trial sees a tenth, and the stages of a tenth of these."""
    monkeypatch.setattr(plan_sample, "LEAST_BYTES", 20_000)
    monkeypatch.setattr(plan_sample, "BYTES_EACH", 1)
    source = write_jsonl(tmp_path / "in", make_rows(6000, dimension=16), files=2)
    steps = [
        {"step": "length", "by": "characters", "cut": {"ratio": 0.8}},
        {"step": "prototypes", "cut": {"ratio": 0.4}},
    ]
    recipe = steps_recipe(tmp_path, source, steps, vector="embedding")
    found = plan(recipe, prices=read_prices(), sample=600)
    assert not found["sample"]["is_the_corpus"] and found["sample"]["documents"] < 2000
    run_recipe(recipe, str(tmp_path / "run"))
    on_disk = {stage["stage"]: stage["bytes"] for stage in status(str(tmp_path / "run"))["stages"]}
    assert found["kept"]["likely"] == pytest.approx(2400, rel=0.1)
    for stage in found["stages"][:-2]:
        # Small parts are compressed otherwise than large ones.
        assert 0.3 <= on_disk[stage["stage"]] / stage["stored_bytes"]["likely"] <= 2.5, stage["stage"]
        assert stage["basis"] == "sample", stage["stage"]


def test_a_step_that_reads_another_run_is_guessed_from_others(corpus, run, tmp_path):
    """That run may be of any size, so nothing of it is read."""
    steps = [
        {"step": "reference", "runs": [run], "cut": {"threshold": 0.95}},
        {"step": "random", "cut": {"ratio": 0.3}},
    ]
    found = plan(steps_recipe(tmp_path, corpus, steps, vector="embedding"), prices=read_prices())
    bases = {stage["stage"]: stage["basis"] for stage in found["stages"]}
    assert bases["01-reference/clusters"] == bases["01-reference/keep"] == ANOTHER
    assert bases["01-reference/scores"] == bases["01-reference/run-1/clusters"] == NOT_MEASURED
    assert bases["02-random/scores"] == "sample"
    assert any("nothing was measured of " in line and "01-reference/scores" in line for line in found["warnings"])


def test_a_recipe_that_cannot_be_tried_to_its_end_is_planned_with_a_warning(corpus, tmp_path):
    steps = [{"step": "random", "protect": ["web", "books", "code"], "cut": {"ratio": 0.3}}]
    found = plan(steps_recipe(tmp_path, corpus, steps, source="source"), prices=read_prices())
    assert any("could not be tried to its end: step 01-random cannot go down to" in line for line in found["warnings"])
    assert [stage["stage"] for stage in found["stages"]][-4:] == ["01-random/keep", "decisions", "corpus", "report"]


def test_a_model_is_timed_on_the_sample_and_told_for_an_accelerator(tmp_path, capsys):
    rows = [{"id": str(n), "text": f"the {n} fox and the lazy dog " * (n % 7 + 1)} for n in range(80)]
    source = write_jsonl(tmp_path / "in", rows)
    model = str(Path(__file__).parents[2] / "data" / "bert")
    asked = ["plan", "--input", source, "--model", model, "--recipe", "prototypes", "--machine", "g2-standard-8"]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    embeddings = next(stage for stage in found["stages"] if stage["stage"] == "embeddings")
    assert embeddings["basis"] == "sample" and embeddings["memory_bytes"] > memory.PROCESS + memory.MODEL_RUNTIME
    there, work = found["embedding"]["on_accelerator"], found["embedding"]["here"]
    assert work["documents_per_second"] > 0 and 3 <= work["tokens_per_document"] <= 256
    assert found["tokens_per_document"]["low"] > 0
    assert set(there) == {"documents_per_second", "tokens_per_second"}
    for end in ENDS:
        assert there["tokens_per_second"][end] == pytest.approx(
            there["documents_per_second"][end] * work["tokens_per_document"]
        )
    # An L4 does at most 121e12 operations a second, of which a model reaches less than half.
    assert 0 < there["tokens_per_second"]["high"] < 0.5 * 121e12 / work["operations_per_token"]
    emit(found, render(found), as_json=False)
    page = " ".join(capsys.readouterr().out.split())
    assert "Tokens in all: " in page and "Embedding on one g2-standard-8: " in page
    assert "Left out, because only the data decide about them: " not in page


# Warnings -------------------------------------------------------------------------------------------------------


def test_bad_records_uneven_files_and_small_machines_are_warned_of(tmp_path):
    rows = make_rows(300)
    source = Path(write_jsonl(tmp_path / "in", rows, files=2))
    (source / "zz.jsonl.gz").write_bytes(gzip.compress(("not json\n" * 9 + json.dumps(rows[0]) + "\n").encode()) * 50)
    prices = read_prices()
    small = prices.machines["laptop"].model_copy(update={"memory_gb": 2.0})
    prices = prices.model_copy(update={"machines": prices.machines | {"small": small}})
    options = OPTIONS_OF_RUN | {"recipe": "semdedup", "text": "none"}
    recipe = build_recipe(inputs=(str(source),), **options, unit_bytes=1 << 30)
    found = plan(recipe, prices=prices, machine="small", workers=4)
    text = "\n".join(found["warnings"])
    assert "of the sample's records are bad (most often: not JSON)" in text
    assert "one unit is" in text and "embeddings needs 2.1 GB a worker, small has 2.0 GB" in text


def test_a_hot_template_is_seen_and_said_to_be_split(tmp_path):
    rng = np.random.default_rng(0)
    rows = make_rows(400, dimension=16)
    hot = rng.normal(size=16)
    for row in rows[:240]:
        row["embedding"] = (hot + 0.02 * rng.normal(size=16)).tolist()
    source = write_jsonl(tmp_path / "in", rows)
    (tmp_path / "recipe.yaml").write_text("steps:\n- {step: semdedup, bin_bytes: 8000, cut: {ratio: 0.5}}\n")
    recipe = build_recipe(recipe=str(tmp_path / "recipe.yaml"), inputs=(source,), id="id", vector="embedding")
    found = plan(recipe, prices=read_prices())
    (largest,) = found["largest_clusters"]
    assert largest["split"] and largest["documents"]["likely"] >= 200 > largest["most_in_bin"]
    assert any("likely to be split" in line for line in found["warnings"])


def test_a_handful_of_bad_records_is_no_reason_to_warn_as_it_stops_no_run(tmp_path):
    """Eight of 108 are more than a share of 0.01, and `curate` allows ten in any corpus."""
    source = Path(write_jsonl(tmp_path / "in", make_rows(100)))
    (source / "bad.jsonl").write_text("not json\n" * 8)
    warned = {}
    for name, options in (("default", {}), ("strict", {"max_reject_share": 0.02})):
        found = plan(build_recipe(recipe="random", inputs=(str(source),), **options), prices=read_prices())
        warned[name] = any("sample's records are bad" in line for line in found["warnings"])
    assert warned == {"default": False, "strict": True}


# The command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--machine", "abacus"], "no machine 'abacus'"),
        (["--sample", "3"], "--sample is from 50"),
        (["--workers", "0"], "--workers is from 1"),
        (["--prices", "/nowhere/prices.yaml"], "/nowhere/prices.yaml"),
        (["--frobnicate"], "unknown option --frobnicate"),
        (["--keep", "2"], "--keep is a share"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(arguments, complaint, corpus, capsys):
    assert main(["plan", "--input", corpus, *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_corpus_without_documents_is_refused(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text("nothing\n" * 100)
    assert main(["plan", "--input", str(tmp_path), "--recipe", "random"]) == 2
    assert "none can be used (most often: not JSON, 100 times)" in capsys.readouterr().err
    (tmp_path / "in.jsonl").unlink()
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(b"nothing")[:10] + b"\xff" * 100)
    asked = ["plan", "--input", str(tmp_path), "--recipe", "random", "--unreadable", "reject"]
    assert main(asked) == 2
    assert "no document that can be used (1 x unreadable: corrupt gzip data" in capsys.readouterr().err


def test_the_page_names_every_stage_and_the_shipped_prices_can_be_printed(corpus, capsys):
    assert main(["plan", "--input", corpus, "--recipe", "random"]) == 0
    page = capsys.readouterr().out
    assert "Documents: 600 (all were read; 0.00% of the records are bad)" in page and "To start it:" in page
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--print-prices"])
    assert stopped.value.code == 0 and "CHECK BEFORE QUOTING" in capsys.readouterr().out
