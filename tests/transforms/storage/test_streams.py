"""Decompression and line cutting: whole, in bounds, and never quiet about damage."""

import bz2
import gzip
import lzma
import pickle
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sluice.transforms.storage import streams
from sluice.transforms.storage.lines import lines, owned_lines
from sluice.transforms.storage.streams import UnreadableFile

PACK = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
TEXT = b"".join(b"line %d of a text that compresses\n" % number for number in range(20_000))


def read(path: Path, compression: str) -> bytes:
    return b"".join(streams.read_chunks(str(path), compression))


@pytest.fixture
def file(tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("compression", PACK)
def test_what_was_compressed_comes_back(file, compression):
    assert read(file(PACK[compression](TEXT)), compression) == TEXT


@pytest.mark.parametrize("compression", PACK)
def test_every_member_is_read(file, compression):
    parts = [TEXT[at : at + 7_000] for at in range(0, len(TEXT), 7_000)]
    assert read(file(b"".join(map(PACK[compression], [*parts, b"", b"end"]))), compression) == TEXT + b"end"


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("missing", [1, 2, 5, 9, 100, 1000])
def test_a_truncated_file_is_an_error_after_its_readable_part(file, compression, missing):
    path = file(PACK[compression](TEXT[:5000]) + PACK[compression](TEXT)[:-missing])
    found = b""
    with pytest.raises(UnreadableFile, match=f"{path}: .*{compression}"):
        for chunk in streams.read_chunks(str(path), compression):
            found += chunk
    assert (TEXT[:5000] + TEXT).startswith(found)
    assert len(found) >= 5000


@pytest.mark.parametrize("compression", PACK)
def test_a_flipped_bit_is_an_error(file, compression):
    data = bytearray(PACK[compression](TEXT))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(UnreadableFile):
        read(file(bytes(data)), compression)


GARBAGE = [b"garbage", b"\n", b"\0\0garbage"]


@pytest.mark.parametrize("compression", ["zstd", "xz"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_follows_the_last_frame_of_zstd_or_xz_is_an_error(file, compression, garbage):
    with pytest.raises(UnreadableFile):
        read(file(PACK[compression](TEXT) + garbage), compression)


@pytest.mark.parametrize("compression", ["gzip", "bz2"])
@pytest.mark.parametrize("garbage", [*GARBAGE, b"x" * 3_000_000])
def test_what_follows_the_last_member_of_gzip_or_bzip2_is_passed_over_with_a_warning(
    file, caplog, compression, garbage
):
    path = file(PACK[compression](TEXT) + garbage)
    assert read(path, compression) == TEXT
    assert f"{path}: {len(garbage.lstrip(bytes(compression == 'gzip'))):,} bytes after the end" in caplog.text


@pytest.mark.parametrize("compression", ["gzip", "bz2"])
def test_a_damaged_member_before_sound_ones_is_an_error_after_what_was_sound(file, compression):
    damaged = b"?" + PACK[compression](b"second")[1:]
    path = file(PACK[compression](TEXT) + damaged + PACK[compression](b"third"))
    found = b""
    with pytest.raises(UnreadableFile, match=f"no {compression} stream where the next one begins"):
        for chunk in streams.read_chunks(str(path), compression):
            found += chunk
    assert found == TEXT


@pytest.mark.parametrize("compression", PACK)
def test_a_file_is_what_it_begins_with_whatever_its_name_says(file, compression):
    assert read(file(TEXT), compression) == TEXT
    for named in streams.SUFFIXES:
        assert read(file(PACK[compression](TEXT)), named) == TEXT


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("data", [b"", b"\x1f\x8c\x08\0\0 neither text nor a stream", b"\xff" * 100])
def test_a_file_that_is_neither_text_nor_compressed_is_an_error(file, compression, data):
    with pytest.raises(UnreadableFile, match=f"a {compression} stream"):
        read(file(data), compression)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"PAR1\x15\x04", "a Parquet file"), (b"PK\x03\x04", "a zip archive"), (b"7z\xbc\xaf\x27\x1c", "a 7z archive")],
)
def test_files_of_other_kinds_are_named(file, data, kind):
    with pytest.raises(UnreadableFile, match=f"is {kind}, which its name does not say"):
        read(file(data), "none")
    assert read(file(b"PAR1 is how Parquet files begin"), "none") == b"PAR1 is how Parquet files begin"


def zstd_window(log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=log)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(TEXT) + compressor.flush()


def test_a_wide_zstd_window_is_read_or_its_size_and_the_way_on_are_told(file):
    assert read(file(zstd_window(27)), "zstd") == TEXT
    with pytest.raises(UnreadableFile, match=r"window of 2,048 MB, .* at most 128 MB.* zstd -d --long=31 ") as told:
        read(file(zstd_window(31)), "zstd")
    assert "corrupt" not in str(told.value)


@pytest.mark.parametrize("compression", ["gzip", "xz"])
def test_zero_padding_is_allowed(file, compression):
    data = PACK[compression](TEXT) + bytes(512) + PACK[compression](b"more") + bytes(64)
    assert read(file(data), compression) == TEXT + b"more"


