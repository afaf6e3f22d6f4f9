"""A plan's sample: pieces from all over a corpus, and how many documents they tell of."""

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.pipelines.plan import sample as plan_sample
from sluice.pipelines.plan.measure import Counted, read_documents
from sluice.pipelines.plan.sample import copy_sample, corpus_bytes
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.run import Run
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import read_unit
from sluice.transforms.records.records import Fields


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


def counted(path: Path, place: Path, *, records: int, recipe: str = "semdedup") -> tuple[Counted, bool]:
    """What a sample of a folder says, and whether it is the whole corpus. semdedup's `exact` compares texts."""
    run = Run(str(place / "run"), build_recipe(recipe=recipe, inputs=(str(path),)))
    units = plan_units([str(path)])
    place.mkdir()
    sample = copy_sample(units, str(place), seed=0, records=records)
    found, _ = read_documents(run, sample, str(place / "read"), total_bytes=corpus_bytes(units))
    return found, sample.everything


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
    found, everything = counted(tmp_path / "in", tmp_path / "sample", records=400, recipe="quality")
    low, likely, high = found.documents
    assert not everything and 0 < found.total("documents") < 2500
    assert abs(likely - 3000) <= 0.2 * 3000 if kind == "gzip" else low <= 3000 <= high
    assert found.total("rejected") == 0 and found.equal_texts == 0
    if kind in ("jsonl", "parquet"):
        assert high - low <= 0.25 * 3000


def test_texts_of_very_different_sizes_are_counted_as_files(tmp_path, monkeypatch):
    """Large ones are met more often: 20 of 600 hold nearly all of the bytes."""
    (tmp_path / "in").mkdir()
    for number in range(600):
        (tmp_path / "in" / f"{number}.txt").write_text(f"{number} " * (10_000 if number % 30 == 0 else 50))
    size = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    found, everything = counted(tmp_path / "in", tmp_path / "some", records=50, recipe="random")
    assert not everything and found.documents.low <= 600 == found.documents.high
    assert found.characters.low <= size / 600 <= found.characters.high
    monkeypatch.setattr(plan_sample, "MOST_FILES", 600)
    found, everything = counted(tmp_path / "in", tmp_path / "all", records=50, recipe="random")
    assert everything and found.documents == (600, 600, 600)


@pytest.mark.parametrize("damage", ["gzip", "parquet", "rows of parquet"])
def test_damaged_files_are_named_with_what_is_wrong(damage, tmp_path, small_pieces):
    write_many(tmp_path / "in", "gzip" if damage == "gzip" else "parquet", files=3)
    victim = max((tmp_path / "in").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    if damage == "parquet":
        data[-4:] = b"lost"
    else:
        data[200 : len(data) // 2] = bytes(len(data) // 2 - 200)
    victim.write_bytes(data)
    found, _ = counted(tmp_path / "in", tmp_path / "sample", records=400, recipe="random")
    assert list(found.damaged) == [str(victim)] and found.damaged[str(victim)].startswith("unreadable: ")


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
