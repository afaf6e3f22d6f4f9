"""What the scale and skew benchmarks count and compute is right, at sizes of a second."""

import json
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from tests.benchmarks.test_benchmarks import FOLDER, benchmark_module

__all__ = ["benchmark_module"]


# Corpora --------------------------------------------------------------------------------------------------------


def test_the_same_arguments_write_the_same_bytes(benchmark_module, tmp_path):
    for name in ("one", "other"):
        command = [sys.executable, str(FOLDER / "corpora.py"), str(tmp_path / name), "--template"]
        command += ["--documents", "3000", "--dimension", "8", "--type", "float16", "--files", "2", "--seed", "5"]
        subprocess.run(command, check=True)
    files = [sorted((tmp_path / name).iterdir()) for name in ("one", "other")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]] and len(files[0]) == 2
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_a_template_makes_near_copies_and_equal_ones_of_one_source(benchmark_module, tmp_path):
    import pyarrow.parquet as pq

    corpora = benchmark_module("corpora")
    corpus = corpora.Vectors(4000, 32, 10, **corpora.TEMPLATED)
    corpora.write_vectors(tmp_path, corpus, files=1, type="float16", sources=True)
    table = pq.read_table(tmp_path)
    assert table.schema.field("embedding").type.value_type == "halffloat"
    hot = np.array(table["source"].to_pylist()) == corpora.TEMPLATE
    assert 0.57 < hot.mean() < 0.63
    found = corpora.load(tmp_path)[hot]
    distinct, counts = np.unique(found, axis=0, return_counts=True)
    template = distinct[counts.argmax()]
    assert 0.07 < counts.max() / len(found) < 0.13
    # All the others differ, and lie between the cosines promised.
    assert (np.sort(counts)[:-1] == 1).all()
    cosines = np.sort(distinct @ template / np.linalg.norm(distinct, axis=1) / np.linalg.norm(template))[:-1]
    assert 0.945 < cosines[0] < 0.955 and 0.985 < cosines[-1] < 0.995
    others = set(table["source"].to_pylist()) - {corpora.TEMPLATE}
    assert others == set(corpora.SOURCES)


def test_impossible_templates_and_types_are_refused(benchmark_module, tmp_path):
    corpora = benchmark_module("corpora")
    for wrong in ({"hot_spread": 1.0}, {"hot_equal": 1.5}):
        with pytest.raises(ValueError):
            corpora.Vectors(5, **wrong)
    with pytest.raises(ValueError, match="float64"):
        corpora.write_vectors(tmp_path, corpora.Vectors(5, 4, 2), type="float64")


# Counting -------------------------------------------------------------------------------------------------------


def test_bytes_through_a_shuffle_are_counted_by_key(benchmark_module):
    counting = benchmark_module("counting")
    sent = [(1, b"x" * 1000)] * 3 + [(2, b"y" * 10)] * 5
    with counting.counted() as counts, beam.Pipeline(runner="FnApiRunner") as pipeline:
        pairs = pipeline | beam.Create(sent, reshuffle=False).with_output_types(tuple[int, bytes])
        grouped = pairs | "Group" >> beam.GroupByKey() | beam.MapTuple(lambda key, values: (key, len(list(values))))
        assert_that(grouped, equal_to([(1, 3), (2, 5)]))
        summed = pairs | beam.MapTuple(lambda key, value: (key, len(value))) | "Sum" >> beam.CombinePerKey(sum)
        assert_that(summed, equal_to([(1, 3000), (2, 50)]), label="sums")
    found = counts.shuffled["Group"]
    assert (found["elements"], found["keys"]) == (8, 2)
    # A few bytes of key, window and length come with each value.
    assert 3000 < found["largest_key"] < 3100 and 3050 < found["bytes"] < 3300
    # What a combiner adds up before the shuffle does not cross it.
    assert next(one for name, one in counts.shuffled.items() if name.startswith("Sum"))["elements"] == 2


def test_products_are_counted_and_put_back(benchmark_module):
    counting = benchmark_module("counting")
    from sluice.models.clustering import assign, kmeans
    from sluice.models.methods import semdedup

    before = assign.nearest, kmeans.nearest, kmeans.train, semdedup.score
    points = np.random.default_rng(0).integers(-900, 900, (500, 16)).astype(np.float32)
    with counting.counted() as counts:
        centroids = kmeans.train(points, 7).centroids
        assign.ExactAssigner(centroids)(points)
        semdedup.score(points[:60], rule="official", threshold=None)
    assert (assign.nearest, kmeans.nearest, kmeans.train, semdedup.score) == before
    assert counts.products["assign"].flops == 2 * 500 * 7 * 16
    assert counts.products["pairs"].flops == 16 * 60 * 59
    assert counts.products["train"].flops % (2 * 7 * 16) == 0 and counts.products["train"].flops > 0
    assert counts.products["training"].core_seconds >= counts.products["train"].core_seconds