@pytest.mark.parametrize("compression", PACK)
def test_a_bomb_comes_in_small_pieces(file, compression):
    size = 50_000_000
    path = file(PACK[compression](bytes(size)))
    total = 0
    tracemalloc.start()
    try:
        for chunk in streams.read_chunks(str(path), compression):
            assert len(chunk) <= 2 << 20
            total += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 96 << 20


@pytest.mark.parametrize("compression", streams.SUFFIXES)
def test_written_streams_are_the_same_every_time(tmp_path, compression):
    for name in ("a", "b"):
        with streams.open_write(str(tmp_path / name), compression) as out:
            out.write(TEXT[:1000])
            out.write(TEXT[1000:])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read(tmp_path / "a", compression) == TEXT


def test_an_unreadable_file_survives_pickling():
    error = pickle.loads(pickle.dumps(UnreadableFile("a/b", "is bad")))  # noqa: S301
    assert (error.path, error.reason, str(error)) == ("a/b", "is bad", "a/b: is bad")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.gz", ("a", "gzip")), ("a.b.ZST", ("a.b", "zstd")), ("a", ("a", "none")), ("gz", ("gz", "none"))],
)
def test_the_compression_is_told_by_the_name(name, expected):
    assert streams.split_compression(name) == expected


def cut_lines(data: bytes, *, chunk: int, limit: int = 1 << 30) -> list[tuple[int, bytes, bool]]:
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    found = []
    for block in lines(chunks, limit=limit):
        offset = block.offset
        for line in block.lines:
            found.append((offset, line, block.cut))
            offset += len(line) + 1
    return found


DATA = st.lists(st.sampled_from([b"a", b"bc", b" ", b"\r", b"\n", b"\n\n", b"x" * 50]), max_size=60).map(b"".join)


@given(DATA, st.integers(1, 40))
def test_lines_and_their_offsets_are_those_of_a_split(data, chunk):
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    found = cut_lines(data, chunk=chunk)
    assert [line for _, line, _ in found] == expected
    assert all(data[offset : offset + len(line)] == line for offset, line, _ in found)


@given(DATA, st.integers(1, 40), st.integers(1, 30))
def test_a_limit_changes_no_count_and_no_short_line(data, chunk, limit):
    whole = [(offset, line) for offset, line, _ in cut_lines(data, chunk=chunk) if line.strip()]
    found = [item for item in cut_lines(data, chunk=chunk, limit=limit) if item[1].strip()]
    assert [offset for offset, _, _ in found] == [offset for offset, _ in whole]
    for (_, line, cut), (_, expected) in zip(found, whole, strict=True):
        assert expected.strip().startswith(line) and len(expected) > limit if cut else line == expected


def test_a_very_long_line_is_never_held():
    def chunks():
        yield b'first\n{"text": "'
        for _ in range(300):
            yield b"x" * (1 << 20)
        yield b'"}\nlast'

    tracemalloc.start()
    try:
        found = [(block.offset, len(block.lines[0]), block.cut) for block in lines(chunks(), limit=5_000_000)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [(0, 5, False), (6, 4096, True), (6 + 10 + (300 << 20) + 3, 4, False)]
    assert peak < 20 << 20


@given(DATA, st.lists(st.integers(0, 3000), max_size=5), st.integers(1, 40))
def test_ranges_own_every_line_once(data, cuts, chunk):
    edges = sorted({0, len(data), *(at for at in cuts if at < len(data))})
    found = []
    for start, stop in pairwise(edges):
        begin = max(start - 1, 0)
        chunks = iter([data[at : at + chunk] for at in range(begin, len(data), chunk)])
        for block in owned_lines(chunks, begin=begin, start=start, stop=stop, limit=1 << 30):
            assert start <= block.offset < stop
            found.extend(block.lines)
    expected = data.split(b"\n")
    assert found == (expected if expected[-1] else expected[:-1])


def test_a_chunk_reader_reads_like_a_file():
    reader = streams.ChunkReader(iter([b"ab", b"", b"cde"]))
    assert reader.read(1) == b"a"
    assert reader.tell() == 1
    assert reader.read() == b"bcde"


BOMB = """
import resource, sys
from sluice.transforms.storage import streams
from sluice.transforms.storage.lines import lines

with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20),) * 2)
chunks = streams.read_chunks(sys.argv[1], "none")
print([(block.cut, len(block.lines[0])) for block in lines(chunks, limit=10_000_000)])
"""


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_one_line_larger_than_the_memory_is_read_in_less_than_256_mb(tmp_path, compression):
    path = tmp_path / "bomb"
    with streams.open_write(str(path), compression) as out:
        for _ in range(384):
            out.write(b"x" * (1 << 20))
    assert path.stat().st_size < 4 << 20
    done = subprocess.run([sys.executable, "-c", BOMB, str(path)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[(True, 4096)]\n", done.stderr
