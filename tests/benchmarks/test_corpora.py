"""Corpora to measure with are what they say, and the same every time."""

import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import corpora, texts
from benchmarks.embed import samples
from benchmarks.measure import ROOT
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import read_unit
from sluice.transforms.records.records import Fields


def test_the_same_arguments_write_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        command = [sys.executable, str(ROOT / "benchmarks" / "corpora.py"), str(tmp_path / name), "--template"]
        command += ["--documents", "3000", "--dimension", "8", "--type", "float16", "--files", "2", "--seed", "5"]
        subprocess.run(command, check=True)
    files = [sorted((tmp_path / name).iterdir()) for name in ("one", "other")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]] and len(files[0]) == 2
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_vectors_come_back_as_they_were_made(tmp_path):
    corpus = corpora.Vectors(9000, 16, 20, seed=3)
    corpora.write_vectors(tmp_path, corpus, files=3)
    assert len(list(tmp_path.glob("*.parquet"))) == 3
    loaded = corpora.load(tmp_path)
    assert loaded.dtype == np.float32 and loaded.shape == (9000, 16)
    assert np.array_equal(loaded, np.concatenate(list(corpora.blocks(corpus))))
    assert np.allclose(np.linalg.norm(loaded, axis=1), 1, atol=1e-5)


def test_a_quarter_of_the_vectors_has_a_near_duplicate_of_the_promised_cosine():
    alone, shared = (
        np.concatenate(list(corpora.blocks(corpora.Vectors(2000, 64, 50, duplicates=share)))) for share in (0.0, 0.25)
    )
    nearest = [np.where(np.eye(2000, dtype=bool), -1, found @ found.T).max(axis=1) for found in (alone, shared)]
    assert (nearest[0] > 0.9).mean() < 0.05
    # A duplicate and its original both have a neighbour above 0.9; an original may have several.
    assert 0.3 < (nearest[1] > 0.899).mean() < 0.5


def test_a_template_makes_near_copies_and_equal_ones_of_one_source(tmp_path):
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


@pytest.mark.parametrize(
    "wrong", [{"documents": 0}, {"hot_share": 1.0}, {"clusters": 0}, {"hot_spread": 1.0}, {"hot_equal": 1.5}]
)
def test_impossible_corpora_are_refused(wrong):
    with pytest.raises(ValueError):
        corpora.Vectors(**{"documents": 5} | wrong)


@pytest.mark.parametrize("kind", ["JSON lines", "JSON lines, zstd", "JSON lines, gzip", "Parquet, zstd", "WET", "WARC"])
def test_texts_of_every_kind_are_read_by_sluice(tmp_path, kind):
    sentence = "The quick brown fox jumps over the lazy dog, and number {} of them does it again and again. "
    documents = [{"id": f"d{n}", "text": sentence.format(n) * 8, "meta": {"n": n}} for n in range(20)]
    texts.write(tmp_path / "corpus", documents, kind)
    units = plan_units([str(tmp_path / "corpus")])
    windows = [window for unit in units for window in read_unit(unit, Fields())]
    found = [text.strip() for window in windows for text in window.texts or ()]
    assert sum(len(window.rejects) for window in windows) == 0
    wanted = [str(document["text"]).strip() for document in documents]
    assert all(text in page for text, page in zip(wanted, found)) if kind == "WARC" else found == wanted


def test_short_texts_repeat_paragraphs_turned_when_these_run_out():
    long = "the first paragraph of a page is long enough to count as one, and "
    paragraphs = samples.paragraphs_of([f"{long} a\nshort\n {long} b", f"{long} a"])
    assert paragraphs == [f"{long} a", f"{long} b"]
    found = list(samples.short_texts(5, paragraphs))
    assert found[:2] == paragraphs and len(set(found)) == 5 and found[2].startswith("first paragraph")
