"""Embedding speed of a model, and its ratio to sentence-transformers on PyTorch over the same documents.

    python -m benchmarks.embed --documents 500
    python -m benchmarks.embed --documents 500 --peer --peer-python /path/to/venv/bin/python
    python -m benchmarks.embed --documents 100 --dtype float32 bfloat16 --peer --peer-python /path/to/venv/bin/python
    python -m benchmarks.embed --documents 50000 --device cuda --dtype bfloat16 --peer --peer-batch 512

The peer's environment holds torch, transformers and sentence-transformers; it runs on the same kind of device in the
same dtype. Both sides run alternately, `--rounds` times, and the best of each counts; on a busy machine compare
core-seconds. A directory without sentence-transformers files is pooled as that library would: the mean, and OPT by the
convention "huggingface".

MFU: FLOP/s over `product_peak`, measured in the same run. The FLOPs are those of `model_work`, for the tokens alone.
Padding: the share of the computed positions that hold no token. Cosine: the least one to our vectors in float32.

What was tried for MiniLM-L6 in float32 on 2 cores of an AMD EPYC with AVX2, where products reach 165 GFLOP/s at best
(GFLOP/s are per core-second at 4 texts of 128 tokens, unless said otherwise):
- tokens a call: 512 and 256 level (26-31 documents/s before the rest), 1024 21-28, 2048 16: activations leave the cache
- heads outside of the attention products, softmax divided after them, erf written out: 67 -> 73
- two calls in flight, each filling the gaps the other leaves between its products: 67 -> 76 GFLOP/s of wall-clock
  time on a busy machine, no core-seconds lost
- joined query, key and value: one product at 153 instead of three at 136 GFLOP/s
- jax.nn.dot_product_attention in place of models/layers/blocks.py's attend: equal to 3e-7, 0 to 9 % more core time
- one-pass variance, transposed keys, heads kept inside (slower): no gain, left out
- malloc settings (mallopt): page faults are already nil at 512 tokens a call; only 4096 and more gain

bfloat16 on the same processor, which computes none itself: XLA widens both sides of each product to float32 and rounds
its result (seen in the compiled program), so it does float32's work and the conversions: 11.5 documents/core-second
against 16.4, where PyTorch does 2.2 against 8.2 (40 documents). Computing in float32 where bfloat16 was asked for would
be faster and give other vectors than the recipe says; `auto`, which is float32 on CPUs, does that openly.
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.embed.flops import Peak, Spent, best_seconds, model_work, product_peak, spend
from benchmarks.embed.peer import MAX_TOKENS, PEER_DEVICES, Peer, serve_as_peer
from benchmarks.embed.samples import documents


def config_of(model: str, dtype: str, cache: str | None) -> Any:
    """An EmbedderConfig with the pooling and convention that sentence-transformers takes for the same directory."""
    from sluice.models.checkpoints.files import local_directory
    from sluice.models.embedders.chain import read_chain
    from sluice.models.embedders.load import EmbedderConfig

    config = EmbedderConfig(model, MAX_TOKENS, dtype=dtype, cache=cache)
    alone = not read_chain(local_directory(model)).steps
    return replace(config, pooling="mean", convention="huggingface") if alone else config


class Side:
    """One dtype: our embedder, the peer's where there is one, and what each round of theirs took."""

    def __init__(self, config: Any, texts: list[str], peer: Callable[[str], Peer] | None) -> None:
        from sluice.models.embedders.load import load

        self.dtype, self.texts = config.dtype, texts
        start = time.perf_counter()
        self.embedder = load(config)
        self.loaded = time.perf_counter() - start
        self.vectors = self.embedder.embed(texts)
        self.first = time.perf_counter() - start - self.loaded
        self.counters = replace(self.embedder.counters)
        self.peer = peer(self.dtype) if peer else None
        self.ours: list[Spent] = []
        self.theirs: list[Spent] = []

    def round(self) -> None:
        self.ours.append(spend(lambda: self.embedder.embed(self.texts)))
        if self.peer:
            self.theirs.append(self.peer.embed())

    def rows(self, exact: np.ndarray, work: float, peak: Peak, *, on_cpu: bool) -> Iterator[list[str]]:
        """Cells of the table; `exact`: vectors in float32, `work`: FLOPs of a round."""
        documents, tokens = len(self.texts), self.counters.tokens
        padding = self.counters.padded_tokens / (tokens + self.counters.padded_tokens)
        found = [("Sluice", self.ours, padding, self.vectors)]
        if self.peer:
            found.append(("sentence-transformers", self.theirs, self.peer.padding, self.peer.vectors()))
        for name, rounds, padding, vectors in found:
            seconds, cores = map(min, zip(*rounds))
            cells = [f"{name}, {self.dtype}", f"{documents / seconds:,.1f}", f"{documents / cores:,.1f}"]
            cells += [f"{tokens / seconds:,.0f}", f"{work / seconds / 1e9:,.1f}", f"{work / seconds / peak.speed:.1%}"]
            cells.append(f"{work / cores / peak.of_core:.1%}" if on_cpu else "-")
            yield [*cells, f"{padding:.1%}", _cosine(vectors, exact)]

    def ratio(self) -> str:
        (seconds, cores), (peer_seconds, peer_cores) = (map(min, zip(*rounds)) for rounds in (self.ours, self.theirs))
        return f"{self.dtype}: {peer_seconds / seconds:.2f} times the peer, {peer_cores / cores:.2f} by core-seconds"


