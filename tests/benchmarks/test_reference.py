"""D4 in memory, which Sluice is compared with, is D4."""

import numpy as np
import pytest

from benchmarks import corpora, d4, reference


def test_the_reference_scores_semdedup_by_definition():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cluster = random.integers(0, 7, 300)
    similarity = random.permutation(300).astype(np.float32)
    expected = np.zeros(300, np.float32)
    for row in range(300):
        earlier = (cluster == cluster[row]) & (similarity < similarity[row])
        expected[row] = max([0.0, *(vectors[earlier] @ vectors[row])])
    assert np.allclose(reference.semdedup_scores(vectors, cluster, similarity), expected, atol=1e-6)


@pytest.mark.slow
def test_the_reference_and_sluice_deduplicate_alike(tmp_path):
    pytest.importorskip("faiss")
    corpus = str(tmp_path / "corpus")
    corpora.write_vectors(corpus, corpora.Vectors(2000, 16, 10), files=2)
    theirs = d4.reference_d4(corpus, 10, 0, str(tmp_path / "theirs.npz"))
    ours = d4.sluice_d4(corpus, 10, str(tmp_path / "run"), str(tmp_path / "ours.npz"))
    assert {stage for stages in d4.PHASES.values() for stage in stages} | {"corpus", "report"} == set(ours["seconds"])
    assert ours["objectives"] == pytest.approx(theirs["objectives"], abs=0.03)
    kept = [np.load(tmp_path / f"{name}.npz") for name in ("theirs", "ours")]
    assert [len(found["kept"]) for found in kept] == [1000, 1000]
    common = len(np.intersect1d(kept[0]["deduplicated"], kept[1]["deduplicated"]))
    # Chance alone would give 75 %.
    assert common / 1500 > 0.85
