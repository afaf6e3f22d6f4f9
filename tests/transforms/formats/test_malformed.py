"""Bad input: every record one clear reason, every damaged file named, nothing else disturbed."""

import base64
import gzip
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.transforms import storage
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import ChangedInput, export_unit, read_document, read_unit
from sluice.transforms.records.records import Fields
from sluice.transforms.storage.streams import UnreadableFile


def outcome(path, fields, **options):
    """(ids, [(row, reason)]) of everything below a path."""
    ids, rejects, records = [], [], 0
    for unit in plan_units([str(path)]):
        for window in read_unit(unit, fields, **options):
            assert len(window.rows) == len(window.ids)
            assert sorted([*window.rows.tolist(), *(reject.row for reject in window.rejects)]) == list(
                range(records, records + window.records)
            )
            records += window.records
            ids += window.ids
            rejects += [(reject.row, reject.reason) for reject in window.rejects]
    return ids, rejects


LINES = [
    (b'{"id": "ok", "text": "fine"}', None),
    (b'{"id": 7, "text": "fine"}', None),
    (b"{", "not JSON"),
    (b'{"id": "a", "text": "unfinished', "not JSON"),
    (b'{"id": "a", "text": "x"} {}', "not JSON"),
    (b'{"id": "a", "text": NaN}', "text has type number"),
    (b'{"id": "infinite", "text": "x", "n": [Infinity, 1e999, %s]}' % (b"9" * 5000), None),
    (b'{"id": "a", "text": "\\ud800"}', "text has half of a surrogate pair"),
    (b'{"id": "\\udfff", "text": "x"}', "id has half of a surrogate pair"),
    (b'{"id": "half", "text": "x", "other": "\\ud800"}', None),
    (b'{"id": "a", "text": "x", "n": [NaN, %s]}' % (b"[" * 600 + b"]" * 600), "not JSON"),
    (b'{"id": 340282366920938463463374607431768211455, "text": "x"}', None),
    (b'{"id": -9223372036854775809, "text": "x", "n": NaN}', None),
    (b'{"id": %s, "text": "x"}' % (b"9" * 5000), "id has type number"),
    (b'{"id": "a", "text": "bell \x07"}', "not JSON"),
    (b"[" * 5000, "not JSON"),
    (b'\xef\xbb\xbf{"id": "a", "text": "mark inside"}', "not JSON"),
    (b"\x00\x00\x00", "not JSON"),
    (b'{"id": "a", "text": "\xff"}', "invalid UTF-8"),
    (b'{"id": "a", "text": "\xed\xa0\x80"}', "invalid UTF-8"),
    (b'{"id": "a", "text": "cut \xe2\x82', "invalid UTF-8"),
    (b'["text"]', "not an object"),
    (b'"text"', "not an object"),
    (b"null", "not an object"),
    (b'{"id": "a"}', "no text"),
    (b'{"id": "a", "text": null}', "no text"),
    (b'{"id": "a", "text": 1}', "text has type number"),
    (b'{"id": "a", "text": true}', "text has type boolean"),
    (b'{"id": "a", "text": ["x"]}', "text has type array"),
    (b'{"id": "a", "text": {}}', "text has type object"),
    (b'{"id": "a", "text": ""}', "empty"),
    (b'{"id": "a", "text": " \\n\\t\\u00a0\\u2003"}', "empty"),
    (b'{"id": "a", "text": "\\ufeff\\u200b\\u00ad \\ufe0f\\u0000"}', "empty"),
    (b'{"id": "seen", "text": "\\u200bx\\ufe0f"}', None),
    (b'{"text": "x"}', "no id"),
    (b'{"id": null, "text": "x"}', "no id"),
    (b'{"id": 1.5, "text": "x"}', "id has type number"),
    (b'{"id": false, "text": "x"}', "id has type boolean"),
    (b'{"id": ["x"], "text": "x"}', "id has type array"),
    (b'{"id": "a", "text": "%s"}' % (b"x" * 9000), "too large"),
    (b'{"id": "a", "text": "x", "other": "%s"}' % (b"x" * 9000), "too large"),
    (b'{"id": "last", "text": "\\u0000 is a character"}', None),
]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_every_malformed_line_has_its_reason(tmp_path, ending):
    (tmp_path / "x.jsonl").write_bytes(ending.join(line for line, _ in LINES))
    ids, rejects = outcome(tmp_path, Fields(id="id", max_document_bytes=8000))
    assert rejects == [(row, reason) for row, (_, reason) in enumerate(LINES) if reason]
    assert ids == ["ok", "7", "infinite", "half", str((1 << 128) - 1), "-9223372036854775809", "seen", "last"]


