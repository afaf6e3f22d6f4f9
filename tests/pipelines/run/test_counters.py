"""What jobs count: exactly the names of the table, and the values that the manifests have."""

import json
import random
import re
from pathlib import Path

import apache_beam as beam
import pytest
import yaml

from sluice.pipelines.curate import curate, run_all
from sluice.pipelines.run.prepare import open_run
from sluice.transforms.clusters.members import load_array
from sluice.transforms.records import validation
from sluice.transforms.stages import counters
from tests.pipelines.corpora import artifact, make_rows, write_jsonl

ROOT = Path(__file__).parents[3]
MODEL = str(ROOT / "tests" / "data" / "bert")
WORDS = [word for word in (Path(MODEL) / "vocab.txt").read_text().split() if word.isalpha()]
BAD = ["not JSON", json.dumps({"id": "x"}), json.dumps({"id": "y", "text": "  "})]


def counted(report: dict) -> dict[str, dict]:
    """Stage -> what its job counted, of the last launch."""
    return {stage["stage"]: stage["counters"] for stage in report["launches"][-1]["stages"]}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> tuple[Path, dict]:
    """A D4 run that embeds texts with a tiny model and rejects three records, in several units; its report."""
    folder = tmp_path_factory.mktemp("embedded")
    rows = make_rows(90)
    for row in rows:
        # Equal texts stay equal up to case; the model's vocabulary is small.
        words = random.Random(" ".join(row["text"].casefold().split())).choices(WORDS, k=20)
        row["text"] = " ".join(words).upper() if row["text"].isupper() else " ".join(words)
    rows[-1]["text"] = "\u0e09\u0e31\u0e19 \u0e01\u0e34\u0e19"
    source = Path(write_jsonl(folder / "in", rows))
    with open(source / "shard-1.jsonl", "a") as file:
        file.write("\n".join(BAD) + "\n")
    options = {"id": "id", "model": MODEL, "max_tokens": 8, "max_reject_share": 0.1, "unit_bytes": 12_000}
    return folder / "run", curate([str(source)], str(folder / "run"), keep="0.5", clusters="4", **options)


@pytest.fixture(scope="module")
def again(embedded) -> dict:
    """The report of the same run to another target, after the bins and part of the units of a stage were lost."""
    run, _ = embedded
    scores = run / "steps/02-semdedup/scores"
    (scores / "manifest.json").unlink()
    next(scores.glob("part-00000-*")).unlink()
    (run / "embeddings/manifest.json").unlink()
    (run / "documents/manifest.json").unlink()
    return run_again(run)


def run_again(run: Path) -> dict:
    return run_all(open_run(str(run)))[0]


def test_statistics_of_parts_are_counted_as_the_manifests_have_them(embedded):
    run, report = embedded
    found = counted(report)
    assert found.keys() == report["artifacts"].keys()
    for stage, values in found.items():
        manifest = artifact(run, "corpus/_parts" if stage == "corpus" else stage_folder(stage)).manifest
        # Counters that were never moved from zero are not there.
        for name in counters.OF_PARTS:
            expected = manifest["totals"].get(name, 0)
            assert values.get(name, 0) == (expected if isinstance(expected, int) else 0), (stage, name)
        units = len(manifest["parts"])
        assert (values["units_written"], values.get("units_found", 0)) == (units, 0), stage
        assert values["unit_milliseconds"]["count"] == units, stage
        assert values["bytes_written"] == sum(part["bytes"] for part in manifest["parts"]), stage
        rows = manifest["totals"]["kept"] if stage == "corpus" else manifest["rows"]
        assert values["rows"] == rows, stage


def stage_folder(stage: str) -> str:
    return f"steps/{stage}" if "/" in stage else stage


def test_rejected_records_are_counted_by_reason(embedded):
    found = counted(embedded[1])["documents"]
    reasons = {name: value for name, value in found.items() if name.startswith("rejected")}
    assert reasons == {"rejected": 3, "rejected.not_json": 1, "rejected.no_text": 1, "rejected.empty": 1}


