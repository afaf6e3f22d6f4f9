"""Small inputs made to be huge, or slow: what a command that meets one takes, beside the same command without.

Peaks are of a whole process; what a curation of a few sound records holds is the first row.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks import measure
from benchmarks.reliability.launching import Launcher

MB = 1 << 20
SAID = 70  # characters of a message in the table
WORDS = "The harbour was rebuilt after the flood, and the council kept a record of every stone along the quay. "
_RECORD = (
    b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:%d>\r\nWARC-Target-URI: http://example.org/%d\r\n"
    b"WARC-Date: 2024-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
    b"Content-Length: %d\r\n\r\n%s\r\n\r\n"
)


def bombs(launcher: Launcher, work: Path) -> str:
    """A row for each input: its bytes, exit code, seconds, peak memory and what the command says."""
    rows = []
    for number, name in enumerate(INPUTS):
        folder = work / f"bomb-{number:02d}"
        folder.mkdir()
        # What making one takes would count as the command's, which is forked from this process.
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as maker:
            command = maker.submit(_make, name, folder).result()
        stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        ended = launcher.run(command)
        said = "" if ended.code == 0 else ended.message.replace(str(folder), "...").replace("|", r"\|")
        seconds, peak = f"{ended.seconds:.1f} s", f"{ended.peak:,.0f} MB"
        rows.append((name, f"{stored:,}", ended.code, seconds, peak, said[:SAID]))
    return measure.table(("input", "bytes", "exit code", "time", "peak memory", "message"), rows)


def _make(name: str, folder: Path) -> list[str]:
    return INPUTS[name](folder)


def _curate(folder: Path, *more: str) -> list[str]:
    run = ["--run", str(folder.parent / f"{folder.name}-run"), "--recipe", "random", "--keep", "1.0"]
    return ["curate", "--input", str(folder), *run, "--unreadable", "reject", "--max-reject-share", "0.9", *more]


def _sound(folder: Path, name: str = "sound.jsonl", count: int = 50) -> None:
    lines = [json.dumps({"text": f"{WORDS}{number}"}) for number in range(count)]
    (folder / name).write_text("\n".join(lines) + "\n")


def _squeezed(size: int, layers: int = 1) -> bytes:
    """gzip data that expands to `size` zeros, perhaps several times over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(packer.compress(bytes(MB)) for _ in range(size // MB)) + packer.flush()
    for _ in range(layers - 1):
        data = gzip.compress(data, 9, mtime=0)
    return data


def _archive(folder: Path, *bodies: tuple[bytes, bytes]) -> None:
    """A WARC file of a sound page and pages with the given (headers, body)."""
    page = f"<html><body><main><p>{WORDS * 5}</p></main></body></html>".encode()
    records = []
    for number, (headers, body) in enumerate([(b"", page), *bodies]):
        response = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n" + headers + b"\r\n" + body
        records.append(_RECORD % (number, number, len(response), response))
    (folder / "pages.warc").write_bytes(b"".join(records))


def _page(html: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        _archive(folder, (b"", html.encode()))
        return _curate(folder)

    return make


def _coded(coding: bytes, size: int, layers: int) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        _archive(folder, (b"Content-Encoding: " + coding + b"\r\n", _squeezed(size, layers)))
        return _curate(folder)

    return make


def _nothing(folder: Path) -> list[str]:
    _sound(folder)
    return _curate(folder)


def _dictionary(folder: Path) -> list[str]:
    _sound(folder)
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 4000, pa.int32()), pa.array(["x" * MB]))
    pq.write_table(pa.table({"text": text}), folder / "dictionary.parquet", compression="zstd")
    return _curate(folder)


def _large_value(folder: Path) -> list[str]:
    _sound(folder)
    text = pa.array(["x" * (1 << 30), "short"])
    pq.write_table(pa.table({"text": text}), folder / "value.parquet", compression="zstd", use_dictionary=False)
    return _curate(folder)


def _long_line(folder: Path) -> list[str]:
    _sound(folder)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with open(folder / "line.jsonl.gz", "wb") as file:
        file.write(packer.compress(b'{"text": "'))
        for _ in range(2048):
            file.write(packer.compress(b"x" * MB))
        file.write(packer.compress(b'"}\n') + packer.flush())
    return _curate(folder)


def _deep(folder: Path) -> list[str]:
    _sound(folder)
    (folder / "deep.jsonl").write_text('{"text": "a", "more": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}\n")
    return _curate(folder)


def _window(folder: Path) -> list[str]:
    _sound(folder)
    settings = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    target = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=settings).stream_writer(target, closefd=False) as out:
        out.write(json.dumps({"text": WORDS}).encode() + b"\n")
    (folder / "window.jsonl.zst").write_bytes(target.getvalue())
    return _curate(folder)


def _aliases(folder: Path) -> list[str]:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for number in range(1, 10):
        lines.append(f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]")
    (folder / "recipe.yaml").write_text("\n".join(lines) + "\n")
    return ["status", str(folder)]


def _layers(folder: Path) -> list[str]:
    _sound(folder)
    model = folder.parent / f"{folder.name}-model"
    model.mkdir()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 10**9}
    config = {"model_type": "bert", "vocab_size": 100, "max_position_embeddings": 64, "type_vocab_size": 2, **sizes}
    (model / "config.json").write_text(json.dumps(config))
    (model / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return [*_curate(folder, "--model", str(model)), "--recipe", "semdedup"]


INPUTS: dict[str, Callable[[Path], list[str]]] = {
    "50 sound records": _nothing,
    "page, gzip of 1 GB": _coded(b"gzip", 1 << 30, 1),
    "page, gzip of gzip of 2 GB": _coded(b"gzip, gzip", 1 << 31, 2),
    "page of 200 x 1,900 nested blocks": _page(("<div>" * 1900 + WORDS + "</div>" * 1900) * 200),
    "page of 100,000 paragraphs, 1,900 deep": _page("<div>" * 1900 + "<p>x</p>" * 100_000 + "</div>" * 1900),
    "page of 50 x 4,000 attributes": _page(("<div " + " ".join(f"a{n:x}" for n in range(4000)) + ">t</div>") * 50),
    "Parquet, one value of 1 MB in 4,000 rows": _dictionary,
    "Parquet, a value of 1 GB": _large_value,
    "JSON lines, gzip of a line of 2 GB": _long_line,
    "JSON lines, 1,000,000 lists in each other": _deep,
    "zstd with a window of 2 GB": _window,
    "recipe.yaml of a run: 10^10 aliases": _aliases,
    "config.json: 10^9 layers": _layers,
}