def _cosine(vectors: np.ndarray, exact: np.ndarray) -> str:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(exact, axis=1)
    return f"{float(((vectors * exact).sum(axis=1) / lengths).min()):.6f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--model", default=None, help="a model directory; all-MiniLM-L6-v2 by default")
    parser.add_argument("--device", default=None, help="cpu, cuda, rocm or tpu; by default what JAX has")
    parser.add_argument(
        "--dtype", nargs="+", default=["float32"], choices=("float32", "bfloat16"), help="of both sides"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", default=None, help="directory of compiled programs")
    parser.add_argument("--peer", action="store_true", help="also run sentence-transformers")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with sentence-transformers")
    parser.add_argument("--peer-batch", type=int, default=32, help="its texts a batch; accelerators want more")
    parser.add_argument("--as-peer", default=None, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.as_peer:
        serve_as_peer(flags.as_peer, flags.model, flags.dtype[0], device=flags.device, batch=flags.peer_batch)
        return

    import jax

    from benchmarks import measure
    from sluice.models.checkpoints.default import default_model_dir
    from sluice.models.embedders.load import load

    if flags.device:
        jax.config.update("jax_platforms", flags.device)
    backend = jax.default_backend()
    if flags.peer and backend not in PEER_DEVICES:
        parser.error(f"--peer runs on {' and '.join(PEER_DEVICES)}, not on {backend}")
    model = flags.model or default_model_dir()
    texts = documents(flags.documents)
    print(f"{measure.machine()}, {len(os.sched_getaffinity(0))} of them usable")
    print(f"JAX on {jax.local_device_count()} x {jax.local_devices()[0].device_kind}")

    def peer(dtype: str) -> Peer:
        place = PEER_DEVICES[backend]
        return Peer(flags.peer_python, model, texts, dtype, device=place, batch=flags.peer_batch)

    dtypes = list(dict.fromkeys(flags.dtype))
    configs = [config_of(model, dtype, flags.cache) for dtype in dtypes]
    sides = [Side(config, texts, peer if flags.peer else None) for config in configs]
    for _ in range(flags.rounds):
        for side in sides:
            side.round()
    exact = next((side.vectors for side in sides if side.dtype == "float32"), None)
    if exact is None:
        exact = load(replace(configs[0], dtype="float32")).embed(texts)
    embedder = sides[0].embedder
    counting = best_seconds(lambda: embedder.count_tokens(texts), 3)
    work = model_work(model, np.array([len(ids) for ids in embedder.tokenize(texts)]))
    peaks = {dtype: product_peak(dtype) for dtype in dtypes}

    for side in sides:
        print(f"{side.dtype}: load {side.loaded:.1f} s, first pass with compiling {side.first:.1f} s")
    print(f"{len(texts)} documents, {sides[0].counters.tokens} tokens, {work / 1e9:.1f} GFLOP")
    print(f"tokens counted/s {embedder.count_tokens(texts).sum() / counting:.0f}")
    for dtype, (speed, of_core) in peaks.items():
        print(f"{dtype}: products at best {speed / 1e9:,.1f} GFLOP/s, {of_core / 1e9:,.1f} by core-seconds")
    header = ["", "documents/s", "/core-second", "tokens/s", "GFLOP/s", "MFU", "by core-seconds", "padding", "cosine"]
    on_cpu = backend == "cpu"
    rows = (side.rows(exact, work, peaks[side.dtype], on_cpu=on_cpu) for side in sides)
    print(measure.table(header, list(itertools.chain.from_iterable(rows))))
    for side in sides if flags.peer else ():
        print(side.ratio())


if __name__ == "__main__":
    main()
