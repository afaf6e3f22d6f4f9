"""A rejected record is told with its file and its place there; a file of nothing but rejects is told by name."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import read_unit
from sluice.transforms.records.records import Fields
from sluice.transforms.stages.commit import TooManyRejects, check_rejects

SOUND = json.dumps({"text": "a sound record"}).encode() + b"\n"


def windows(folder, **options):
    units = plan_units([str(folder)], **options)
    return [window for unit in units for window in read_unit(unit, Fields(), on_unreadable="reject")]


def places(folder, **options) -> list[str]:
    return [reject.where for window in windows(folder, **options) for reject in window.rejects]


def barren(folder, **options) -> list[tuple[str, dict[str, int]]]:
    return [file for window in windows(folder, **options) for file in window.barren]


@pytest.mark.parametrize("name", ["b.jsonl", "b.jsonl.gz"])
def test_a_line_is_told_by_the_byte_it_begins_at(tmp_path, name):
    (tmp_path / "a.jsonl").write_bytes(SOUND)
    lines = SOUND + b"\n" + b"not JSON\n" + SOUND + b"[]\n"
    (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith("gz") else lines)
    first = len(SOUND) + 1
    second = first + len(b"not JSON\n") + len(SOUND)
    assert places(tmp_path) == [f"{name}, byte {first}", f"{name}, byte {second}"]


def test_a_line_of_a_later_range_is_told_by_its_byte_in_the_file(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(SOUND * 50 + b"not JSON\n" + SOUND * 3)
    assert len(plan_units([str(tmp_path)], unit_bytes=300)) > 3
    assert places(tmp_path, unit_bytes=300) == [f"a.jsonl, byte {50 * len(SOUND)}"]


def test_a_row_of_parquet_is_told_by_its_number_in_the_file(tmp_path):
    texts = ["fine"] * 25
    texts[7] = texts[21] = None
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=10)
    assert places(tmp_path) == ["a.parquet, row 7", "a.parquet, row 21"]
    assert places(tmp_path, unit_bytes=1) == ["a.parquet, row 7", "a.parquet, row 21"]


def test_a_record_of_an_archive_is_told_by_its_byte_and_a_text_by_its_file(tmp_path):
    head = b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:uuid:%d>\r\nContent-Type: text/plain\r\n"
    records = [
        head % number + b"Content-Length: %d\r\n\r\n" % len(text) + text + b"\r\n\r\n"
        for number, text in enumerate([b"some text", b"", b"more text"])
    ]
    (tmp_path / "a.warc.wet").write_bytes(b"".join(records))
    assert places(tmp_path) == [f"a.warc.wet, byte {len(records[0])}"]
    (tmp_path / "a.warc.wet").unlink()
    (tmp_path / "a.txt").write_bytes(b"\x80")
    assert places(tmp_path) == ["a.txt"]


def test_damage_is_told_by_how_many_records_were_sound(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(SOUND * 3) + gzip.compress(SOUND * 90)[:-20])
    [where] = places(tmp_path)
    assert where.startswith("a.jsonl.gz, after ") and where.endswith(" records")


def test_files_of_nothing_but_rejects_are_named_and_others_are_not(tmp_path):
    (tmp_path / "bad.jsonl").write_bytes(b"not JSON\n" * 3 + b"[]\n")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "mixed.jsonl").write_bytes(b"not JSON\n" + SOUND)
    (tmp_path / "sound.jsonl").write_bytes(SOUND * 3)
    assert barren(tmp_path) == [("bad.jsonl", {"not JSON": 3, "not an object": 1}), ("empty.jsonl", {})]


def test_a_range_that_owns_no_line_is_no_empty_file(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(json.dumps({"text": "x" * 2000}).encode() + b"\n")
    assert len(plan_units([str(tmp_path)], unit_bytes=300)) > 3
    assert barren(tmp_path, unit_bytes=300) == []


def test_a_refusal_for_too_many_names_one_of_the_most_frequent():
    totals = {"records": 100, "documents": 60, "reasons": {"empty": 30, "no text": 10}}
    totals["places"] = {"empty": {"min_place": "b.jsonl, byte 7"}, "no text": {"min_place": "a.jsonl, byte 1"}}
    expected = r"30 x empty, 10 x no text \(the first of 'empty' in b.jsonl, byte 7\)"
    with pytest.raises(TooManyRejects, match=expected):
        check_rejects(totals, 0.1)
