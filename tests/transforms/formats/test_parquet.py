"""Parquet: types that are read and copied, names of columns, output files."""

import resource
import subprocess
import sys
import textwrap
from datetime import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import export_unit, read_unit
from sluice.transforms.formats.parquet import arrow_types
from sluice.transforms.records.records import Fields
from sluice.transforms.storage.streams import UnreadableFile
from tests.transforms.parquet_columns_of_every_type import COLUMNS, UUIDS, write

TEXT = Fields()


def windows(path, fields=TEXT):
    return [window for unit in plan_units([str(path)]) for window in read_unit(unit, fields)]


def copied(path, keep, target) -> list[tuple[str, int]]:
    (unit,) = plan_units([str(path)])
    return export_unit(unit, keep, str(target / "part"))


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_every_type_are_copied_with_values_and_type(tmp_path, name):
    column = pa.chunked_array([COLUMNS[name]] * 1000)
    write(pa.table({"text": ["a"] * 3000, "x": column}), tmp_path / "x.parquet", 1700)
    before = pq.read_table(tmp_path / "x.parquet")
    assert before.schema.field("x").type == column.type
    copied(tmp_path / "x.parquet", [False] + [True] * 2999, tmp_path)
    after = pq.read_table(tmp_path / "part.parquet")
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after["x"].equals(before["x"].slice(1))


@pytest.mark.parametrize(
    ("column", "ids"),
    [
        (pa.array([2**64 - 1, 0], pa.uint64()), ["18446744073709551615", "0"]),
        (pa.array([Decimal(10**30), Decimal(7)], pa.decimal128(38, 0)), ["1" + 30 * "0", "7"]),
        (pa.array([Decimal("1.50"), Decimal("2.00")]), ["1.50", "2.00"]),
        (
            pa.array(UUIDS, pa.uuid()),
            ["00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001"],
        ),
        (
            pa.array(UUIDS, pa.binary(16)),
            ["00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001"],
        ),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([b"a", b"b"], pa.binary_view()), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    ],
)
def test_ids_are_the_text_of_numbers_and_uuids(tmp_path, column, ids):
    pq.write_table(pa.table({"text": ["x", "y"], "key": column}), tmp_path / "x.parquet")
    assert [window.ids for window in windows(tmp_path / "x.parquet", Fields(id="key"))] == [ids]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float16())),
        pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_view(pa.float64())),
        pa.array([[1, 2], [3, 4]], pa.list_(pa.decimal128(5, 1))),
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), (2,)), pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2))
        ),
    ],
)
def test_vectors_are_any_lists_of_numbers(tmp_path, column):
    pq.write_table(pa.table({"v": column}), tmp_path / "x.parquet")
    (window,) = windows(tmp_path / "x.parquet", Fields(text=None, vector="v"))
    assert window.vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view(), pa.dictionary(pa.int32(), pa.string())])
def test_the_largest_document_is_measured_in_every_type_of_text(tmp_path, kind):
    pq.write_table(pa.table({"text": pa.array(["short", "x" * 100]).cast(kind)}), tmp_path / "x.parquet")
    (window,) = windows(tmp_path / "x.parquet", Fields(max_document_bytes=50))
    assert (window.texts, [reject.row for reject in window.rejects]) == (["short"], [1])