def test_pairs_are_those_of_the_clusters(embedded):
    run, report = embedded
    sizes = load_array(artifact(run, "steps/02-semdedup/clusters"), "statistics")[1].astype(int)
    found = counted(report)["02-semdedup/scores"]
    assert found["pairs"] == (sizes * (sizes - 1) // 2).sum() > 0
    assert found["bins_scored"] == found["bin_milliseconds"]["count"] == 1


def test_what_was_there_is_counted_as_found(again):
    found = counted(again)
    assert found["documents"]["rows_found"] == again["totals"]["documents"] and "rows" not in found["documents"]
    assert found["embeddings"]["units_found"] == again["totals"]["units"] and "units_written" not in found["embeddings"]
    scores = found["02-semdedup/scores"]
    assert (scores["units_written"], scores["units_found"]) == (1, again["totals"]["units"] - 1)
    assert scores["bins_found"] == 1 and "pairs" not in scores


def test_every_name_of_the_table_is_counted_and_no_other(embedded, again):
    reports = [embedded[1], again, with_other_survivors(embedded[0])]
    found = {name for report in reports for stage in counted(report).values() for name in stage}
    assert found <= counters.COUNTERS.keys() | counters.DISTRIBUTIONS.keys()
    reasons = {counters.reason_counter(template) for template in counters.REASONS}
    assert found >= (counters.COUNTERS.keys() | counters.DISTRIBUTIONS.keys()) - reasons - {counters.WITHOUT_VECTOR}


def with_other_survivors(run: Path) -> dict:
    """The report of the run with another one of equal texts kept, so that the model embeds only some documents."""
    place = run / "recipe.yaml"
    recipe = yaml.safe_load(place.read_text())
    recipe["steps"][0]["order"] = {"column": "quality"}
    place.write_text(yaml.safe_dump(recipe))
    return run_again(run)


def test_every_reason_of_rejection_has_a_name_of_its_own():
    templates = {value for name, value in vars(validation).items() if name.isupper() and isinstance(value, str)}
    assert templates == set(counters.REASONS)
    names = [counters.reason_counter(template.format("3", "4")) for template in counters.REASONS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"rejected\.[a-z0-9_]+", name) and name in counters.COUNTERS for name in names)


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("vector has 3 numbers, expected 4", "rejected.vector_has_numbers"),
        ("vector has type string", "rejected.vector_has_type"),
        ("unreadable: zstd said\nno", "rejected.unreadable"),
        ("HTTP status 404", "rejected.http_status"),
        ("the model computes no finite vector for it", "without_vector"),
    ],
)
def test_numbers_and_types_in_a_reason_are_no_part_of_its_name(reason, name):
    assert counters.reason_counter(reason) == name


def test_a_name_that_is_not_in_the_table_is_refused():
    with pytest.raises(AssertionError):
        counters.add("units_writen")


def test_a_runner_without_metrics_tells_nothing():
    class Silent:
        def metrics(self):
            raise NotImplementedError

    assert counters.query(Silent()) == {}


def test_distributions_of_several_steps_are_joined():
    def observe(seconds: float) -> float:
        counters.observe("unit_milliseconds", seconds)
        counters.add("rows", 2)
        return seconds

    pipeline = beam.Pipeline(runner="FnApiRunner")
    pipeline | beam.Create([0.1, 0.3]) | "One" >> beam.Map(observe) | beam.Reshuffle() | "Two" >> beam.Map(observe)
    found = counters.query(pipeline.run())
    assert found == {"rows": 8, "unit_milliseconds": {"count": 4, "sum": 800, "min": 100, "max": 300}}


def test_the_document_lists_the_table():
    text = (ROOT / "docs" / "observability.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z_.0-9]+)` \| (.+) \|$", text, re.MULTILINE))
    assert listed == counters.COUNTERS | counters.DISTRIBUTIONS
