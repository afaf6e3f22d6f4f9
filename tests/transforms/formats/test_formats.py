"""Every format and compression: what is read, what is copied, however the files are cut."""

import bz2
import gzip
import itertools
import lzma
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import export_unit, read_unit
from sluice.transforms.records.records import Fields
from sluice.transforms.storage import streams

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs the test corpora")

PACK = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def unpacked(path: Path) -> bytes:
    return b"".join(streams.read_chunks(str(path), streams.split_compression(path.name)[1]))


def documents(inputs, fields, **options) -> dict[str, str]:
    return {
        identity: text
        for unit in plan_units(inputs, **options)
        for window in read_unit(unit, fields)
        for identity, text in zip(window.ids, window.texts, strict=True)
    }


def export_every_other(inputs, fields, folder: Path, **options) -> tuple[dict[str, str], list[Path]]:
    """Keeps the odd rows of every unit: the documents kept, and the files written."""
    kept, files = {}, []
    for unit in plan_units(inputs, **options):
        windows = list(read_unit(unit, fields))
        keep = np.arange(sum(window.records for window in windows)) % 2 == 1
        expected = 0
        for window in windows:
            for row, identity, text in zip(window.rows.tolist(), window.ids, window.texts, strict=True):
                if keep[row]:
                    kept[identity] = text
                    expected += 1
                else:
                    continue
            keep[[reject.row for reject in window.rejects]] = False
        written = export_unit(unit, keep, f"{folder}/part-{unit.id:05d}")
        assert sum(count for _, count in written) == expected
        files += [folder / name for name, _ in written]
    return kept, files


LINES = [
    orjson.dumps({"id": f"d{number}", "text": f"text {number} \u00e9 " * (number % 50 + 1), "n": {"deep": [number]}})
    for number in range(5000)
]


@pytest.mark.parametrize("compression", PACK)
def test_json_lines_are_copied_byte_for_byte(tmp_path, compression):
    path = tmp_path / f"x.json{streams.SUFFIXES[compression]}"
    lines = [*LINES[:9], b"\xff not json", b"  ", b'{ "id" : "spaces" ,  "text":"kept as it is" }\r', *LINES[9:]]
    path.write_bytes(PACK[compression](b"\n".join(lines)))
    kept, (written,) = export_every_other([str(path)], Fields(id="id"), tmp_path / "out")
    assert written.name == f"part-00000.jsonl{streams.SUFFIXES[compression]}"
    assert documents([str(written)], Fields(id="id")) == kept
    records = [line for line in lines if line.strip() and line != b"\xff not json"]
    identities = [orjson.loads(line)["id"] for line in records]
    assert unpacked(written) == b"".join(
        line + b"\n" for line, identity in zip(records, identities, strict=True) if identity in kept
    )
    assert len(kept) == 2501 - 1


LINE = st.tuples(
    st.one_of(st.integers(0, 30), st.integers(0, 300)), st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \n"])
)


@settings(max_examples=25, deadline=None)
@given(lines=st.lists(LINE, max_size=12), final=st.booleans(), target=st.integers(5, 1500))
def test_plain_lines_are_the_same_however_the_file_is_cut(tmp_path_factory, lines, final, target):
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "x.jsonl"
    data = b"".join(orjson.dumps({"text": "t" * (size + 1)}) + end for size, end in lines)
    path.write_bytes(data if final else data.rstrip())
    whole = documents([str(path)], Fields())
    assert list(map(len, whole.values())) == [size + 1 for size, _ in lines]
    assert list(documents([str(path)], Fields(), unit_bytes=target).items()) == list(whole.items())

    kept, files = export_every_other([str(path)], Fields(), folder / "out", unit_bytes=target)
    copied = [text for file in files for text in documents([str(file)], Fields()).values()]
    assert copied == list(kept.values())


def test_windows_are_bounded_in_records_and_bytes(tmp_path):
    many, large = tmp_path / "many.jsonl", tmp_path / "large.jsonl"
    many.write_bytes(b'{"text": "x"}\n' * 10_000)
    large.write_bytes(b'{"text": "%s"}\n' % (b"x" * 5_000_000) * 8)
    (unit,) = plan_units([str(many)])
    assert [window.records for window in read_unit(unit, Fields())] == [4096, 4096, 1808]
    (unit,) = plan_units([str(large)])
    assert [window.records for window in read_unit(unit, Fields())] == [4, 4]


def test_many_small_files_come_in_few_windows(tmp_path):
    for number in range(300):
        (tmp_path / f"{number:03d}.txt").write_text(f"text {number}")
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields())
    assert window.rows.tolist() == list(range(300))
    assert window.ids[7] == "007.txt"
    assert window.texts[299] == "text 299"