# Scale ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(benchmark_module, tmp_path) -> list[dict]:
    """All stages of one small case, as scale.py writes them, in this process."""
    scale = benchmark_module("scale")
    case = {"documents": 600, "dimension": 8, "clusters": 6, "template": True}
    scale.make(str(tmp_path / "corpus"), template=True, documents=600, dimension=8)
    records = []
    while found := scale.next_stage(str(tmp_path / "corpus"), str(tmp_path / "run"), 6):
        records.append({"kind": "stage", **case, **found, "peak_mb": 100.0})
    (tmp_path / "stored").write_text(str(scale.stored(str(tmp_path / "run"))))
    return records


def test_every_stage_is_measured_once_and_tabled(benchmark_module, measured, tmp_path):
    tables = benchmark_module("scale_tables")
    names = [record["stage"] for record in measured]
    assert names[:3] == ["inventory", "documents", "embeddings"] and names[-2:] == ["corpus", "report"]
    assert len(set(names)) == len(names) == 15
    assert sum(record["stored_bytes"] for record in measured) >= int((tmp_path / "stored").read_text()) - 2000
    by_name = {record["stage"]: record for record in measured}
    assert by_name["01-semdedup/scores"]["shuffled_bytes"] > 20 * 100
    assert by_name["01-semdedup/clusters"]["products"]["assign"]["flops"] == 2 * 600 * 6 * 8
    gemm = {"kind": "gemm", "dimension": 8, "rate": 1e9, "machine": "here"}
    page = tables.everything([gemm, *measured])
    assert "### 600 documents x 8, K = 6, one template as 60 %" in page
    assert all(f"| {name} " in page for name in names)
    larger = [record | {"documents": 2400, "core_seconds": 5 * record["core_seconds"] + 5} for record in measured]
    page = tables.everything([gemm, *measured, *larger])
    assert "From 600 to 2,400 x 8, fixed" in page and "NOT held" in page


def test_a_torn_line_of_results_loses_only_itself(benchmark_module, tmp_path):
    scale = benchmark_module("scale")
    results = tmp_path / "results.jsonl"
    assert scale.read_results(results) == []
    for seconds in (1, 2):
        scale.append(results, {"kind": "stage", "stage": "documents", "documents": 5, "seconds": seconds})
    with results.open("a") as file:
        file.write('{"kind": "stage", "stage": "embed')
    assert [record["seconds"] for record in scale.read_results(results)] == [2]


def test_projections_follow_the_number_of_operations(benchmark_module, measured, tmp_path):
    costs, tables = benchmark_module("costs"), benchmark_module("scale_tables")
    constants = costs.constants_of(measured, 1e9)
    same = costs.project(constants, 600, 6)
    for record in measured:
        assert same[record["stage"]]["core_seconds"] == pytest.approx(record["core_seconds"], rel=1e-6)
        assert same[record["stage"]]["stored_bytes"] == record["stored_bytes"]
    grown = costs.project(constants, 2400, 12)
    assert grown["decisions"]["core_seconds"] == pytest.approx(4 * same["decisions"]["core_seconds"])
    assert grown["01-semdedup/clusters"]["flops"] == 8 * same["01-semdedup/clusters"]["flops"]
    assert grown["01-semdedup/scores"]["flops"] == 8 * same["01-semdedup/scores"]["flops"]
    path = tmp_path / "constants.json"
    costs.save_constants(constants, "a machine", path)
    costs.save_constants(constants | {"dimension": 16}, "another", path)
    loaded = costs.load_constants(path)
    assert set(loaded) == {8, 16} and loaded[8]["stages"] == json.loads(json.dumps(constants["stages"]))
    page = tables.projections(loaded)
    assert "1e+11 documents, K = 100,000" in page and "on another" in page
    assert costs.load_constants(tmp_path / "none.json") == {}


def test_what_is_read_by_bins_adds_up(benchmark_module):
    costs = benchmark_module("costs")
    from sluice.transforms.clusters import assign as clusters

    assert costs.record_bytes(384) == clusters.record_dtype(384).itemsize and costs.RUN_BYTES == clusters.RUN_BYTES
    found = costs.exchange(10**9, 31_623, 384)
    units = costs.units_of(10**9, 384)
    assert found["bins"] == pytest.approx(10**9 * 788 / (256 << 20), rel=1e-3) and units == 5723
    # Three sorted runs a unit of 131 MB, and one read of offsets.
    assert found["reads"] == found["bins"] * units * (3 + 1)
    assert found["bytes"] * found["bins"] * units * 3 == pytest.approx(788e9)


