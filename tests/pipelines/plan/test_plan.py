"""`sluice plan`: what it says of a corpus is what a run of it then does, and what it prints can be run."""

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.pipelines.main import main
from sluice.pipelines.plan import sample as plan_sample
from sluice.pipelines.plan.plan import plan
from sluice.pipelines.plan.prices import read_prices
from sluice.pipelines.plan.rates import NOT_MEASURED, Rates, load_constants
from sluice.pipelines.plan.sample import copy_sample, corpus_bytes
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.status.status import status
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import read_unit
from sluice.transforms.records.records import Fields
from sluice.transforms.stages import memory
from tests.pipelines.corpora import make_rows, run_d4, write_jsonl

ENDS = {"low", "likely", "high"}
# What programs that read a plan hold on to.
NAMES = {"recipe", "input", "sample", "documents", "characters_per_document", "tokens_per_document", "tokens", "kept"}
NAMES |= {"embedding", "machine", "stages", "totals", "cost", "largest_clusters", "skew", "warnings"}
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
    """Within 3 % of its range, and likely at most 2.3 times what it is: that of a part with a few bytes is a guess."""
    on_disk = {stage["stage"]: stage["bytes"] for stage in status(run)["stages"]}
    for stage in planned["stages"]:
        if stage["stage"] in on_disk and stage["stage"] != "report":
            forecast, found = stage["stored_bytes"], on_disk[stage["stage"]]
            assert 0.97 * forecast["low"] <= found <= 1.03 * forecast["high"], stage["stage"]
            assert 0.8 <= forecast["likely"] / found <= 2.3, stage["stage"]
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


def test_more_machines_take_less_time_and_dearer_ones_cost_more(corpus, tmp_path):
    recipe = build_recipe(inputs=(corpus,), **OPTIONS_OF_RUN, unit_bytes=10_000)
    prices = read_prices()
    one, many = (plan(recipe, prices=prices, machine="n2-standard-8", workers=n) for n in (1, 3))
    seconds = [found["totals"]["seconds"]["likely"] for found in (one, many)]
    assert seconds[1] < seconds[0]
    assert one["machine"] == {**many["machine"], "workers": 1}
    assert one["cost"]["total"]["likely"] > 0 and one["cost"]["without_price"] == ["storage_gb_month"]
    assert one["totals"]["seconds"]["low"] > 90 * (len(one["stages"]) - 1)
    dearer = prices.model_copy(update={"prices": prices.prices.model_copy(update={"vcpu_hour": 5.6})})
    found = plan(recipe, prices=dearer, machine="n2-standard-8", workers=1)
    assert found["cost"]["machines"]["likely"] > 20 * one["cost"]["machines"]["likely"]


@pytest.mark.parametrize("dimension", [16, 384, 1024, 4096])
def test_rates_are_positive_for_every_kind_of_stage(dimension):
    rates = Rates(load_constants(), dimension)
    for kind in ("semdedup/scores", "prototypes/centroids", "density/clusters", "exact/copies", "decisions"):
        rate = rates.stage(kind)
        assert rate.seconds > 0 and rate.stored >= 0 and rate.shuffled >= 0 and rate.basis != NOT_MEASURED, kind
    assert rates.stage("new-step/odd-stage").basis == NOT_MEASURED
    assert 0.3 < rates.reached("assign") <= 1.2 and 0.3 < rates.reached("pairs") <= 1.2 and rates.skew >= 1


def test_every_step_but_references_was_measured():
    from sluice.pipelines.steps import find_steps

    rates = Rates(load_constants(), 384)
    for kind, step in find_steps().items():
        if kind not in ("reference", "contamination", "random", "cap", "balance"):
            for slot in step.model_construct().layout():
                assert slot.repeat or rates.stage(f"{kind}/{slot.folder}").basis != NOT_MEASURED, (kind, slot)


# Samples --------------------------------------------------------------------------------------------------------


