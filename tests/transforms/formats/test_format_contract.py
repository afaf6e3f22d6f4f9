"""What every module in transforms/formats promises."""

import gzip
import inspect
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.transforms import formats, storage
from sluice.transforms.corpus.reading import export_unit, read_unit
from sluice.transforms.records.records import Fields, Span, Unit
from sluice.transforms.storage import streams


def write_jsonl(path):
    path.write_bytes(b"".join(b'{"text": "text %d"}\n' % number for number in range(40)))


def write_parquet(path):
    pq.write_table(pa.table({"text": [f"text {number}" for number in range(40)]}), path, row_group_size=8)


def write_text(path):
    path.write_text("text 0")


def write_warc(path):
    body = [b"text %d" % number for number in range(40)]
    record = b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
    path.write_bytes(b"".join(record % (len(text), text) for text in body))


WRITERS = {"jsonl": write_jsonl, "parquet": write_parquet, "text": write_text, "warc": write_warc}


@pytest.fixture(params=formats.names())
def format(request):
    return request.param


@pytest.fixture
def path(format, tmp_path):
    path = tmp_path / f"example{formats.load(format).SUFFIXES[0]}"
    WRITERS[format](path)
    return path


def units(format, path, target_bytes) -> list[Unit]:
    info = storage.info(str(path))
    ranges = formats.load(format).cut(info, "none", target_bytes)
    spans = [Span(info.path, path.name, start, stop, info.size, info.etag) for start, stop in ranges]
    return [Unit(index, format, "none", (span,)) for index, span in enumerate(spans)]


def test_every_format_has_an_example_here():
    assert formats.names() == sorted(WRITERS)


def test_suffixes_are_dotted_lower_case_and_belong_to_one_format(format):
    others = {suffix for name in formats.names() if name != format for suffix in formats.load(name).SUFFIXES}
    for suffix in formats.load(format).SUFFIXES:
        assert suffix.startswith(".") and suffix == suffix.lower()
        assert not any(suffix.endswith(other) or other.endswith(suffix) for other in others)
        assert formats.identify(f"some/where{suffix.upper()}") == (format, "none")


def test_compressions_are_known_and_told_by_the_name(format):
    module = formats.load(format)
    assert "none" in module.COMPRESSIONS
    assert set(module.COMPRESSIONS) <= set(streams.SUFFIXES)
    for compression in module.COMPRESSIONS:
        name = f"x{module.SUFFIXES[0]}{streams.SUFFIXES[compression]}"
        assert formats.identify(name) == (format, compression)


def test_fields_that_can_be_named_are_fields(format):
    assert set(formats.load(format).FIELDS) <= {"text", "id", "vector", "columns"}


def test_signatures_are_alike(format):
    module = formats.load(format)
    assert list(inspect.signature(module.cut).parameters) == ["info", "compression", "target_bytes"]
    assert list(inspect.signature(module.read).parameters) == ["span", "compression", "fields", "dimension"]
    export = inspect.signature(module.export).parameters
    assert list(export) == ["unit", "keep", "stem", "max_document_bytes", "on_unreadable"]


@pytest.mark.parametrize("target_bytes", [1, 100, 1 << 30])
def test_ranges_meet_and_cover_the_file(format, path, target_bytes):
    spans = [unit.spans[0] for unit in units(format, path, target_bytes)]
    assert spans[0].start == 0
    assert all(left.stop == right.start for left, right in pairwise(spans))


@pytest.mark.parametrize("target_bytes", [1, 100, 1 << 30])
def test_identities_and_texts_do_not_depend_on_the_cut(format, path, target_bytes):
    found = [
        (identity, text)
        for unit in units(format, path, target_bytes)
        for window in read_unit(unit, Fields())
        for identity, text in zip(window.ids, window.texts, strict=True)
    ]
    assert [text for _, text in found] == [f"text {number}" for number in range(len(found))]
    assert len(set(found)) == len(found) in (1, 40)
    assert all(identity.startswith(path.name) for identity, _ in found)


def test_windows_account_for_every_record(format, path):
    row = 0
    for unit in units(format, path, 1 << 30):
        for window in read_unit(unit, Fields()):
            assert window.rows.tolist() == list(range(row, row + window.records))
            row += window.records
    assert row in (1, 40)


def test_without_a_text_field_texts_are_not_read(format, path):
    (unit,) = units(format, path, 1 << 30)
    assert [window.texts for window in read_unit(unit, Fields(text=None))] == [None]


def test_what_is_kept_is_written_and_can_be_read(format, path, tmp_path):
    (unit,) = units(format, path, 1 << 30)
    records = sum(window.records for window in read_unit(unit, Fields()))
    keep = np.arange(records) % 3 == 0
    (written,) = export_unit(unit, keep, f"{tmp_path}/out/part")
    assert written[1] == keep.sum()
    assert written[0].startswith("part")
    (copy,) = units(format, tmp_path / "out" / written[0], 1 << 30)
    texts = [text for window in read_unit(copy, Fields()) for text in window.texts]
    assert texts == [f"text {number}" for number in range(0, records, 3)]


def test_nothing_is_written_when_the_records_are_not_those_read_before(format, path, tmp_path):
    (unit,) = units(format, path, 1 << 30)
    records = sum(window.records for window in read_unit(unit, Fields()))
    with pytest.raises(ValueError, match="records"):
        export_unit(unit, np.arange(records + 1) == records, f"{tmp_path}/out/part")
    assert not list(tmp_path.glob("out/*"))


def test_a_damaged_compressed_file_is_named(format, path):
    module = formats.load(format)
    if "gzip" not in module.COMPRESSIONS:
        path.write_bytes(path.read_bytes()[:-20])
        broken = path
    else:
        broken = path.with_name(path.name + ".gz")
        broken.write_bytes(gzip.compress(path.read_bytes())[:-5])
    info = storage.info(str(broken))
    span = Span(info.path, broken.name, 0, info.size, info.size, info.etag)
    compression = formats.identify(broken.name)[1]
    with pytest.raises(streams.UnreadableFile, match=broken.name):
        list(module.read(span, compression, Fields()))
