"""A bin reads the offsets of its own clusters, and finds what the whole file says."""

import numpy as np
import pytest

from sluice.transforms.clusters import assign as clusters_module
from sluice.transforms.clusters.sorted_records import read_offsets
from sluice.transforms.stages.manifests import find_manifest
from tests.pipelines.corpora import artifact, make_rows, run_d4, write_jsonl


@pytest.fixture
def clusters(tmp_path, monkeypatch):
    # Several sorted runs a unit, so that offsets have a second dimension.
    monkeypatch.setattr(clusters_module, "run_bytes", lambda bin_bytes: 500)
    monkeypatch.setattr(clusters_module, "WINDOW_ROWS", 20)
    source = write_jsonl(tmp_path / "corpus", make_rows(120))
    run_d4(source, tmp_path / "run", unit_bytes=20_000, recipe="semdedup", keep="0.8")
    return artifact(tmp_path / "run", "steps/02-semdedup/clusters")


def test_a_slice_of_the_offsets_is_read_alone(clusters):
    totals = find_manifest(clusters.url)["totals"]
    runs = 0
    for part in clusters.manifest["parts"]:
        whole = np.array([run.starts for run in read_offsets(clusters, part["unit"])])
        assert whole.shape == (part["stats"]["runs"], totals["clusters"] + 1)
        assert (np.diff(whole, axis=1) >= 0).all() and (whole[1:, 0] == whole[:-1, -1]).all()
        for first in range(totals["clusters"]):
            for last in range(first + 1, totals["clusters"] + 1):
                found = read_offsets(clusters, part["unit"], first, last)
                assert np.array_equal([run.starts for run in found], whole[:, first : last + 1])
        runs += len(whole)
    assert runs == totals["runs"] > len(clusters.manifest["parts"])


def test_larger_bins_are_read_in_longer_ranges():
    assert clusters_module.run_bytes(0) == clusters_module.run_bytes(256 << 20) == 64 << 20
    assert clusters_module.run_bytes(1 << 30) == 256 << 20
