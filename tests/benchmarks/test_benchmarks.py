"""The benchmarks measure what they say: their corpora, their reference and their arithmetic, at sizes of a second."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch):
    """Imports a file of benchmarks/ the way its scripts see each other."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        module = importlib.import_module(name)
        assert Path(module.__file__ or "").parent == FOLDER
        return module

    yield load
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


def test_vectors_come_back_as_they_were_made(benchmark_module, tmp_path):
    corpora = benchmark_module("corpora")
    corpus = corpora.Vectors(9000, 16, 20, seed=3)
    corpora.write_vectors(tmp_path, corpus, files=3)
    assert len(list(tmp_path.glob("*.parquet"))) == 3
    loaded = corpora.load(tmp_path)
    assert loaded.dtype == np.float32 and loaded.shape == (9000, 16)
    assert np.array_equal(loaded, np.concatenate(list(corpora.blocks(corpus))))
    assert np.allclose(np.linalg.norm(loaded, axis=1), 1, atol=1e-5)


def test_a_quarter_of_the_vectors_has_a_near_duplicate_of_the_promised_cosine(benchmark_module):
    corpora = benchmark_module("corpora")
    alone, shared = (
        np.concatenate(list(corpora.blocks(corpora.Vectors(2000, 64, 50, duplicates=share)))) for share in (0.0, 0.25)
    )
    nearest = [np.where(np.eye(2000, dtype=bool), -1, found @ found.T).max(axis=1) for found in (alone, shared)]
    assert (nearest[0] > 0.9).mean() < 0.05
    # A duplicate and its original both have a neighbour above 0.9; an original may have several.
    assert 0.3 < (nearest[1] > 0.899).mean() < 0.5


@pytest.mark.parametrize("cosine", [1.0, 0.95])
def test_a_template_makes_its_share_of_the_vectors(benchmark_module, cosine):
    corpora = benchmark_module("corpora")
    corpus = corpora.Vectors(4000, 32, 10, hot_share=0.6, hot_cosine=cosine)
    found = np.concatenate(list(corpora.blocks(corpus)))
    closest = (found @ found.T > cosine**2 - 0.07).sum(axis=1).max()
    assert 0.55 < closest / 4000 < 0.65
    distinct = len(np.unique(found, axis=0))
    assert distinct < 1800 if cosine == 1 else distinct == 4000


@pytest.mark.parametrize(
    "wrong", [{"documents": 0}, {"documents": 5, "hot_share": 1.0}, {"documents": 5, "clusters": 0}]
)
def test_impossible_corpora_are_refused(benchmark_module, wrong):
    with pytest.raises(ValueError):
        benchmark_module("corpora").Vectors(**wrong)


def test_the_reference_scores_semdedup_by_definition(benchmark_module):
    reference = benchmark_module("reference")
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


def test_the_reference_keeps_exactly_what_was_asked_for(benchmark_module):
    pytest.importorskip("faiss")
    corpora, reference = benchmark_module("corpora"), benchmark_module("reference")
    vectors = np.concatenate(list(corpora.blocks(corpora.Vectors(2000, 16, 10))))
    result = reference.d4(vectors, clusters=10)
    assert len(result.deduplicated) == 1500 and len(result.kept) == 1000
    assert np.isin(result.kept, result.deduplicated).all()
    assert list(result.seconds) == ["clusters", "semdedup", "cut", "clusters again", "cut again"]


def test_the_reference_and_sluice_deduplicate_alike(benchmark_module, tmp_path):
    pytest.importorskip("faiss")
    corpora, d4 = benchmark_module("corpora"), benchmark_module("d4")
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


def test_a_function_runs_in_a_process_of_its_own_and_tells_its_peak(benchmark_module, tmp_path):
    measure = benchmark_module("measure")
    result, peak = measure.run("d4", "make", path=str(tmp_path / "c"), documents=10, dimension=4, clusters=2)
    assert result is None and 20 < peak < 4000
    with pytest.raises(RuntimeError, match="documents, dimension and clusters"):
        measure.run("d4", "make", path=str(tmp_path / "d"), documents=0)


@pytest.mark.parametrize("kind", ["JSON lines", "JSON lines, zstd", "JSON lines, gzip", "Parquet, zstd", "WET", "WARC"])
def test_texts_of_every_kind_are_read_by_sluice(benchmark_module, tmp_path, kind):
    from sluice.transforms.corpus.inventory import plan_units
    from sluice.transforms.corpus.reading import read_unit
    from sluice.transforms.records.records import Fields

    texts = benchmark_module("texts")
    sentence = "The quick brown fox jumps over the lazy dog, and number {} of them does it again and again. "
    documents = [{"id": f"d{n}", "text": sentence.format(n) * 8, "meta": {"n": n}} for n in range(20)]
    texts.write(tmp_path / "corpus", documents, kind)
    units = plan_units([str(tmp_path / "corpus")])
    windows = [window for unit in units for window in read_unit(unit, Fields())]
    found = [text.strip() for window in windows for text in window.texts or ()]
    assert sum(len(window.rejects) for window in windows) == 0
    wanted = [str(document["text"]).strip() for document in documents]
    assert all(text in page for text, page in zip(wanted, found)) if kind == "WARC" else found == wanted