def test_lines_that_are_valid_only_together_are_not_records(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a"\n"id": "b"}\n{"text": "c", "id": "d"}\n')
    assert outcome(tmp_path, Fields(id="id")) == (["d"], [(0, "not JSON"), (1, "not JSON")])


def test_blank_lines_are_no_records_and_keep_the_offsets_right(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'\n{"text": "a"}\r\n \t\r\n\n{"text": "b"}\n\n')
    assert outcome(tmp_path, Fields()) == (["x.jsonl@1", "x.jsonl@21"], [])


def test_a_byte_order_mark_before_the_first_line_is_no_fault(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n')
    assert outcome(tmp_path, Fields()) == (["x.jsonl@0", "x.jsonl@17"], [])


def test_a_mark_of_utf_16_is_told_and_texts_with_one_are_read(tmp_path):
    (tmp_path / "x.jsonl").write_bytes('{"text": "a"}\n'.encode("utf-16"))
    with pytest.raises(UnreadableFile, match=r"x\.jsonl: is UTF-16, .* iconv -f UTF-16 -t UTF-8"):
        outcome(tmp_path, Fields())
    (tmp_path / "x.jsonl").unlink()
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        (tmp_path / f"{encoding}.txt").write_bytes("naïve €".encode(encoding))
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields())
    assert window.texts == ["naïve €"] * 3


def test_columns_that_nothing_can_write_or_order_count_as_missing(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(
        b'{"text": "a", "n": NaN}\n{"text": "b", "n": "\\ud800"}\n{"text": "c", "n": 1}\n'
    )
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields(columns=("n",)))
    assert window.columns == {"n": [None, None, 1]}


def test_rejects_show_the_first_200_characters(tmp_path):
    (tmp_path / "x.jsonl").write_bytes("\u20ac".encode() * 300 + b"\xff\n")
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields())
    assert window.rejects[0][:3] == (0, "invalid UTF-8", "\u20ac" * 200)


VECTORS = [
    (b"[1, 0.5]", None),
    (b"null", "no vector"),
    (b'"1,2"', "vector has type string"),
    (b"[1, null]", "vector has type array of null"),
    (b'[1, "2"]', "vector has type array of string"),
    (b"[true, 1]", "vector has type array of boolean"),
    (b"[[1], [2]]", "vector has type array of array"),
    (b"[]", "vector has 0 numbers, expected 2"),
    (b"[1, 2, 3]", "vector has 3 numbers, expected 2"),
    (b"[1e300, 1]", "vector not finite"),
    (b"[NaN, 1]", "vector not finite"),
    (b"[1, -Infinity]", "vector not finite"),
    (b'[1, 2], "w": NaN', None),
    (b'[1, NaN], "w": "\\ud800"', "vector not finite"),
    (b"[1, NaN", "not JSON"),
    (b'"NaN', "not JSON"),
    (b"NaN", "vector has type number"),
    (b"[%s" % (b"[" * 5000 + b"NaN"), "not JSON"),
    (b"[%s, NaN]" % (b"9" * 5000), "vector not finite"),
    (b"[0, 0.0]", "zero vector"),
    (b"[-1, 2]", None),
]


def test_every_bad_vector_has_its_reason(tmp_path):
    lines = [b'{"v": %s}' % value for value, _ in VECTORS]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join([*lines, b"{}"]))
    _, rejects = outcome(tmp_path, Fields(text=None, vector="v"))
    reasons = [reason for _, reason in VECTORS] + ["no vector"]
    assert rejects == [(row, reason) for row, reason in enumerate(reasons) if reason]


def test_what_python_writes_of_a_vector_that_is_not_finite_has_the_reason_of_parquet(tmp_path):
    lines = [json.dumps({"id": "NaN", "meta": {"v": [value, 1.0]}}) for value in (0.5, float("nan"), float("inf"))]
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + "\n".join([lines[1], *lines]).encode())
    expected = [(row, "vector not finite") for row in (0, 2, 3)]
    assert outcome(tmp_path, Fields(text=None, id="id", vector="meta.v")) == (["NaN"], expected)
    assert outcome(tmp_path, Fields(text="id", id="id")) == (["NaN"] * 4, [])


def test_the_first_valid_vector_of_a_unit_sets_the_length(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"v": [0, 0, 0]}\n{"v": []}\n{"v": [1, 2]}\n')
    (tmp_path / "b.jsonl").write_bytes(b'{"v": [1, 2, 3]}\n{"v": [3, 4]}\n')
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields(text=None, vector="v"))
    assert [reject.reason for reject in window.rejects] == [
        "zero vector",
        "zero vector",
        "vector has 3 numbers, expected 2",
    ]
    assert window.vectors.dtype == np.float32
    assert window.vectors.tolist() == [[1, 2], [3, 4]]


