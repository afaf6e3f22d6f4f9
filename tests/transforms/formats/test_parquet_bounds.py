"""Parquet files of a few KB that stand for gigabytes: read within the bound, or refused before anything is decoded."""

import io
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.corpus.reading import read_unit
from sluice.transforms.formats.parquet import bounds, files, page_headers
from sluice.transforms.records.records import Fields
from sluice.transforms.storage.streams import UnreadableFile

MB = 1 << 20


def entries(value: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))


def one_list(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def rows_together(path) -> int:
    with files.opened(str(path)) as file:
        return bounds.together(file.parquet, file.raw, 0, None, 10_000_000, local=True)


REFUSED = {
    "a page": (
        {"text": ["x" * (330 * MB), "short"]},
        r"row group 0: column 'text' expands to 346 MB at once; at most 320 MB may, which is 32 times --max-document-b",
    ),
    "a list of numbers": (
        {"text": ["a"], "n": one_list(pa.array(np.zeros(100_000_000, np.int32)))},
        r"column 'n\.list\.element' expands to 400 MB at once",
    ),
    "a list of entries": (
        {"text": ["a"], "n": one_list(entries("x" * MB, 1_000_000))},
        r"column 'n\.list\.element' expands to 1,048,576 MB at once",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_expands_above_the_bound_is_refused_naming_the_column(tmp_path, name):
    columns, message = REFUSED[name]
    dictionaries = ["n.list.element"] if name == "a list of entries" else False
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", compression="zstd", use_dictionary=dictionaries)
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    (unit,) = plan_units([str(tmp_path)])
    with pytest.raises(UnreadableFile, match=message):
        next(read_unit(unit, Fields()))


def test_a_long_entry_that_every_row_refers_to_is_read_in_bounded_memory(tmp_path):
    columns = {"text": entries("x" * (4 * MB), 2000), "more": entries("y" * (4 * MB), 2000)}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", compression="zstd")
    code = f"""
        import resource
        from sluice.transforms.corpus.inventory import plan_units
        from sluice.transforms.corpus.reading import read_unit
        from sluice.transforms.records.records import Fields
        (unit,) = plan_units([{str(tmp_path)!r}])
        windows = read_unit(unit, Fields(columns=("more",)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(sum(next(windows).records for _ in range(50)) >= 50)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 1_200_000)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\nTrue\n", done.stderr


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ({"text": ["short"] * 10_000}, 4096),
        ({"text": ["a"] * 10_000, "more": entries("x" * MB, 10_000)}, 256),
        ({"text": ["a"] * 10_000, "more": entries("x" * 1000, 10_000)}, 4096),
    ],
)
def test_as_many_rows_are_decoded_together_as_stay_below_the_bound(tmp_path, columns, rows):
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    assert rows_together(tmp_path / "x.parquet") == rows


def test_a_footer_above_its_bound_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    with open(path, "wb") as file:
        file.truncate(70 * MB)
        file.seek(0, 2)
        file.write(struct.pack("<I", 65 * MB) + b"PAR1")
    message = "has 68 MB that describe its columns; at most 67 MB may"
    with pytest.raises(UnreadableFile, match=message), files.opened(str(path)):
        pass


def test_a_footer_that_contradicts_itself_is_a_damaged_file(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a"] * 10, "n": [[1, 2]] * 10}), path)
    data = bytearray(path.read_bytes())
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    said = set()
    for at in range(start, len(data) - 8, 3):
        flipped = data.copy()
        flipped[at] ^= 1
        path.write_bytes(flipped)
        try:
            with files.opened(str(path)) as file, files.faults(str(path)):
                bounds.together(file.parquet, file.raw, 0, None, 10_000_000, local=True)
        except (UnreadableFile, bounds.TooLarge) as error:
            said.add(type(error))
        except IndexError:  # of row groups: none
            pass
    assert UnreadableFile in said


def page_of(values: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


LENGTHS = st.one_of(st.binary(max_size=6), st.sampled_from([b"x" * 255, b"x" * 256, b"x" * 70_000, b"\0" * 300]))


@given(st.lists(LENGTHS, min_size=1, max_size=6))
def test_the_longest_entry_of_a_dictionary_page_is_told_from_its_bytes(values):
    data = page_of(values)
    page = page_headers.Page(0, len(data), len(data), True, len(values), 0)
    assert page_headers.longest_entry(io.BytesIO(data), page, "UNCOMPRESSED") == max(map(len, values))


@given(st.binary(max_size=300))
def test_any_bytes_have_pages_or_none(data):
    list(page_headers.pages(io.BytesIO(data), 0, len(data)))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pages_say_their_sizes_values_and_encodings(version):
    sink = pa.BufferOutputStream()
    table = pa.table({"x": ["a", "a", "b"]})
    pq.write_table(table, sink, data_page_version=version, compression="none")
    data = sink.getvalue().to_pybytes()
    chunk = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(0)
    found = list(page_headers.pages(io.BytesIO(data), *page_headers.place(chunk)))
    assert [(page.is_dictionary, page.values) for page in found] == [(True, 2), (False, 3)]
    assert (found[0].unpacked, found[0].encoding) == (10, 0) and found[1].encoding in (2, 8)