@pytest.mark.parametrize("compression", PACK)
def test_text_files_are_copied_as_they_are(tmp_path, compression):
    suffix = streams.SUFFIXES[compression]
    contents = {f"{folder}/{number}.txt{suffix}": f"{folder}{number} \u00e9" for folder in "ab" for number in range(4)}
    for name, text in contents.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(PACK[compression](text.encode()))
    kept, files = export_every_other([f"{tmp_path}/in"], Fields(), tmp_path / "out")
    assert kept == {name: contents[name] for name in sorted(contents)[1::2]}
    for file in files:
        relative = str(file.relative_to(tmp_path / "out" / "part-00000"))
        assert file.read_bytes() == (tmp_path / "in" / relative).read_bytes()


@pytest.mark.parametrize("relative", ["../evil.txt", "/etc/evil.txt", "a/../../../evil.txt", "a\\..\\evil.txt", "a\0b"])
def test_a_text_file_is_never_written_outside_the_output(tmp_path, relative):
    (tmp_path / "x.txt").write_text("x")
    (unit,) = plan_units([f"{tmp_path}/x.txt"])
    evil = type(unit)(0, "text", "none", (unit.spans[0]._replace(relative=relative),))
    with pytest.raises(ValueError, match="cannot be used as a path"):
        export_unit(evil, [True], f"{tmp_path}/out/part")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["x.txt"]


def parquet_table(rows: int) -> pa.Table:
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), metadata={b"role": b"key"}),
            pa.field("doc", pa.struct([("text", pa.string()), ("lang", pa.dictionary(pa.int32(), pa.string()))])),
            pa.field("v", pa.list_(pa.float16(), 4)),
            pa.field("when", pa.timestamp("us", tz="UTC")),
        ],
        metadata={b"origin": b"a test"},
    )
    numbers = range(rows)
    columns = [
        pa.array(numbers, pa.int64()),
        pa.array([{"text": f"text {number}", "lang": "en"} for number in numbers], schema.field("doc").type),
        pa.array([[1, 2, 3, number % 7] for number in numbers], schema.field("v").type),
        pa.array(numbers, schema.field("when").type),
    ]
    return pa.table(columns, schema=schema)


def test_parquet_rows_are_copied_with_every_column_and_the_schema(tmp_path):
    table = parquet_table(1000)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    fields = Fields(id="id", text="doc.text", vector="v")
    kept, files = export_every_other([f"{tmp_path}/x.parquet"], fields, tmp_path / "out", unit_bytes=3000)
    assert len(files) > 2
    copied = pa.concat_tables([pq.read_table(file) for file in files])
    assert copied.schema.equals(pq.read_schema(tmp_path / "x.parquet"), check_metadata=True)
    assert copied.num_rows == len(kept) == 500
    assert copied.equals(pq.read_table(tmp_path / "x.parquet").take([int(identity) for identity in kept]))