def write_many(folder: Path, kind: str, documents: int = 3000, files: int = 6) -> None:
    """Files of very different sizes, of documents of very different lengths and no two alike."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = [
        {"id": str(n), "text": " ".join(map(str, rng.integers(0, 99_999, rng.geometric(0.05))))}
        for n in range(documents)
    ]
    bounds = [0, *sorted(rng.choice(np.arange(1, documents), files - 1, replace=False).tolist()), documents]
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        if kind in ("parquet", "one group"):
            table = pa.Table.from_pylist(rows[start:stop])
            group = 100 if kind == "parquet" else documents
            pq.write_table(table, folder / f"{number}.parquet", row_group_size=group)
            continue
        data = "".join(json.dumps(row) + "\n" for row in rows[start:stop]).encode()
        name = f"{number}.jsonl" + (".gz" if kind == "gzip" else "")
        (folder / name).write_bytes(gzip.compress(data) if kind == "gzip" else data)


@pytest.fixture
def small_pieces(monkeypatch):
    """Of 4 KB, so that a corpus of some hundred has more than a sample."""
    monkeypatch.setattr(plan_sample, "LEAST_BYTES", 4000)
    monkeypatch.setattr(plan_sample, "BYTES_EACH", 1)


@pytest.mark.parametrize("files", [1, 2, 6])
@pytest.mark.parametrize("kind", ["jsonl", "gzip", "parquet", "one group"])
def test_the_number_of_documents_is_told_from_pieces(kind, files, tmp_path, small_pieces):
    """Inside the range, however few files have most of the places; and none is taken for a copy of itself.

    Of gzip a piece loses its last block, up to a fifth of a small one.
    """
    write_many(tmp_path / "in", kind, files=files)
    (tmp_path / "recipe.yaml").write_text("steps: [{step: exact}]\n")
    recipe = build_recipe(recipe=str(tmp_path / "recipe.yaml"), inputs=(str(tmp_path / "in"),))
    found = plan(recipe, prices=read_prices(), sample=400)
    assert not found["sample"]["is_the_corpus"] and 0 < found["sample"]["documents"] < 2500
    low, likely, high = (found["documents"][end] for end in ("low", "likely", "high"))
    assert abs(likely - 3000) <= 0.2 * 3000 if kind == "gzip" else low <= 3000 <= high
    assert found["sample"]["rejected"] == 0 and found["kept"]["likely"] == likely
    if kind in ("jsonl", "parquet"):
        assert high - low <= 0.25 * 3000


def test_texts_of_very_different_sizes_are_counted_as_files(tmp_path, monkeypatch):
    """Large ones are met more often: 20 of 600 hold nearly all of the bytes."""
    (tmp_path / "in").mkdir()
    for number in range(600):
        (tmp_path / "in" / f"{number}.txt").write_text(f"{number} " * (10_000 if number % 30 == 0 else 50))
    recipe = build_recipe(recipe="random", inputs=str(tmp_path / "in"))
    size = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    found = plan(recipe, prices=read_prices(), sample=50)
    assert not found["sample"]["is_the_corpus"]
    assert found["documents"]["low"] <= 600 == found["documents"]["high"]
    assert found["characters_per_document"]["low"] <= size / 600 <= found["characters_per_document"]["high"]
    monkeypatch.setattr(plan_sample, "MOST_FILES", 600)
    assert plan(recipe, prices=read_prices())["documents"]["low"] == 600


def test_no_record_is_sampled_twice(tmp_path, small_pieces):
    for kind in ("jsonl", "gzip", "parquet", "one group"):
        write_many(tmp_path / kind, kind, files=2)
        sample = copy_sample(plan_units([str(tmp_path / kind)]), str(tmp_path), seed=0, records=400)
        ids = [
            one
            for piece in sample.pieces
            for window in read_unit(piece.unit, Fields(id="id"), on_unreadable="reject")
            for one in window.ids
        ]
        assert len(set(ids)) == len(ids) > 100, kind
        assert sum(piece.places for piece in sample.pieces) == pytest.approx(plan_sample.PIECES)


@pytest.mark.parametrize("damage", ["gzip", "parquet", "rows of parquet"])
def test_damaged_files_are_warned_of_where_they_stop_a_run(damage, tmp_path, small_pieces):
    write_many(tmp_path / "in", "gzip" if damage == "gzip" else "parquet", files=3)
    victim = max((tmp_path / "in").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    if damage == "parquet":
        data[-4:] = b"lost"
    else:
        data[200 : len(data) // 2] = bytes(len(data) // 2 - 200)
    victim.write_bytes(data)
    recipes = [
        build_recipe(inputs=(str(tmp_path / "in"),), recipe="random", unreadable=how) for how in ("fail", "reject")
    ]
    fails, rejects = (plan(recipe, prices=read_prices(), sample=400)["warnings"] for recipe in recipes)
    assert any(line.startswith(f"{victim} stops a run: unreadable: ") for line in fails)
    assert not any("stops a run:" in line for line in rejects)


def test_a_sample_is_the_same_again_bounded_and_of_whole_records(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_sample, "LEAST_BYTES", 2000)
    monkeypatch.setattr(plan_sample, "BYTES_EACH", 1)
    write_many(tmp_path / "in", "jsonl")
    units = plan_units([str(tmp_path / "in")])
    contents = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        sample = copy_sample(units, str(tmp_path / name), seed=seed, records=200)
        files = sorted((tmp_path / name).iterdir())
        contents.append([file.read_bytes() for file in files])
        assert len(sample.pieces) == plan_sample.PIECES and all(file.stat().st_size <= 2000 for file in files)
        assert all(json.loads(line)["id"] for data in contents[-1] for line in data.splitlines())
        assert sum(piece.stands_for for piece in sample.pieces) == sum(map(len, contents[-1]))
    assert contents[0] == contents[1] != contents[2]
    assert corpus_bytes(units) == sum(file.stat().st_size for file in (tmp_path / "in").iterdir())


def test_a_sample_of_parquet_is_compressed_and_encoded_as_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_sample, "LEAST_BYTES", 1000)
    monkeypatch.setattr(plan_sample, "BYTES_EACH", 1)
    (tmp_path / "in").mkdir()
    values = np.random.default_rng(0).random((3000, 8)).astype(np.float16)
    table = pa.table({"id": [f"{n % 7}" for n in range(3000)], "n": range(3000), "vector": list(values)})
    place = tmp_path / "in" / "a.parquet"
    how: dict[str, Any] = {"compression": {"id": "zstd", "n": "snappy", "vector.list.element": "none"}}
    how |= {"use_dictionary": ["id"], "column_encoding": {"n": "DELTA_BINARY_PACKED"}}
    pq.write_table(table, place, **how)
    sample = copy_sample(plan_units([str(place)]), str(tmp_path), seed=0, records=160)
    original = pq.ParquetFile(place).metadata.row_group(0)
    assert not sample.everything
    found = pq.ParquetFile(sample.pieces[0].unit.spans[0].path)
    copy = found.metadata.row_group(0)
    assert found.read().schema == table.schema and found.metadata.num_row_groups == 1
    for column in range(3):
        before, after = original.column(column), copy.column(column)
        assert (before.compression, set(before.encodings)) == (after.compression, set(after.encodings))


def test_a_model_is_timed_on_the_sample(tmp_path):
    rows = [{"id": str(n), "text": f"the {n} fox and the lazy dog " * (n % 7 + 1)} for n in range(80)]
    source = write_jsonl(tmp_path / "in", rows)
    model = str(Path(__file__).parents[2] / "data" / "bert")
    found = plan(build_recipe(inputs=(source,), model=model, clusters="4"), prices=read_prices(), sample=60)
    here = found["embedding"]["here"]
    assert here["documents_per_second"] > 0 and 3 <= here["tokens_per_document"] <= 256
    assert here["tokens_per_second"] == pytest.approx(here["documents_per_second"] * here["tokens_per_document"])
    assert found["tokens_per_document"]["low"] > 0 and here["operations_per_token"] > 0
    assert found["embedding"]["on_accelerator"] is None
    embeddings = next(stage for stage in found["stages"] if stage["stage"] == "embeddings")
    assert embeddings["basis"] == "sample" and embeddings["memory_bytes"] > memory.PROCESS + memory.MODEL_RUNTIME


def test_the_page_says_how_many_tokens_there_are_and_how_fast_an_accelerator_takes_them(tmp_path, capsys):
    rows = [{"id": str(n), "text": f"the {n} fox and the lazy dog " * (n % 7 + 1)} for n in range(80)]
    source = write_jsonl(tmp_path / "in", rows)
    model = str(Path(__file__).parents[2] / "data" / "bert")
    asked = ["plan", "--input", source, "--model", model, "--clusters", "4", "--machine", "g2-standard-8"]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    there, work = found["embedding"]["on_accelerator"], found["embedding"]["here"]
    assert set(there) == {"documents_per_second", "tokens_per_second"}
    for end in ENDS:
        assert there["tokens_per_second"][end] == pytest.approx(
            there["documents_per_second"][end] * work["tokens_per_document"]
        )
    # An L4 does at most 121e12 operations a second, of which a model reaches less than half.
    assert 0 < there["tokens_per_second"]["high"] < 0.5 * 121e12 / work["operations_per_token"]
    assert main(asked) == 0
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
    recipe = build_recipe(inputs=(str(source),), **OPTIONS_OF_RUN, unit_bytes=1 << 30)
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
    assert largest["split"] and largest["documents"]["likely"] >= 230 > largest["most_in_bin"]
    assert any("likely to be split" in line for line in found["warnings"])


# The command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--machine", "abacus"], "no machine 'abacus'"),
        (["--sample", "3"], "--sample is from 50"),
        (["--workers", "0"], "--workers is from 1"),
        (["--templates", "gs://b/t"], "--templates are for Dataflow"),
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


def test_the_page_names_every_stage_and_the_shipped_prices_can_be_printed(planned, corpus, capsys):
    given = [f"--{name}={value}" for name, value in OPTIONS_OF_RUN.items()]
    assert main(["plan", "--input", corpus, *given]) == 0
    page = capsys.readouterr().out
    assert "Documents: 600 (all were read; 0.00% of the records are bad)" in page and "To start it:" in page
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--print-prices"])
    assert stopped.value.code == 0 and "CHECK BEFORE QUOTING" in capsys.readouterr().out
