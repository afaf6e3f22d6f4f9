"""Batches of texts of like length against rows packed with several texts: padding, and documents a second.

    python -m benchmarks.embed.packing                              # padding of all, time on 1,000 documents
    python -m benchmarks.embed.packing --device cuda --dtype bfloat16 --timed 50000
    python -m benchmarks.embed.packing --timed 100 --documents 500  # a check that everything runs

Padding is the share of the computed positions that hold no token, of batches as embedding makes them from a window of
so many texts. Packing puts the longest text left into the row that it fills best (best-fit decreasing); the families
compute such rows (models/layers/blocks.py, Layout.of_segments), whose attention is over whole rows. Both ways run
alternately over the same documents, after a round that compiles; the best of `--rounds` counts.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.embed.peer import MAX_TOKENS
from benchmarks.embed.samples import documents
from sluice.models.checkpoints.default import default_model_dir
from sluice.models.embedders.batches import bucket_lengths, plan_batches


def pack(lengths: np.ndarray, width: int) -> list[list[int]]:
    """Every text in a row of at most `width` tokens: the longest first, each into the row that it fills best."""
    rows: list[list[int]] = []
    by_room: list[list[list[int]]] = [[] for _ in range(width + 1)]
    for place in np.argsort(-lengths, kind="stable").tolist():
        size = int(lengths[place])
        room = next((room for room in range(size, width) if by_room[room]), width)
        if room == width:
            row: list[int] = []
            rows.append(row)
        else:
            row = by_room[room].pop()
        row.append(place)
        by_room[room - size].append(row)
    return rows


def bucket_padding(lengths: np.ndarray, *, tokens: int, halvings: int, window: int) -> tuple[float, int]:
    """(padding of batches of like length, made of a window of texts at a time; programs)."""
    places, programs = 0, set()
    for start in range(0, len(lengths), window):
        buckets = bucket_lengths(MAX_TOKENS)
        for batch in plan_batches(lengths[start : start + window], buckets, tokens=tokens, halvings=halvings):
            places += batch.size * batch.length
            programs.add((batch.size, batch.length))
    return 1 - float(lengths.sum()) / places, len(programs)


def packed_padding(lengths: np.ndarray, *, rows: int, window: int) -> float:
    """Padding of rows of MAX_TOKENS, `rows` of them in a batch."""
    places = 0
    for start in range(0, len(lengths), window):
        found = len(pack(lengths[start : start + window], MAX_TOKENS))
        places += -(-found // rows) * rows * MAX_TOKENS
    return 1 - float(lengths.sum()) / places


class Packed:
    """A model over packed rows: the mean over each text's states, of unit length."""

    def __init__(self, directory: str, dtype: str, *, rows: int) -> None:
        import jax
        import jax.numpy as jnp

        from sluice.models import checkpoints, families
        from sluice.models.layers.blocks import Layout

        config = checkpoints.read_config(directory)
        module = families.family(config["model_type"], directory)
        encoder = module.encoder(config, jnp.dtype(dtype))
        read = checkpoints.read_parameters(
            directory, module.weights(config), prefix=module.PREFIX, harmless=module.HARMLESS
        )
        self._weights = jax.device_put(jax.tree.map(lambda weight: jnp.asarray(weight, dtype), read))
        self.rows = rows

        def vectors(weights: Any, ids: Any, segments: Any) -> Any:
            states = encoder.apply({"params": weights}, ids, Layout.of_segments(segments)).astype(jnp.float32)
            flat = segments.reshape(-1)
            sums = jax.ops.segment_sum(states.reshape(len(flat), -1), flat, num_segments=rows * (MAX_TOKENS // 2) + 1)
            return sums / jnp.maximum(jnp.linalg.norm(sums, axis=1, keepdims=True), 1e-12)

        self._vectors = jax.jit(vectors)

    def embed(self, ids: list[np.ndarray]) -> np.ndarray:
        """float32 [texts, D]."""
        from sluice.models.arrays import device
        from sluice.models.arrays.parallel import cores

        lengths = np.array([len(one) for one in ids])
        packed = pack(lengths, MAX_TOKENS)
        batches = [packed[start : start + self.rows] for start in range(0, len(packed), self.rows)]
        start: Callable[[Any], Any] = lambda batch: (batch, self._vectors(self._weights, *self._arrays(batch, ids)))  # noqa: E731
        wait: Callable[[Any], Any] = lambda started: (started[0], np.asarray(started[1]))  # noqa: E731
        found: Iterator[Any]
        if device.on_cpu():
            found = device.run_threads(start, batches, wait=wait, threads=min(8, cores()))
        else:
            found = device.run_ahead(start, batches, wait=wait, ahead=2)
        result: np.ndarray | None = None
        for batch, vectors in found:
            places = [place for row in batch for place in row]
            if result is None:
                result = np.zeros((len(ids), vectors.shape[1]), np.float32)
            result[places] = vectors[1 : len(places) + 1]
        assert result is not None
        return result

    def _arrays(self, batch: list[list[int]], ids: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        tokens, segments = np.zeros((2, self.rows, MAX_TOKENS), np.int32)
        number = 0
        for row, texts in enumerate(batch):
            at = 0
            for place in texts:
                number += 1
                stop = at + len(ids[place])
                tokens[row, at:stop], segments[row, at:stop] = ids[place], number
                at = stop
        return tokens, segments


def timed(texts: list[str], model: str, dtype: str, rounds: int) -> list[tuple[str, ...]]:
    from sluice.models.arrays import device
    from sluice.models.embedders import batches
    from sluice.models.embedders.load import EmbedderConfig, load

    embedder = load(EmbedderConfig(model, MAX_TOKENS, dtype=dtype))
    ids = embedder.tokenize(texts)
    tokens = (batches.CPU if device.on_cpu() else batches.ACCELERATOR).tokens
    packed = Packed(model, embedder.dtype, rows=max(tokens // MAX_TOKENS, 1))
    prepared = embedder.prepare(texts)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "like lengths": lambda: embedder.compute(prepared)[0],
        "packed": lambda: packed.embed(ids),
    }
    vectors = {name: way() for name, way in ways.items()}
    best = {name: [float("inf")] * 2 for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started, used = time.perf_counter(), time.process_time()
            way()
            spent = time.perf_counter() - started, time.process_time() - used
            best[name] = [min(pair) for pair in zip(best[name], spent)]
    cosine = float((vectors["packed"] * vectors["like lengths"]).sum(axis=1).min())
    return [
        (name, f"{len(texts) / best[name][0]:.1f}", f"{len(texts) / best[name][1]:.1f}", f"{cosine:.6f}")
        for name in ways
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=32_768, help="whose padding is computed (default: 32768)")
    parser.add_argument("--timed", type=int, default=1000, help="that are embedded (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=default_model_dir())
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = options.device
    from sluice.models.embedders.batches import ACCELERATOR, CPU
    from sluice.models.embedders.describe import load_tokenizer

    texts = documents(options.documents)
    lengths = np.minimum(load_tokenizer(options.model).count(texts) + 2, MAX_TOKENS)
    print(f"{measure.machine()}\n\n{len(texts):,} documents, {lengths.mean():.0f} tokens of {MAX_TOKENS} at most\n")
    rows = []
    for name, tokens, halvings, windows in (
        ("CPU", CPU.tokens, CPU.halvings, (CPU.window, 4 * CPU.window)),
        ("accelerator", ACCELERATOR.tokens, ACCELERATOR.halvings, (ACCELERATOR.window // 2, ACCELERATOR.window)),
        ("accelerator, without halves", ACCELERATOR.tokens, 0, (ACCELERATOR.window,)),
    ):
        for window in windows:
            padding, programs = bucket_padding(lengths, tokens=tokens, halvings=halvings, window=window)
            packed = packed_padding(lengths, rows=max(tokens // MAX_TOKENS, 1), window=window)
            rows.append((name, f"{tokens:,}", f"{window:,}", f"{padding:.1%}", str(programs), f"{packed:.1%}"))
    print(measure.table(["", "tokens a batch", "texts", "padding", "programs", "packed"], rows), end="\n\n")
    header = ["", "documents/s", "/core-second", "least cosine"]
    print(measure.table(header, timed(texts[: options.timed], options.model, options.dtype, options.rounds)))


if __name__ == "__main__":
    main()