def test_extra_columns_are_numbers_or_strings_and_never_a_fault(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(
        b'{"text": "a", "n": 1, "meta": {"s": "x"}}\n{"text": "b", "n": null, "meta": {"s": 2.5}}\n'
        b'{"text": "c", "meta": {"s": "x"}}\n{"text": "d", "n": [], "meta": {"s": "x"}}\n'
        b'{"text": "e", "n": 1, "meta": 3}\n{"text": "f", "n": true, "meta": {"s": ""}}\n'
    )
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields(columns=("n", "meta.s")))
    assert window.columns == {"n": [1, None, None, None, 1, None], "meta.s": ["x", 2.5, "x", "x", None, ""]}
    assert window.rejects == []


def test_a_key_with_dots_goes_before_a_nested_one(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"a.b": "flat", "a": {"b": "deep"}}\n{"a": {"b": "deep"}}\n{"a": "b"}\n')
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields(text="a.b"))
    assert window.texts == ["flat", "deep"]
    assert [reject.reason for reject in window.rejects] == ["no text"]


def test_bad_parquet_rows_have_the_same_reasons(tmp_path):
    long = "x" * 9000
    table = pa.table(
        {
            "id": pa.array(["a", None, "c", "d", "e", "f", "g"]),
            "text": pa.array([b"fine", b"x", None, b" ", b"\xff", long.encode(), b"g"]),
            "v": pa.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, None]]),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert outcome(tmp_path, Fields(id="id", vector="v", max_document_bytes=8000)) == (
        ["a"],
        [
            (1, "no id"),
            (2, "no text"),
            (3, "empty"),
            (4, "invalid UTF-8"),
            (5, "too large"),
            (6, "vector has type array of null"),
        ],
    )


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float16()), pa.large_list(pa.float64())])
def test_parquet_vectors_of_every_kind_are_checked(tmp_path, kind):
    rows = [[1.0, 2.0], None, [float("nan"), 1.0], [0.0, 0.0], [3.0, 4.0]]
    pq.write_table(pa.table({"v": pa.array(rows, kind)}), tmp_path / "x.parquet")
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields(text=None, vector="v"))
    assert [reject.reason for reject in window.rejects] == ["no vector", "vector not finite", "zero vector"]
    assert window.ids == ["x.parquet:0", "x.parquet:4"]
    assert window.vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int8()])
def test_fixed_size_vectors_are_checked(tmp_path, kind):
    pq.write_table(pa.table({"v": pa.array([[0, 0], [3, 4], [5, 6]], pa.list_(kind, 2))}), tmp_path / "x.parquet")
    pq.write_table(pa.table({"v": pa.array([[1, 2, 3]], pa.list_(kind, 3))}), tmp_path / "y.parquet")
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields(text=None, vector="v"))
    assert [reject[:2] for reject in window.rejects] == [(0, "zero vector"), (3, "vector has 3 numbers, expected 2")]
    assert window.rows.tolist() == [1, 2]
    assert window.vectors.tolist() == [[3, 4], [5, 6]]


@pytest.mark.parametrize("fields", [Fields(), Fields(text="body", id="key"), Fields(text="body", columns=("n",))])
def test_a_missing_parquet_column_is_a_wrong_option(tmp_path, fields):
    pq.write_table(pa.table({"body": ["x"], "id": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="its columns are body, id"):
        outcome(tmp_path, fields, on_unreadable="reject")


def warc(*records: tuple[str, bytes]) -> bytes:
    return b"".join(
        b"WARC/1.0\r\nWARC-Type: %s\r\nWARC-Record-ID: <urn:%d>\r\nContent-Type: %s\r\n"
        b"Content-Length: %d\r\n\r\n%s\r\n\r\n"
        % (kind.encode(), number, b"application/http" if kind == "response" else b"text/plain", len(body), body)
        for number, (kind, body) in enumerate(records)
    )


def http(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body])


HTML = b"Content-Type: text/html"
PAGE = "<html><body><main><p>Ein s\u00fc\u00dfer Text, lang genug, um der Hauptteil zu sein.</p></main></body></html>"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE.encode()), PAGE.encode())
RECORDS = [
    (("warcinfo", b"software: test\r\n"), "no record"),
    (("response", http(PAGE.encode(), HTML)), None),
    (("response", http(PAGE.encode("latin-1"), HTML + b"; charset=ISO-8859-1")), None),
    (("response", http(gzip.compress(PAGE.encode()), HTML, b"Content-Encoding: gzip")), None),
    (("response", http(PAGE.encode(), HTML, b"Content-Encoding: gzip")), None),
    (("response", http(CHUNKED, HTML, b"Transfer-Encoding: chunked")), None),
    (("request", b"GET / HTTP/1.1\r\n\r\n"), "no record"),
    (("response", http(b"%PDF", b"Content-Type: application/pdf; x=1")), "content type application/pdf"),
    (("response", http(b"gone", HTML, status=b"404 Not Found")), "HTTP status 404"),
    (("response", b"nothing of the kind"), "not an HTTP response"),
    (("response", http(b"<html></html>", HTML)), "empty"),
    (("response", http(b"<p>" + b"x" * 90_000, HTML)), "too large"),
    (("response", http(gzip.compress(b"<p>" + b"x" * 5_000_000), HTML, b"Content-Encoding: gzip")), "too large"),
    (("response", http(b"<div>x" * 5000, HTML)), "HTML too intricate"),
    (("response", http(b"<div " + b"a " * 38_000 + b">x", HTML)), "HTML too intricate"),
    (("metadata", b"a: b"), "no record"),
    (("conversion", "s\u00fc\u00df".encode()), None),
    (("conversion", b"\xff"), "invalid UTF-8"),
    (("conversion", b""), "empty"),
]


