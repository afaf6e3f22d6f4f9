"""What the benchmarks of scale count is right, and grows by its formula."""

import json

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from benchmarks.scale import costs, counting, stages, tables
from sluice.models.clustering import assign, kmeans
from sluice.models.methods import semdedup


def test_bytes_through_a_shuffle_are_counted_by_key():
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


def test_products_are_counted_and_put_back():
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


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> list[dict]:
    """All stages of one small case, as the benchmark writes them."""
    folder = tmp_path_factory.mktemp("scale")
    case = {"documents": 600, "dimension": 8, "clusters": 6, "template": True}
    stages.make(str(folder / "corpus"), template=True, documents=600, dimension=8)
    records = []
    while found := stages.next_stage(str(folder / "corpus"), str(folder / "run"), 6):
        records.append({"kind": "stage", **case, **found, "peak_mb": 100.0})
    return records


def test_every_stage_is_measured_once_and_tabled(measured):
    names = [record["stage"] for record in measured]
    assert names[:3] == ["inventory", "documents", "embeddings"] and names[-2:] == ["corpus", "report"]
    assert len(set(names)) == len(names) == 15
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


def test_projections_follow_the_number_of_operations(measured, tmp_path):
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


def test_growth_of_each_kind_of_product_is_its_formula():
    before, after = (1_000_000, 1000), (4_000_000, 2000)
    grown = {kind: costs.product_growth(kind, before, after, 384) for kind in ("assign", "pairs", "train", "training")}
    assert grown == {"assign": 8, "pairs": 8, "train": 4, "training": 2}
    # The sample is limited, so training stops growing with its square.
    assert costs.product_growth("train", (10**8, 10_000), (4 * 10**8, 20_000), 384) == 2
    # So are clusters, by splitting: at 1e11 documents and 100,000 clusters a million would be in each.
    assert costs.mean_cluster(10**11, 100_000, 384) == pytest.approx((256 << 20) / 788 / 2)


def test_what_is_read_by_bins_adds_up():
    found = costs.exchange(10**9, 31_623, 384)
    units = costs.units_of(10**9, 384)
    assert found["bins"] == pytest.approx(10**9 * 788 / (256 << 20), rel=1e-3) and units == 5723
    # Three sorted runs a unit of 131 MB, and one read of offsets.
    assert found["reads"] == found["bins"] * units * (3 + 1)
    assert found["bytes"] * found["bins"] * units * 3 == pytest.approx(788e9)