def test_a_removal_is_right_while_one_of_the_group_is_left(benchmark_module):
    quality = benchmark_module("quality")
    groups = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "c1": "c"}
    # All of a, one of b and the only c: of five removals, two of a and one of b are right.
    found = quality.judge(groups, {"b2"})
    assert (found.removed, found.right, found.removable) == (5, 3, 3)
    assert found.precision == 0.6 and found.recall == 1.0 and found.f1 == 0.75
    assert quality.judge(groups, set(groups)).cells() == ("0", "1.000", "0.000", "0.000")


def test_auc_and_f1_agree_with_their_definitions(benchmark_module):
    quality = benchmark_module("quality")
    random = np.random.default_rng(1)
    scores, labels = random.integers(0, 12, 80) / 10, random.integers(0, 2, 80)
    pairs = [(p > n) + (p == n) / 2 for p in scores[labels == 1] for n in scores[labels == 0]]
    assert quality.auc(scores, labels) == pytest.approx(np.mean(pairs))
    best = max(
        2 * ((scores >= t) & (labels == 1)).sum() / ((scores >= t).sum() + labels.sum()) for t in np.unique(scores)
    )
    f1, threshold = quality.best_f1(scores, labels)
    assert f1 == pytest.approx(best) and threshold in scores


@pytest.mark.parametrize("kept, total", [(1, 3), (9_999, 10_294), (10_294, 10_294), (7, 1000)])
def test_the_control_keeps_as_many_as_what_it_is_compared_with(benchmark_module, kept, total):
    import math
    from decimal import Decimal

    cut = benchmark_module("proof_runs").random_step(kept, total)["cut"]
    assert math.ceil(Decimal(cut["ratio"]) * total) == kept


@pytest.mark.parametrize("model", ["bert", "opt"])
def test_embedding_speed_is_a_share_of_the_fastest_product(benchmark_module, monkeypatch, capsys, model):
    embed = benchmark_module("embed")
    monkeypatch.setattr(benchmark_module("flops"), "CPU_SHAPES", ((256, 256, 256),))
    directory = str(FOLDER.parent / "tests" / "data" / model)
    flags = ["--model", directory, "--documents", "6", "--rounds", "1", "--dtype", "float32", "bfloat16"]
    monkeypatch.setattr(sys, "argv", ["embed.py", *flags])
    embed.main()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    found = {row[0]: dict(zip(table[0], row)) for table in [list(filter(None, rows))] for row in table[2:]}
    assert list(found) == ["Sluice, float32", "Sluice, bfloat16"]
    for row in found.values():
        assert all(float(row[name].replace(",", "")) > 0 for name in ("documents/s", "tokens/s"))
        assert 0 < float(row["MFU"].rstrip("%")) < 100 and 0 <= float(row["padding"].rstrip("%")) < 100
        assert float(row["cosine"]) > 0.999


@pytest.mark.parametrize("model", ["bert", "opt"])
def test_the_work_of_a_model_is_that_of_its_products(benchmark_module, model):
    # Three layers, 32 wide, 64 in between: 4 products of 32 x 32, two of 32 x 64, and those of attention.
    lengths = np.array([5, 9])
    found = benchmark_module("flops").model_work(str(FOLDER.parent / "tests" / "data" / model), lengths)
    assert found == 3 * (14 * 2 * (4 * 32 * 32 + 2 * 32 * 64) + 4 * 32 * (25 + 81))


def test_every_family_has_work(benchmark_module):
    from sluice.models.families import families

    flops = benchmark_module("flops")
    for name in families():
        once, twice = (flops.model_work(str(FOLDER.parent / "tests" / "data" / name), np.array([n])) for n in (10, 20))
        assert twice > 2 * once > 0  # attention, whose work grows with the square, was found


def test_short_texts_repeat_paragraphs_turned_when_these_run_out(benchmark_module):
    static = benchmark_module("static")
    long = "the first paragraph of a page is long enough to count as one, and "
    paragraphs = static.paragraphs_of([f"{long} a\nshort\n {long} b", f"{long} a"])
    assert paragraphs == [f"{long} a", f"{long} b"]
    found = list(static.short_texts(5, paragraphs))
    assert found[:2] == paragraphs and len(set(found)) == 5 and found[2].startswith("first paragraph")
