"""Texts to measure reading and writing with, in every format that Sluice reads."""

import gzip
import html
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks.measure import SHARED

SHARDS = 4
GZIP_LEVEL = 6

Record = dict[str, Any]


def records(megabytes: float) -> list[Record]:
    """Documents with at least so many megabytes (10**6 bytes) of text: id, text and further fields.

    Those of the mixed web corpus beside the repository, or, without it, the standard library's docstrings; repeated
    under new ids when they are too few.
    """
    found: list[Record] = []
    size = 0.0
    for turn in itertools.count():
        for record in _web() if SHARED.is_dir() else _docstrings():
            found.append(record | {"id": f"{record['id']}-{turn}"})
            size += len(record["text"].encode()) / 1e6
            if size >= megabytes:
                return found
        if not found:
            raise ValueError("no documents were found")
    raise AssertionError("count() does not end")


def _web() -> Iterator[Record]:
    for shard in sorted((SHARED / "web").glob("*.jsonl.gz")):
        with gzip.open(shard, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _docstrings() -> Iterator[Record]:
    import sysconfig

    from sluice.pipelines.commands.sample_corpus.command import write_sample_corpus

    with tempfile.TemporaryDirectory() as folder:
        write_sample_corpus(f"{folder}/corpus", roots=[sysconfig.get_paths()["stdlib"]])
        for shard in sorted(Path(folder, "corpus").glob("*.jsonl")):
            with open(shard, encoding="utf-8") as lines:
                yield from map(json.loads, lines)


def write(folder: str | Path, documents: list[Record], kind: str) -> None:
    """Write the documents into 4 files of one of KINDS."""
    suffix, encode = KINDS[kind]
    Path(folder).mkdir(parents=True, exist_ok=True)
    per_file = -(-len(documents) // SHARDS)
    for number in range(SHARDS):
        here = documents[number * per_file : (number + 1) * per_file]
        encode(Path(folder) / f"texts-{number:05d}{suffix}", here)


def _lines(documents: list[Record]) -> bytes:
    return b"".join(json.dumps(document, ensure_ascii=False).encode() + b"\n" for document in documents)


def _parquet(path: Path, documents: list[Record]) -> None:
    plain = [
        {name: json.dumps(value) if isinstance(value, dict) else value for name, value in one.items()}
        for one in documents
    ]
    pq.write_table(pa.Table.from_pylist(plain), path, row_group_size=10_000, compression="zstd")


def _archive(path: Path, documents: list[Record], kind: str, body: Callable[[str], bytes]) -> None:
    """Each record is a gzip member of its own, as archives of the web have it."""
    with open(path, "wb") as file:
        for number, document in enumerate(documents):
            content = body(document["text"])
            head = (
                f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
                f"WARC-Record-ID: <urn:uuid:{number:08x}-0000-4000-8000-000000000000>\r\n"
                f"WARC-Target-URI: https://example.org/{number}\r\n"
                f"Content-Type: {'text/plain' if kind == 'conversion' else 'application/http; msgtype=response'}\r\n"
                f"Content-Length: {len(content)}\r\n\r\n"
            )
            file.write(gzip.compress(head.encode() + content + b"\r\n\r\n", GZIP_LEVEL))


def _page(text: str) -> bytes:
    """An HTTP response with a small HTML page whose main text this is."""
    paragraphs = "".join(f"<p>{html.escape(part)}</p>\n" for part in text.split("\n") if part.strip())
    body = (
        "<!DOCTYPE html><html><head><meta charset='utf-8'><title>A page</title></head><body>"
        "<nav><a href='/'>Home</a> <a href='/about'>About</a></nav>"
        f"<main><article><h1>A page</h1>\n{paragraphs}</article></main>"
        "<footer>Contact</footer></body></html>"
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body


KINDS: dict[str, tuple[str, Callable[[Path, list[Record]], Any]]] = {
    "JSON lines": (".jsonl", lambda path, found: path.write_bytes(_lines(found))),
    "JSON lines, zstd": (
        ".jsonl.zst",
        lambda path, found: path.write_bytes(zstandard.ZstdCompressor(3).compress(_lines(found))),
    ),
    "JSON lines, gzip": (".jsonl.gz", lambda path, found: path.write_bytes(gzip.compress(_lines(found), GZIP_LEVEL))),
    "Parquet, zstd": (".parquet", _parquet),
    "WET": (".warc.wet.gz", lambda path, found: _archive(path, found, "conversion", str.encode)),
    "WARC": (".warc.gz", lambda path, found: _archive(path, found, "response", _page)),
}
