"""Embedding speed of the default model, and its ratio to sentence-transformers on PyTorch over the same documents.

    python benchmarks/embed.py --documents 500
    python benchmarks/embed.py --documents 500 --peer --peer-python /path/to/venv/bin/python
    python benchmarks/embed.py --documents 100 --dtype float32 bfloat16 --peer --peer-python /path/to/venv/bin/python

The peer's environment holds torch, transformers and sentence-transformers. Both sides run alternately, `--rounds`
times, and the best of each counts; on a busy machine compare core-seconds. Work is counted on unpadded tokens.

What was tried for MiniLM-L6 in float32 on 2 cores of an AMD EPYC with AVX2, where products reach 165 GFLOP/s at best
(GFLOP/s are per core-second at 4 texts of 128 tokens, unless said otherwise):
- tokens a call: 512 and 256 level (26-31 documents/s before the rest), 1024 21-28, 2048 16: activations leave the cache
- heads outside of the attention products, softmax divided after them, erf written out: 67 -> 73
- two calls in flight, each filling the gaps the other leaves between its products: 67 -> 76 GFLOP/s of wall-clock
  time on a busy machine, no core-seconds lost
- joined query, key and value: one product at 153 instead of three at 136 GFLOP/s
- jax.nn.dot_product_attention in place of models/layers.py's attend: equal to 3e-7, 0 to 9 % more core time
- one-pass variance, transposed keys, heads kept inside (slower): no gain, left out
- malloc settings (mallopt): page faults are already nil at 512 tokens a call; only 4096 and more gain

bfloat16 on the same processor, which computes none itself: XLA widens both sides of each product to float32 and rounds
its result (seen in the compiled program), so it does float32's work and the conversions: 11.5 documents/core-second
against 16.4, where PyTorch does 2.2 against 8.2 (40 documents). Computing in float32 where bfloat16 was asked for would
be faster and give other vectors than the recipe says; `auto`, which is float32 on CPUs, does that openly.
"""

import argparse
import ast
import gzip
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WEB = Path(__file__).parents[2] / "shared" / "data" / "web" / "part-00000.jsonl.gz"


def documents(count: int) -> list[str]:
    """The first `count` web documents, or docstrings of the standard library where that corpus is absent."""
    if WEB.exists():
        with gzip.open(WEB, "rt", encoding="utf-8") as lines:
            return [json.loads(line)["text"] for line, _ in zip(lines, range(count))]
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts or len(found) >= count:
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found += filter(None, (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, nodes)))
    return found[:count]


class Spent(NamedTuple):
    """Wall-clock seconds, and core-seconds of the whole process."""

    seconds: float
    core_seconds: float


def spend(work: Callable[[], Any]) -> Spent:
    start, cores = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - start, time.process_time() - cores)


def best_seconds(work: Callable[[], Any], rounds: int) -> float:
    return min(spend(work).seconds for _ in range(rounds))


def product_peak() -> float:
    """FLOP/s of the better of NumPy's and JAX's float32 matrix product, at the shape of the model's widest layer."""
    import jax
    import jax.numpy as jnp

    rows, inner, columns, repeats = 512, 384, 1536, 50
    left, right = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    product = jax.jit(jnp.matmul)
    on_device = jax.device_put(left), jax.device_put(right)
    attempts = (
        lambda: [left @ right for _ in range(repeats)],
        lambda: jax.block_until_ready([product(*on_device) for _ in range(repeats)]),
    )
    return 2 * rows * inner * columns * repeats / min(best_seconds(attempt, 8) for attempt in attempts)


def model_work(model: str, lengths: np.ndarray) -> float:
    """FLOPs of the matrix products that embedding texts of `lengths` tokens takes, padding not counted."""
    config = json.loads(Path(model, "config.json").read_text(encoding="utf-8"))
    size, layers, wide = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    tokens, squares = float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
    return layers * (tokens * 2 * (4 * size * size + 2 * size * wide) + squares * 4 * size)


