"""The clustering benchmark compares what it says, at the size of a second."""

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def clustering(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    import clustering as module  # type: ignore[import-not-found]

    assert Path(module.__file__).parent == FOLDER
    yield module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


@pytest.mark.parametrize("way", ["one level", "two levels", "faiss"])
def test_every_way_trains_on_half_and_is_judged_on_both_halves(clustering, tmp_path, way):
    if way == "faiss":
        pytest.importorskip("faiss")
    clustering.make(str(tmp_path / "corpus"), documents=2400, dimension=16, clusters=20)
    trained, others = clustering.points_of(str(tmp_path / "corpus"))
    assert len(trained) == len(others) == 1200
    found = str(tmp_path / "centroids.npy")
    assert clustering.cluster(str(tmp_path / "corpus"), way, 40, found)["seconds"] > 0
    judged = clustering.judge(str(tmp_path / "corpus"), found)
    centroids = np.load(found)
    products = trained.astype(np.int64) @ centroids.astype(np.int64).T
    sizes = np.bincount(products.argmax(axis=1), minlength=len(centroids))
    assert judged["k"] == 40
    assert judged["trained"] == pytest.approx(products.max(axis=1).mean() / 4064**2)
    assert judged["imbalance"] == pytest.approx(40 * (sizes**2).sum() / 1200**2)
    # Others were not seen, so they lie farther; refinement is on those that were seen.
    assert judged["others"] < judged["trained"]
    assert judged["refined"] > 0.97 * judged["others"]


def test_the_table_has_a_line_for_each_way(clustering):
    one = {"way": "a", "k": 10, "seconds": 2.0, "peak": 100.0, "trained": 0.5, "others": 0.4, "refined": 0.41}
    lines = clustering.rows([one | {"imbalance": 1.5}, one | {"way": "b", "others": 0.38, "imbalance": 1.0}])
    assert [len(line) for line in lines] == [len(clustering.HEADER)] * 2
    assert lines[0][5:8] == ["100.0%", "100.0%", "102.5%"]
    assert lines[1][6] == "95.0%"
