"""Odd corpora of every format, all of whose records are kept: the output has the same records, and so has its own."""

import bz2
import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluice.pipelines.curate import curate
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import export_unit, read_unit
from sluice.transforms.records.records import Fields
from sluice.transforms.storage import streams
from tests.transforms.parquet_columns_of_every_type import COLUMNS, write

PACK = {"none": bytes, "gzip": gzip.compress, "zstd": zstandard.compress, "bz2": bz2.compress}
BOM = b"\xef\xbb\xbf"
some = settings(max_examples=25, deadline=None)


@contextmanager
def folders() -> Iterator[tuple[Path, Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder) / name for name in ("in", "once", "twice")]
        names[0].mkdir()
        yield names[0], names[1], names[2]


def curated(source: Path, target: Path, fields: Fields) -> tuple[list[str], list[Path]]:
    """Copies all valid records: their ids, and the files written."""
    ids, files = [], []
    for unit in plan_units([str(source)]):
        windows = list(read_unit(unit, fields))
        keep = np.zeros(sum(window.records for window in windows), bool)
        for window in windows:
            keep[window.rows] = True
            ids += window.ids
        files += [target / name for name, _ in export_unit(unit, keep, f"{target}/part-{unit.id:05d}")]
    return ids, files


def unpacked(files: list[Path]) -> bytes:
    chunks = [streams.read_chunks(str(file), streams.split_compression(file.name)[1]) for file in files]
    return b"".join(chunk for some_chunks in chunks for chunk in some_chunks)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.tuples(
    st.text(max_size=10),
    st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \r\n"]),
)


@some
@given(
    objects=st.lists(OBJECTS, min_size=1, max_size=6),
    compression=st.sampled_from(sorted(PACK)),
    mark=st.booleans(),
    final=st.booleans(),
)
def test_json_lines_stay_byte_for_byte(objects, compression, mark, final):
    lines, data, sound = {}, BOM * mark, []
    for number, (text, more, escaped, end) in enumerate(objects):
        line = json.dumps({**more, "id": f"d{number}", "text": f"t{text}"}, ensure_ascii=escaped).encode()
        lines[f"d{number}"] = line + end[: end.index(b"\n")] * (end[:1] == b"\r") + b"\n"
        data += line + end
        if b"NaN" not in line and b"Infinity" not in line:
            sound.append(f"d{number}")
    if not final:
        data = data.rstrip()
        lines[f"d{number}"] = line + b"\n"
    assume(sound)
    fields = Fields(id="id")
    with folders() as (source, once, twice):
        (source / f"x.jsonl{streams.SUFFIXES[compression]}").write_bytes(PACK[compression](data))
        ids, files = curated(source, once, fields)
        assert set(sound) <= set(ids)
        assert unpacked(files).removeprefix(BOM) == b"".join(lines[identity] for identity in ids)
        again, copies = curated(once, twice, fields)
        assert (again, unpacked(copies)) == (ids, unpacked(files))


def values(files: list[Path]) -> pa.Table:
    """The rows of some files; of dictionaries the values, which are the same whatever the dictionaries."""
    tables = []
    for file in files:
        table = pq.read_table(file, partitioning=None).replace_schema_metadata()
        for at, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                table = table.set_column(at, field.name, table.column(at).cast(field.type.value_type))
        tables.append(table)
    return pa.concat_tables(tables).combine_chunks()