def test_warc_records_have_their_reasons(tmp_path):
    (tmp_path / "x.warc").write_bytes(warc(*(record for record, _ in RECORDS)))
    ids, rejects = outcome(tmp_path, Fields(max_document_bytes=80_000))
    expected = [(number, reason) for number, (_, reason) in enumerate(RECORDS) if reason != "no record"]
    assert ids == [f"<urn:{number}>" for number, reason in expected if reason is None]
    assert rejects == [(row, reason) for row, (_, reason) in enumerate(expected) if reason]


def test_warc_texts_are_decoded_by_what_they_are(tmp_path):
    (tmp_path / "x.warc").write_bytes(warc(*(record for record, reason in RECORDS if reason is None)))
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields())
    assert window.texts == ["Ein s\u00fc\u00dfer Text, lang genug, um der Hauptteil zu sein."] * 5 + ["s\u00fc\u00df"]


@pytest.mark.parametrize("missing", [1, 3, 5, 20, 60, 170])
def test_a_truncated_warc_is_an_error(tmp_path, missing):
    data = warc(("conversion", b"first"), ("conversion", b"x" * 100))
    (tmp_path / "x.warc").write_bytes(data[:-missing])
    with pytest.raises(UnreadableFile, match=r"x\.warc"):
        outcome(tmp_path, Fields())
    (unit,) = plan_units([str(tmp_path)])
    windows = list(read_unit(unit, Fields(), on_unreadable="reject"))
    assert windows[0].ids[0] == "<urn:0>"
    keep = np.zeros(sum(window.records for window in windows), bool)
    keep[0] = True
    assert export_unit(unit, keep, f"{tmp_path}/out/part", on_unreadable="reject") == [("part.warc", 1)]
    assert (tmp_path / "out" / "part.warc").read_bytes() == warc(("conversion", b"first"))


@pytest.mark.parametrize("data", [b"<html>no archive</html>" * 50, b"WARC/1.0\r\nX: " + b"y" * 100_000])
def test_a_file_that_is_no_warc_is_an_error(tmp_path, data):
    (tmp_path / "x.warc").write_bytes(data)
    with pytest.raises(UnreadableFile):
        outcome(tmp_path, Fields())


@pytest.mark.parametrize("missing", [1, 8, 500])
def test_a_truncated_parquet_file_is_an_error(tmp_path, missing):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": [f"text {number}" for number in range(1000)]}), path)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(UnreadableFile, match=r"x\.parquet: cannot be read as Parquet"):
        outcome(tmp_path, Fields())
    ids, rejects = outcome(tmp_path, Fields(), on_unreadable="reject")
    assert ids == []
    assert len(rejects) == 1