class Peer:
    """sentence-transformers in another interpreter: `embed()` embeds all documents once more."""

    def __init__(self, python: str, model: str, texts: list[str], dtype: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._vectors = Path(self._folder.name, "vectors.npy")
        Path(self._folder.name, "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [python, __file__, "--as-peer", self._folder.name, "--model", model, "--dtype", dtype],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._read("ready")

    def _read(self, word: str) -> list[float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return [float(value) for value in line.split()[1:]]
        raise RuntimeError(f"the peer ended with {self._process.wait()}: does its environment import?")

    def embed(self) -> Spent:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return Spent(*self._read("spent"))

    def vectors(self) -> np.ndarray:
        return np.load(self._vectors)


def serve_as_peer(folder: str, model: str, dtype: str) -> None:
    """What the other interpreter runs: load, then embed everything for each line read."""
    import torch
    from sentence_transformers import SentenceTransformer

    texts = json.loads(Path(folder, "texts.json").read_text(encoding="utf-8"))
    encoder = SentenceTransformer(model, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    encoder.max_seq_length = 256
    encoder.encode(texts[:64])

    def embed() -> None:
        found = encoder.encode(texts, batch_size=32, normalize_embeddings=True, convert_to_tensor=True)
        np.save(Path(folder, "vectors.npy"), found.float().numpy())

    print("ready", flush=True)
    for _ in sys.stdin:
        spent = spend(embed)
        print("spent", *spent, flush=True)


class Side:
    """One dtype: our embedder, the peer's where there is one, and what each round of theirs took."""

    def __init__(self, model: str, dtype: str, texts: list[str], *, cache: str | None, peer: str | None) -> None:
        from sluice.models.embedder import EmbedderConfig, load

        self.dtype, self.texts = dtype, texts
        start = time.perf_counter()
        self.embedder = load(EmbedderConfig(model, dtype=dtype, cache=cache))
        self.loaded = time.perf_counter() - start
        self.vectors = self.embedder.embed(texts)
        self.first = time.perf_counter() - start - self.loaded
        self.counters = replace(self.embedder.counters)
        self.peer = Peer(peer, model, texts, dtype) if peer else None
        self.ours: list[Spent] = []
        self.theirs: list[Spent] = []

    def round(self) -> None:
        self.ours.append(spend(lambda: self.embedder.embed(self.texts)))
        if self.peer:
            self.theirs.append(self.peer.embed())

    def row(self, exact: np.ndarray, work: float, peak: float) -> list[str]:
        """Cells of the table; `exact`: vectors in float32, `work`: FLOPs of a round."""
        documents = len(self.texts)
        seconds, cores = (min(values) for values in zip(*self.ours))
        cells = [self.dtype, f"{documents / seconds:.1f}", f"{documents / cores:.1f}"]
        cells += [f"{work / seconds / 1e9:.1f}", f"{work / seconds / peak:.0%}", _cosine(self.vectors, exact)]
        if not self.peer:
            return cells
        peer_seconds, peer_cores = (min(values) for values in zip(*self.theirs))
        cells += [f"{documents / peer_seconds:.1f}", f"{documents / peer_cores:.1f}"]
        cells += [f"{peer_seconds / seconds:.2f}", f"{peer_cores / cores:.2f}"]
        return [*cells, _cosine(self.peer.vectors(), exact)]


def _cosine(vectors: np.ndarray, exact: np.ndarray) -> str:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(exact, axis=1)
    return f"{float(((vectors * exact).sum(axis=1) / lengths).min()):.6f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--model", default=None, help="a model directory; all-MiniLM-L6-v2 by default")
    parser.add_argument(
        "--dtype", nargs="+", default=["float32"], choices=("float32", "bfloat16"), help="of both sides"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", default=None, help="directory of compiled programs")
    parser.add_argument("--peer", action="store_true", help="also run sentence-transformers")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with sentence-transformers")
    parser.add_argument("--as-peer", default=None, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.as_peer:
        serve_as_peer(flags.as_peer, flags.model, flags.dtype[0])
        return

    import measure

    from sluice.models.default_model import default_model_dir
    from sluice.models.embedder import EmbedderConfig, load

    model = flags.model or default_model_dir()
    texts = documents(flags.documents)
    print(f"{measure.machine()}, {len(os.sched_getaffinity(0))} of them usable")
    peer = flags.peer_python if flags.peer else None
    sides = [Side(model, dtype, texts, cache=flags.cache, peer=peer) for dtype in dict.fromkeys(flags.dtype)]
    for _ in range(flags.rounds):
        for side in sides:
            side.round()
    exact = next((side.vectors for side in sides if side.dtype == "float32"), None)
    if exact is None:
        exact = load(EmbedderConfig(model, cache=flags.cache)).embed(texts)
    embedder, counters = sides[0].embedder, sides[0].counters
    counting = best_seconds(lambda: embedder.count_tokens(texts), 3)
    work = model_work(model, np.array([len(ids) for ids in embedder.tokenize(texts)]))
    peak = product_peak()

    for side in sides:
        print(f"{side.dtype}: load {side.loaded:.1f} s, first pass with compiling {side.first:.1f} s")
    padding = counters.padded_tokens / (counters.tokens + counters.padded_tokens)
    print(f"{len(texts)} documents, {counters.tokens} tokens, {padding:.1%} padding besides")
    print(f"tokens counted/s {embedder.count_tokens(texts).sum() / counting:.0f}")
    print(f"float32 products at best {peak / 1e9:.0f} GFLOP/s")
    header = ["dtype", "documents/s", "/core-second", "GFLOP/s", "of peak", "least cosine to float32"]
    if peer:
        header += ["peer documents/s", "/core-second", "ratio", "by core-seconds", "its least cosine"]
    print(measure.table(header, [side.row(exact, work, peak) for side in sides]))


if __name__ == "__main__":
    main()