@some
@given(
    names=st.lists(st.sampled_from(sorted(COLUMNS)), max_size=8, unique=True),
    files=st.lists(st.lists(st.integers(0, 2), max_size=10), min_size=1, max_size=3),
    group=st.integers(1, 10),
    options=st.fixed_dictionaries(
        {
            "compression": st.sampled_from(["none", "snappy", "zstd", "gzip"]),
            "use_dictionary": st.booleans(),
            "data_page_version": st.sampled_from(["1.0", "2.0"]),
            "write_page_checksum": st.booleans(),
        }
    ),
)
def test_parquet_keeps_values_and_types(names, files, group, options):
    assume(any(files))
    fields = Fields(id="id")
    with folders() as (source, once, twice):
        count = 0
        for number, rows in enumerate(files):
            columns = {
                "id": pa.array(range(count, count + len(rows)), pa.uint64()),
                "text": pa.array(["t"] * len(rows), pa.string_view()),
            }
            for name in names:
                pieces = [COLUMNS[name].slice(row, 1) for row in rows]
                columns[name] = pa.chunked_array(pieces, COLUMNS[name].type)
            table = pa.table(columns)
            count += len(rows)
            write(table, source / f"{number}.parquet", group, **options)
        ids, written = curated(source, once, fields)
        assert ids == [str(number) for number in range(count)]
        types = pq.read_schema(source / "0.parquet").remove_metadata()
        assert all(pq.read_schema(file).remove_metadata().equals(types, check_metadata=True) for file in written)
        before = values(sorted(source.iterdir()))
        assert values(written).equals(before)
        again, copies = curated(once, twice, fields)
        assert again == ids and values(copies).equals(before)


@some
@given(
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=5),
    compression=st.sampled_from(sorted(PACK)),
)
def test_archives_keep_their_records_byte_for_byte(texts, compression):
    head = (
        b"WARC/1.0\r\nWARC-Type: %s\r\nWARC-Record-ID: <urn:%d>\r\nX-Odd:  kept\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
    )
    kept, data = [], b""
    for number, text in enumerate(texts):
        body = f"t{text}".encode()
        kept.append(head % (b"conversion", number, len(body), body))
        request = head % (b"request", 1000 + number, 18, b"GET / HTTP/1.1\r\n\r\n")
        data += PACK[compression](request) + PACK[compression](kept[-1])
    with folders() as (source, once, twice):
        (source / f"x.warc{streams.SUFFIXES[compression]}").write_bytes(data)
        ids, files = curated(source, once, Fields())
        assert (ids, unpacked(files)) == ([f"<urn:{number}>" for number in range(len(texts))], b"".join(kept))
        again, copies = curated(once, twice, Fields())
        assert (again, unpacked(copies)) == (ids, b"".join(kept))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=20)


@some
@given(
    contents=st.dictionaries(
        NAMES.filter(lambda name: name[0] not in "._"), st.text(max_size=20), min_size=1, max_size=4
    )
)
def test_text_files_keep_names_and_bytes(contents):
    with folders() as (source, once, twice):
        for name, text in contents.items():
            (source / f"{name}.txt").write_bytes(f"t{text}".encode())
        _, files = curated(source, once, Fields())
        before = {f"{name}.txt": f"t{text}".encode() for name, text in contents.items()}
        assert {file.name: file.read_bytes() for file in files} == before
        _, copies = curated(once, twice, Fields())
        assert {file.name: file.read_bytes() for file in copies} == before


def test_a_run_that_keeps_everything_can_be_curated_again_with_the_same_outcome(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    lines = [b'{"text": "json %d", "n": 1.50, "\\u00e9": [ ]}\n' % number for number in range(9)]
    (source / "a.jsonl.gz").write_bytes(gzip.compress(b"".join(lines)))
    table = pa.table({"text": pa.array(["one", "two", "three"], pa.string_view()), **COLUMNS})
    write(table, source / "b.parquet", 2)
    record = b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:1>\r\nContent-Length: 4\r\n\r\nwarc\r\n\r\n"
    (source / "c.warc").write_bytes(record)
    (source / "d [1] é.txt").write_text("text")
    for place, run in ((source, "first"), (tmp_path / "first" / "corpus", "second")):
        curate([str(place)], str(tmp_path / run), recipe="random", keep="1.0", text="text")
        corpus = tmp_path / run / "corpus"
        assert unpacked(sorted(corpus.rglob("*.jsonl.gz"))) == b"".join(lines)
        copies = [file for file in corpus.rglob("part-*.parquet") if "_parts" not in file.parts]
        assert values(copies).equals(values([source / "b.parquet"]))
        assert unpacked(list(corpus.rglob("*.warc"))) == record
        assert [file.read_text() for file in corpus.rglob("d [[]1[]] é.txt")] == ["text"]