def test_a_damaged_page_of_parquet_is_an_error(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table({"text": [base64.b64encode(bytes([number % 256]) * 99).decode() for number in range(5000)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, data_page_size=20_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableFile, match=r"x\.parquet: cannot be read as Parquet"):
        outcome(tmp_path, Fields())


def test_the_rest_of_a_damaged_file_is_one_reject_and_the_next_file_is_read(tmp_path):
    lines = b"".join(b'{"id": "a%d", "text": "text number %d"}\n' % (number, number) for number in range(9000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-4000])
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"id": "b", "text": "x"}\n'))
    with pytest.raises(UnreadableFile, match=r"a\.jsonl\.gz: ends inside a gzip stream"):
        outcome(tmp_path, Fields(id="id"))
    ids, rejects = outcome(tmp_path, Fields(id="id"), on_unreadable="reject")
    assert 1000 < len(ids) < 9000
    assert ids == [*(f"a{number}" for number in range(len(ids) - 1)), "b"]
    assert rejects == [(len(ids) - 1, "unreadable: ends inside a gzip stream")]

    (unit,) = plan_units([str(tmp_path)])
    keep = np.ones(len(ids) + 1, bool)
    keep[rejects[0][0]] = False
    stem = f"{tmp_path}/out/part"
    assert export_unit(unit, keep, stem, on_unreadable="reject") == [("part.jsonl.gz", len(ids))]
    assert outcome(f"{stem}.jsonl.gz", Fields(id="id")) == (ids, [])
    with pytest.raises(UnreadableFile):
        export_unit(unit, keep, f"{tmp_path}/other")
    with pytest.raises(UnreadableFile):
        export_unit(unit, np.ones(len(ids) + 1, bool), f"{tmp_path}/other", on_unreadable="reject")


@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_a_changed_input_is_noticed(tmp_path, change):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a"}\n')
    (unit,) = plan_units([str(path)])
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(b'{"text": "b"}\n' * (2 if change == "size" else 1))
    with pytest.raises(ChangedInput, match=r"x\.jsonl"):
        list(read_unit(unit, Fields()))
    with pytest.raises(ChangedInput, match=r"x\.jsonl"):
        export_unit(unit, [True], f"{tmp_path}/out")


@pytest.mark.parametrize("keep", [[True], [True, False, True]])
def test_a_mask_of_the_wrong_length_is_refused_and_nothing_is_written(tmp_path, keep):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a"}\n{"text": "b"}\n')
    (unit,) = plan_units([str(tmp_path)])
    with pytest.raises(ValueError, match="records"):
        export_unit(unit, keep, f"{tmp_path}/out/part")
    assert not list(tmp_path.glob("out/*"))


def test_a_document_is_found_by_its_row(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"id": 1, "text": "a"}\n{"id": 2}\n{"id": 3, "text": "c"}\n')
    (unit,) = plan_units([str(tmp_path)])
    assert read_document(unit, 2, Fields(id="id")) == ("3", "c")
    for row in (1, 3):
        with pytest.raises(KeyError):
            read_document(unit, row, Fields(id="id"))


def test_a_file_that_may_not_be_opened_is_unreadable(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a"}\n')
    monkeypatch.setattr(storage, "open_read", refuse)
    with pytest.raises(UnreadableFile, match="Permission denied"):
        outcome(tmp_path, Fields())
    _, rejects = outcome(tmp_path, Fields(), on_unreadable="reject")
    assert [row for row, _ in rejects] == [0]


def test_a_failing_disk_is_not_taken_for_a_bad_file(tmp_path, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error", path)

    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a"}\n')
    monkeypatch.setattr(storage, "open_read", fail)
    with pytest.raises(OSError, match="Input/output error"):
        outcome(tmp_path, Fields(), on_unreadable="reject")


def test_a_very_long_line_in_a_bomb_is_rejected_in_little_memory(tmp_path):
    with gzip.open(tmp_path / "x.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"text": "a"}\n{"text": "')
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + b"\n" * (1 << 16) + b" " * (20 << 20) + b'\n{"text": "z"}')
    tracemalloc.start()
    try:
        ids, rejects = outcome(tmp_path, Fields(max_document_bytes=2_000_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    first, length = 14, 10 + (100 << 20) + 3
    last = first + length + (1 << 16) + (20 << 20) + 1
    assert ids == ["x.jsonl.gz@0", f"x.jsonl.gz@{last}"]
    assert rejects == [(1, "too large")]
    assert peak < 40 << 20


def test_an_unknown_way_with_unreadable_files_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"{}")
    (unit,) = plan_units([str(tmp_path)])
    with pytest.raises(ValueError, match="fail or reject"):
        list(read_unit(unit, Fields(), on_unreadable="ignore"))


@pytest.mark.parametrize("name", ["x.txt", "x.warc"])
@pytest.mark.parametrize("fields", [Fields(text="body"), Fields(vector="v")])
def test_fields_that_a_format_does_not_have_are_refused(tmp_path, name, fields):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="asked for"):
        outcome(tmp_path, fields)


def test_formats_are_known_by_name():
    assert reading.format_names() == ["jsonl", "parquet", "text", "warc"]
    assert reading.identify("gs://a.txt/b.warc.wet.gz") == ("warc", "gzip")