def test_parquet_rows_are_the_same_however_the_file_is_cut(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(parquet_table(1000), path, row_group_size=64)
    whole = documents([str(path)], Fields(text="doc.text"))
    assert list(whole)[:2] == ["x.parquet:0", "x.parquet:1"]
    for unit_bytes in (1, 5000, 20_000):
        assert documents([str(path)], Fields(text="doc.text"), unit_bytes=unit_bytes) == whole


def test_parquet_files_of_different_schemas_are_not_mixed(tmp_path):
    for name in "abc":
        columns = {"text": [f"{name}{number}" for number in range(4)], "ac" if name != "b" else "b": range(4)}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    (unit,) = plan_units([str(tmp_path)])
    written = export_unit(unit, [True, False] * 6, f"{tmp_path}/out/part")
    assert written == [("part.parquet", 2), ("part-1.parquet", 2), ("part-2.parquet", 2)]
    tables = [pq.read_table(tmp_path / "out" / name).to_pydict() for name, _ in written]
    assert tables[1] == {"text": ["b0", "b2"], "b": [0, 2]}
    assert tables[2] == {"text": ["c0", "c2"], "ac": [0, 2]}


def test_large_parquet_texts_come_in_small_windows(tmp_path):
    texts = [letter * 5_000_000 for letter in "abcdefgh"]
    pq.write_table(pa.table({"text": texts}), tmp_path / "x.parquet")
    (unit,) = plan_units([str(tmp_path)])
    windows = list(read_unit(unit, Fields()))
    assert [text[0] for window in windows for text in window.texts] == list("abcdefgh")
    assert max(window.records for window in windows) <= 3


def warc_record(number: int, kind: bytes, body: bytes) -> bytes:
    head = b"WARC/1.0\r\nWARC-Type: %s\r\nWARC-Record-ID: <urn:%d>\r\nX-Odd:  kept\r\n" % (kind, number)
    return head + b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("compression", PACK)
def test_warc_records_are_copied_byte_for_byte(tmp_path, compression):
    suffix = streams.SUFFIXES[compression]
    info = warc_record(0, b"warcinfo", b"software: test")
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\npage %d"
    records = [warc_record(number, b"response", page % number) for number in range(1, 30)]
    others = [warc_record(number, b"request", b"GET / HTTP/1.1\r\n\r\n") for number in range(101, 130)]
    data = [info, *itertools.chain(*zip(others, records, strict=True))]
    path = tmp_path / f"x.warc{suffix}"
    path.write_bytes(b"".join(map(PACK[compression], data)))
    kept, (written,) = export_every_other([str(path)], Fields(), tmp_path / "out")
    assert list(kept.items())[:2] == [("<urn:2>", "page 2"), ("<urn:4>", "page 4")]
    assert written.name == f"part-00000.warc{suffix}"
    assert unpacked(written) == info + b"".join(records[1::2])
    assert documents([str(written)], Fields()) == kept


def test_exported_warcs_have_one_gzip_member_for_each_record(tmp_path):
    records = [warc_record(number, b"conversion", b"text %d" % number) for number in range(5)]
    (tmp_path / "x.warc.wet.gz").write_bytes(gzip.compress(b"".join(records)))
    (unit,) = plan_units([str(tmp_path)])
    assert export_unit(unit, [True] * 5, f"{tmp_path}/out/part") == [("part.warc.wet.gz", 5)]
    written = (tmp_path / "out" / "part.warc.wet.gz").read_bytes()
    assert written == b"".join(gzip.compress(record, 3, mtime=0) for record in records)


def test_warc_headers_serve_as_id_and_columns(tmp_path):
    (tmp_path / "x.warc").write_bytes(warc_record(1, b"conversion", b"text"))
    (unit,) = plan_units([str(tmp_path)])
    (window,) = read_unit(unit, Fields(id="x-odd", columns=("WARC-Type", "Content-Length")))
    assert window.ids == ["kept"]
    assert window.columns == {"WARC-Type": ["conversion"], "Content-Length": ["4"]}


def test_an_export_replaces_what_an_earlier_one_left_which_may_be_damaged(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a"}\n{"text": "b"}\n')
    (unit,) = plan_units([f"{tmp_path}/x.jsonl"])
    for keep in ([True, False], [False, True]):
        assert export_unit(unit, keep, f"{tmp_path}/out/part") == [("part.jsonl", 1)]
    assert (tmp_path / "out" / "part.jsonl").read_bytes() == b'{"text": "b"}\n'
    assert export_unit(unit, [False, False], f"{tmp_path}/none/part") == []


def test_other_filesystems_are_read_and_written(tmp_path):
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe_file("/lake/x.jsonl.gz", gzip.compress(b'{"text": "a"}\n{"text": "b"}\n'))
    table = pa.table({"text": ["a", "b"]})
    pq.write_table(table, tmp_path / "x.parquet")
    fs.pipe_file("/lake/y.parquet", (tmp_path / "x.parquet").read_bytes())
    try:
        units = plan_units(["memory://lake"])
        names = [export_unit(unit, [False, True], f"memory://out/{unit.id}") for unit in units]
        assert names == [[("0.jsonl.gz", 1)], [("1.parquet", 1)]]
        assert gzip.decompress(fs.cat_file("/out/0.jsonl.gz")) == b'{"text": "b"}\n'
        assert list(documents(["memory://out/1.parquet"], Fields()).values()) == ["b"]
    finally:
        fs.store.clear()


@needs_data
@pytest.mark.parametrize("path", sorted(DATA.glob("warc/*.warc.gz")) + sorted(DATA.glob("warc/*.wet.gz")), ids=str)
def test_real_archives_round_trip(tmp_path, path):
    kept, files = export_every_other([str(path)], Fields(), tmp_path)
    for file in files:
        assert documents([str(file)], Fields()) == kept
        original, copied = unpacked(path), unpacked(file)
        assert all(part in original for part in copied.split(b"\r\n\r\nWARC/1.0\r\n"))
    assert all(len(text) > 20 for text in kept.values())


@needs_data
def test_a_real_corpus_round_trips(tmp_path):
    path = DATA / "web" / "part-00000.jsonl.gz"
    kept, (written,) = export_every_other([str(path)], Fields(id="id"), tmp_path)
    assert len(kept) == 14585 // 2
    assert unpacked(written) == b"".join(line + b"\n" for line in unpacked(path).splitlines()[1::2])