def test_tables_are_put_between_the_markers_of_a_page(benchmark_module, tmp_path, capsys):
    measure = benchmark_module("measure")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- end of measured -->\nafter\n")
    for text in ("new", "newer"):
        measure.fill(page, measured=text, projected=None)
    assert page.read_text() == "before\n<!-- measured -->\nnewer\n<!-- end of measured -->\nafter\n"
    measure.fill(None, measured="shown")
    assert capsys.readouterr().out == "shown\n"
    with pytest.raises(ValueError, match="end of projected"):
        measure.fill(page, projected="text")
    markers = (FOLDER.parent / "docs/scale.md").read_text()
    assert all(
        markers.count(f"<!-- {part}{name} -->") == 1 for part in ("", "end of ") for name in ("measured", "projected")
    )


def test_growth_of_each_kind_of_product_is_its_formula(benchmark_module):
    costs = benchmark_module("costs")
    before, after = (1_000_000, 1000), (4_000_000, 2000)
    grown = {kind: costs.product_growth(kind, before, after, 384) for kind in ("assign", "pairs", "train", "training")}
    assert grown == {"assign": 8, "pairs": 8, "train": 4, "training": 2}
    # The sample is limited, so training stops growing with its square.
    assert costs.product_growth("train", (10**8, 10_000), (4 * 10**8, 20_000), 384) == 2
    # So are clusters, by splitting: at 1e11 documents and 100,000 clusters a million would be in each.
    assert costs.mean_cluster(10**11, 100_000, 384) == pytest.approx((256 << 20) / 788 / 2)
    from sluice.models.clustering import kmeans

    for documents in (1, 10**6, 10**12):
        assert costs.clusters_for(documents) == kmeans.choose_k(documents)


def test_every_size_runs_with_k_fixed_and_with_its_square_root(benchmark_module):
    import argparse

    scale = benchmark_module("scale")
    options = argparse.Namespace(documents=[1_000_000, 4_000_000], dimension=[384, 768], clusters=None, template=False)
    planned = [(one["documents"], one["dimension"], one["clusters"]) for one in scale.cases(options)]
    assert planned == [
        (1_000_000, 384, 1000),
        (4_000_000, 384, 1000),
        (4_000_000, 384, 2000),
        (1_000_000, 768, 1000),
    ]
    # The vectors are there as given, as embeddings, sorted by cluster, and half of them copied out.
    assert 3.5 * 2 * 4e6 * 384 < scale.disk_needed(scale.cases(options)[2]) < 20e9


# Skew and limits ------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_definition_until_clusters_are_split(benchmark_module, tmp_path):
    skew = benchmark_module("skew")
    path, run, found = str(tmp_path / "corpus"), str(tmp_path / "run"), str(tmp_path / "scores.npy")
    skew.make(path, documents=1500, dimension=8, clusters=20)
    whole = skew.curate(path, run, 4, 1 << 40, found)
    skew.define(run, str(tmp_path / "defined.npz"))
    defined = np.load(tmp_path / "defined.npz")
    compared = skew.compare(np.load(found), defined["scores"], defined["tie"])
    assert whole["split"]["clusters"] == 0 and compared["differ"] == 0
    assert compared["threshold"]["agreement"] == compared["ratio"]["agreement"] == (1, 1)
    assert compared["threshold"]["removed"] == [whole["removed"]] * 2
    bound = whole["largest_cluster"] // 3
    split = skew.curate(path, run, 4, bound, found)
    assert split["split"]["clusters"] > 0 and split["largest_cluster"] <= split["largest_bin"] <= bound
    compared = skew.compare(np.load(found), defined["scores"], defined["tie"])
    assert 0 < compared["differ"] < 1 and compared["threshold"]["removed"][0] == split["removed"]


def test_agreement_of_removals_is_precision_and_recall(benchmark_module):
    skew = benchmark_module("skew")
    ours, theirs = np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 1], bool)
    assert skew.agreement(ours, theirs) == (2 / 3, 2 / 4)
    assert skew.agreement(ours & False, theirs) == (1.0, 0.0)
    scores, tie = np.array([5, 9, 9, 1]), np.array([0, 2, 1, 0])
    assert skew.removed(scores, tie, limit=5).tolist() == [False, True, True, False]
    assert skew.removed(scores, tie, keep=0.75).tolist() == [False, True, False, False]


def test_manifests_and_lists_of_many_units_are_measured(benchmark_module, tmp_path):
    limits = benchmark_module("limits")
    wrote = limits.write_manifest(str(tmp_path / "artifact"), 300)
    assert wrote["bytes"] == Path(tmp_path / "artifact/manifest.json").stat().st_size > 300 * 200
    assert limits.read_manifest(str(tmp_path / "artifact"))["seconds"] > 0
    assert limits.list_units(50)["mb"] >= 0
    assert limits.list_files(str(tmp_path / "files"), 1200)["units"] == 12