def test_times_of_96_bits_keep_far_years(tmp_path):
    times = [datetime(9999, 12, 31, 23, 59, 59, 123456), datetime(1, 1, 1)]
    table = pa.table({"text": ["a", "b"], "t": pa.array(times, pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "x.parquet", use_deprecated_int96_timestamps=True, store_schema=False)
    copied(tmp_path / "x.parquet", [True, True], tmp_path)
    assert pq.read_table(tmp_path / "part.parquet")["t"].to_pylist() == times


def test_a_column_that_cannot_be_written_again_is_refused_before_anything_is_read(tmp_path):
    kind = pa.map_(pa.string(), pa.string_view())
    pq.write_table(pa.table({"text": ["a"], "odd": pa.array([[("a", "b")]], kind)}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet: column 'odd' has type map<string, string_view .*cannot be"):
        plan_units([str(tmp_path)])


def test_rows_of_tables_without_columns_are_counted_when_chosen():
    table = pa.table({"a": [1, 2, 3]}).select([])
    assert arrow_types.chosen_rows(table, np.array([True, False, True])).num_rows == 2


def test_a_used_column_that_is_there_twice_is_refused_by_name(tmp_path):
    table = pa.Table.from_arrays([pa.array([name]) for name in "abc"], names=["id", "text", "text"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet has two columns named 'text'"):
        windows(tmp_path / "x.parquet")


def test_unused_columns_with_odd_names_are_copied(tmp_path):
    names = ["text", "x", "x", "", "a.b", "a", "Text"]
    table = pa.Table.from_arrays([pa.array([name, name]) for name in names], names=names)
    pq.write_table(table, tmp_path / "x.parquet")
    assert windows(tmp_path / "x.parquet", Fields(id="a.b"))[0].ids == ["a.b", "a.b"]
    copied(tmp_path / "x.parquet", [True, False], tmp_path)
    after = pq.ParquetFile(tmp_path / "part.parquet").read()
    assert (after.schema.names, [column.to_pylist() for column in after.columns]) == (names, [[name] for name in names])


def test_empty_row_groups_and_files_are_passed_over(tmp_path):
    schema = pa.schema([("text", pa.string())])
    for name, tables in {"a": [[], ["x"], []], "b": [[]]}.items():
        with pq.ParquetWriter(tmp_path / f"{name}.parquet", schema) as writer:
            for texts in tables:
                writer.write_table(pa.table({"text": texts}, schema))
    assert [window.texts for window in windows(tmp_path)] == [["x"]]


def test_notes_about_a_table_make_no_file_of_their_own_and_the_first_stays(tmp_path):
    for number in range(20):
        table = pa.table({"text": [f"{number}"]}).replace_schema_metadata({"pandas": f"index of {number}"})
        pq.write_table(table, tmp_path / f"{number:02d}.parquet")
    assert copied(tmp_path, [True] * 20, tmp_path / "out") == [("part.parquet", 20)]
    after = pq.read_table(tmp_path / "out" / "part.parquet")
    assert after["text"].to_pylist() == [str(number) for number in range(20)]
    assert after.schema.metadata == {b"pandas": b"index of 0"}


def test_columns_that_alternate_are_written_to_few_files_with_few_of_them_open(tmp_path):
    for number in range(60):
        column = pa.array([number], pa.int32() if number % 2 else pa.int64())
        pq.write_table(pa.table({"text": ["a"], "n": column}), tmp_path / f"{number:03d}.parquet")
    names = copied(tmp_path, [True] * 60, tmp_path / "out")
    assert len(names) == 8 and sum(count for _, count in names) == 60
    for name, count in names:
        numbers = pq.read_table(tmp_path / "out" / name)["n"].to_pylist()
        assert numbers == sorted(numbers) and len(numbers) == count


def test_narrow_dictionaries_of_many_files_stay_readable(tmp_path):
    for number in range(4):
        entries = pa.array([f"{number}-{entry}" for entry in range(100)])
        column = pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), entries)
        pq.write_table(pa.table({"text": entries, "x": column}), tmp_path / f"{number}.parquet")
    copied(tmp_path, [True] * 400, tmp_path / "out")
    after = pq.ParquetFile(tmp_path / "out" / "part.parquet")
    texts = [text for group in range(after.num_row_groups) for text in after.read_row_group(group)["x"].to_pylist()]
    assert texts == [f"{number}-{entry}" for number in range(4) for entry in range(100)]


def test_a_hundred_kinds_of_tables_are_copied_with_few_open_files(tmp_path):
    for number in range(100):
        pq.write_table(pa.table({"text": ["a"], f"c{number}": [number]}), tmp_path / f"{number:03d}.parquet")
    code = f"""
        import numpy as np
        from sluice.transforms.corpus.inventory import plan_units
        from sluice.transforms.corpus.reading import export_unit
        (unit,) = plan_units([{str(tmp_path)!r}])
        print(len(export_unit(unit, np.ones(100, bool), {str(tmp_path / "out" / "part")!r})))
    """
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))  # noqa: E731
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=60)
    assert done.stdout == "100\n", done.stderr


def test_lists_of_one_length_with_nulls_are_a_damaged_file_when_read(tmp_path):
    column = pa.array([[1, 2], None], pa.list_(pa.int32(), 2))
    pq.write_table(pa.table({"text": ["a", "b"], "x": column}), tmp_path / "x.parquet")
    with pytest.raises(UnreadableFile, match="all lists to be of size=2"):
        windows(tmp_path / "x.parquet")
