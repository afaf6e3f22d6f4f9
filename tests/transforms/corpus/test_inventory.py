"""Planning: which files, in which order, cut and packed how."""

import os

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.transforms.corpus.inventory import plan_inputs, plan_units, table_to_units, units_to_table
from sluice.transforms.storage import FileInfo, listing


@pytest.fixture
def corpus(tmp_path):
    for name, size in {"b/two.jsonl": 300, "a/one.jsonl": 200, "a/x.jsonl.gz": 50, "c.jsonl": 2500}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
    return tmp_path


def spans(units):
    return [(unit.id, unit.compression, [(s.relative, s.start, s.stop) for s in unit.spans]) for unit in units]


def test_what_is_said_about_tables_is_no_document(tmp_path, caplog):
    """As the folders of data sets have it; in a folder of texts a README is one of them."""
    for name in ("README.md", "LICENSE", "data/a.jsonl", "data/license.jsonl", "data/dataset_info.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    found = [span.relative for unit in plan_units([str(tmp_path)]) for span in unit.spans]
    assert found == ["data/a.jsonl", "data/license.jsonl"]
    assert all(f"{tmp_path}/{name}" in caplog.text for name in ("README.md", "LICENSE", "data/dataset_info.json"))
    named = plan_units([str(tmp_path / "README.md"), str(tmp_path / "data" / "a.jsonl")])
    assert [unit.format for unit in named] == ["text", "jsonl"]
    assert len(plan_units([f"{tmp_path}/*.md"])) == 1
    (tmp_path / "LICENSE").rename(tmp_path / "page.txt")
    names = [span.relative for unit in plan_units([str(tmp_path)]) for span in unit.spans]
    assert "README.md" in names and "page.txt" in names


def test_large_files_are_cut_and_small_ones_packed_by_path(corpus):
    assert spans(plan_units([str(corpus)], unit_bytes=1000)) == [
        (0, "none", [("a/one.jsonl", 0, 200)]),
        (1, "gzip", [("a/x.jsonl.gz", 0, 50)]),
        (2, "none", [("b/two.jsonl", 0, 300)]),
        (3, "none", [("c.jsonl", 0, 833)]),
        (4, "none", [("c.jsonl", 833, 1666)]),
        (5, "none", [("c.jsonl", 1666, 2500)]),
    ]
    assert spans(plan_units([f"{corpus}/*/*.jsonl"], unit_bytes=1000)) == [
        (0, "none", [("a/one.jsonl", 0, 200), ("b/two.jsonl", 0, 300)])
    ]


def test_the_order_of_inputs_and_naming_a_file_twice_change_nothing(corpus):
    once = plan_units([f"{corpus}/a", f"{corpus}/b"])
    assert plan_units([f"{corpus}/b", f"{corpus}/a/*.jsonl", f"{corpus}/a", f"{corpus}/b/two.jsonl"]) == once
    assert [s.relative for unit in once for s in unit.spans] == ["a/one.jsonl", "a/x.jsonl.gz", "b/two.jsonl"]


def test_a_single_file_is_known_by_its_name(corpus):
    (unit,) = plan_units([f"{corpus}/a/one.jsonl"])
    assert unit.spans[0].relative == "one.jsonl"


def test_files_of_one_name_in_two_inputs_stay_distinct(corpus):
    (corpus / "b" / "one.jsonl").write_bytes(b"y")
    units = plan_units([f"{corpus}/a/one.jsonl", f"{corpus}/b/one.jsonl"])
    assert [s.relative for unit in units for s in unit.spans] == ["a/one.jsonl", "b/one.jsonl"]


def test_inputs_on_two_filesystems_are_read_together(corpus):
    with fsspec.open("memory://bucket/a/one.jsonl", "wb") as file:
        file.write(b"{}\n")
    units = plan_units(["memory://bucket", f"{corpus}/a/one.jsonl"])
    relatives = [s.relative for unit in units for s in unit.spans]
    assert len(set(relatives)) == 2
    assert all(relative.endswith("a/one.jsonl") for relative in relatives)


def test_parquet_is_cut_at_row_groups(tmp_path):
    table = pa.table({"text": [os.urandom(500).hex() for _ in range(100)]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=10, use_dictionary=False)
    units = plan_units([str(tmp_path)], unit_bytes=25_000)
    ranges = [(s.start, s.stop) for unit in units for s in unit.spans]
    assert ranges == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert len(units) == 5


def test_an_unknown_kind_of_file_is_refused_unless_the_format_is_named(tmp_path):
    (tmp_path / "data.bin.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data\.bin\.gz: unknown kind of file; known are .*\.jsonl"):
        plan_units([str(tmp_path)])
    (unit,) = plan_units([str(tmp_path)], format="jsonl")
    assert (unit.format, unit.compression) == ("jsonl", "gzip")


def test_compressed_parquet_is_refused(tmp_path):
    (tmp_path / "x.parquet.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"x\.parquet\.gz: parquet files are not read through gzip"):
        plan_units([str(tmp_path)])


def test_an_unknown_format_is_refused(corpus):
    with pytest.raises(ValueError, match="no format 'csv'; there are jsonl, parquet, text, warc"):
        plan_units([str(corpus)], format="csv")


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        plan_units([f"{tmp_path}/none/*.jsonl"])
    with pytest.raises(ValueError, match="no inputs"):
        plan_units([])


def test_hidden_files_and_markers_are_left_out(corpus):
    (corpus / "a" / "_SUCCESS").write_bytes(b"")
    (corpus / "a" / ".part.jsonl.tmp").write_bytes(b"")
    assert len(plan_units([f"{corpus}/a"])) == 2


def test_what_inputs_do_not_read_is_counted_by_kind_and_named_once(corpus, caplog):
    for name in ("_SUCCESS", ".hidden", "README.md"):
        (corpus / name).write_bytes(b"x")
    (corpus / "gone.jsonl").symlink_to("/nonexistent")
    inputs = [f"{corpus}/*", f"{corpus}/a", f"{corpus}/b", f"{corpus}/README.md"]
    assert plan_inputs(inputs).unread == {"broken links": 1, "folders": 2, "hidden names": 2}
    assert plan_inputs([str(corpus)]).unread == {"broken links": 1, "files about the data": 1, "hidden names": 2}
    assert plan_inputs([f"{corpus}/a"]).unread == {}
    assert f"5 entries were not read: broken links: 1 ({corpus}/gone.jsonl); folders: 2 (" in caplog.text


@pytest.mark.parametrize("name", ["../x.txt", "a/../../x.txt", "a//x.txt"])
def test_an_object_whose_name_climbs_out_is_refused(monkeypatch, name):
    found = [FileInfo(f"memory:///corpus/{name}", 1, "1")]
    monkeypatch.setattr(listing, "list_entries", lambda pattern: listing.Listing(found))
    with pytest.raises(ValueError, match="outside the corpus"):
        plan_units(["memory://corpus"])


def test_units_survive_the_table(corpus):
    units = plan_units([str(corpus)], unit_bytes=1000)
    table = units_to_table(units)
    assert table.num_rows == 6
    assert table_to_units(table) == units
    assert table_to_units(units_to_table([])) == []
