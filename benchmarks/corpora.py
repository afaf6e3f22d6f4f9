"""Corpora to measure with: vectors that are shaped like text embeddings, written block by block.

    python benchmarks/corpora.py /tmp/corpus --documents 1000000 --dimension 384
    python benchmarks/corpora.py /tmp/corpus --documents 4000000 --dimension 768 --type float16 --template

Power-law clusters and 25 % near-duplicates; with --template, one template makes 60 % of all documents: most of them
near-copies that are all different, a tenth of them equal to it. The same bytes for the same arguments and PyArrow.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BLOCK = 8192
# Originals that duplicates copy: enough for copies to lie far from their original, few enough to hold.
POOL = 4 * BLOCK
# Cosines of a near-duplicate to its original.
NEAREST, FARTHEST = 0.999, 0.9
SOURCES = ("web", "news", "books", "code")
TEMPLATE = "template"
# What --template makes: near-copies as far apart as pages of one site are, and some that are the same bytes.
TEMPLATED: dict[str, Any] = {"hot_share": 0.6, "hot_cosine": 0.99, "hot_spread": 0.04, "hot_equal": 0.1}


@dataclass(frozen=True)
class Vectors:
    """What `write_vectors` writes.

    clusters: true clusters, the c-th of a size in proportion to (c + 1)**-0.7; duplicates: share of documents that are
    near-duplicates of an earlier one; hot_share: share of all documents that come from one template, at a cosine to it
    from hot_cosine - hot_spread to hot_cosine (1: exact copies), but the share hot_equal of them equal to it.
    """

    documents: int
    dimension: int = 384
    clusters: int = 1000
    duplicates: float = 0.25
    seed: int = 0
    hot_share: float = 0.0
    hot_cosine: float = 1.0
    hot_spread: float = 0.0
    hot_equal: float = 0.0

    def __post_init__(self) -> None:
        if min(self.documents, self.dimension, self.clusters) < 1:
            raise ValueError(f"documents, dimension and clusters must be at least 1: {self}")
        if not (0 <= self.duplicates < 1 and 0 <= self.hot_share < 1 and 0 < self.hot_cosine <= 1):
            raise ValueError(f"duplicates and hot_share are shares below 1, hot_cosine is above 0: {self}")
        if not (0 <= self.hot_spread < self.hot_cosine and 0 <= self.hot_equal <= 1):
            raise ValueError(f"hot_spread is from 0 to hot_cosine, hot_equal a share: {self}")


def blocks(corpus: Vectors) -> Iterator[np.ndarray]:
    """float32 unit vectors [<= 8192, dimension], the same ones every time."""
    for found, _ in labelled(corpus):
        yield found


def labelled(corpus: Vectors) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """float32 unit vectors [<= 8192, dimension], and bool: which of them come from the template.

    A document is its cluster's mean plus as much noise of its own (a cosine of about 0.7 to the mean). Means and noise
    have variance 1 / j along the j-th of randomly turned axes, as text embeddings roughly have.
    """
    random = np.random.default_rng(corpus.seed)
    size = corpus.dimension
    axes = np.linalg.qr(random.standard_normal((size, size)))[0].astype(np.float32)
    axes *= (np.arange(1, size + 1, dtype=np.float32) ** -0.5)[:, None]
    means = random.standard_normal((corpus.clusters, size), np.float32)
    weights = np.arange(1, corpus.clusters + 1) ** -0.7
    edges = np.cumsum(weights / weights.sum())
    template = _unit(random.standard_normal((1, size), np.float32) @ axes)
    pool = np.empty((0, size), np.float32)
    for start in range(0, corpus.documents, BLOCK):
        count = min(BLOCK, corpus.documents - start)
        cluster = np.minimum(np.searchsorted(edges, random.random(count)), corpus.clusters - 1)
        found = _unit((means[cluster] + random.standard_normal((count, size), np.float32)) @ axes)
        is_copy = random.random(count) < corpus.duplicates
        pool = np.concatenate([pool, found[~is_copy]])[-POOL:]
        copies = np.flatnonzero(is_copy) if len(pool) else np.empty(0, np.int64)
        cosines = random.uniform(FARTHEST, NEAREST, len(copies))
        found[copies] = _near(pool[random.integers(len(pool), size=len(copies))], cosines, random)
        from_template = random.random(count) < corpus.hot_share
        found[from_template] = _templated(template, int(from_template.sum()), corpus, random)
        yield found, from_template


def _templated(template: np.ndarray, count: int, corpus: Vectors, random: np.random.Generator) -> np.ndarray:
    repeated = np.repeat(template, count, axis=0)
    if corpus.hot_cosine == 1 and not corpus.hot_spread:
        return repeated
    # Only what is asked for is drawn, so that corpora without a spread are what they always were.
    cosines: np.ndarray | float = corpus.hot_cosine
    if corpus.hot_spread:
        cosines = random.uniform(corpus.hot_cosine - corpus.hot_spread, corpus.hot_cosine, count)
    near = _near(repeated, cosines, random)
    if corpus.hot_equal:
        equal = random.random(count) < corpus.hot_equal
        near[equal] = template
    return near


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _near(vectors: np.ndarray, cosines: np.ndarray | float, random: np.random.Generator) -> np.ndarray:
    """Unit vectors at exactly these cosines to the given ones, in random directions."""
    noise = random.standard_normal(vectors.shape, np.float32)
    noise -= np.einsum("nd,nd->n", noise, vectors)[:, None] * vectors
    cosines = np.broadcast_to(np.asarray(cosines, np.float32), len(vectors))[:, None]
    return cosines * vectors + np.sqrt(1 - cosines**2) * _unit(noise)


def write_vectors(
    path: str | Path, corpus: Vectors, *, files: int = 8, type: str = "float32", sources: bool = False
) -> None:
    """Write Parquet `files` below `path`: id (string), embedding (fixed-size list of `type`); a block in memory.

    type: float32 or float16. sources: also write a column `source`, the same on every run; what comes from the template
    has the source TEMPLATE. Raises ValueError for another type.
    """
    if type not in ("float32", "float16"):
        raise ValueError(f"type must be float32 or float16, not {type!r}")
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    fields = [("id", pa.string()), ("embedding", pa.list_(pa.from_numpy_dtype(type), corpus.dimension))]
    schema = pa.schema([*fields, *([("source", pa.string())] if sources else [])])
    per_file = -(-corpus.documents // files)
    row, writer = 0, None
    try:
        for block, from_template in labelled(corpus):
            while len(block):
                if writer is None:
                    name = folder / f"vectors-{row // per_file:05d}.parquet"
                    writer = pq.ParquetWriter(name, schema, compression="none", use_dictionary=["source"])
                count = min(len(block), per_file - row % per_file)
                table = _table(block[:count].astype(type), from_template[:count], row, schema)
                writer.write_table(table, row_group_size=BLOCK)
                row, block, from_template = row + count, block[count:], from_template[count:]
                if row % per_file == 0:
                    writer.close()
                    writer = None
    finally:
        if writer is not None:
            writer.close()


def _table(vectors: np.ndarray, from_template: np.ndarray, row: int, schema: pa.Schema) -> pa.Table:
    numbers = range(row, row + len(vectors))
    columns = [
        pa.array([f"d{number:09d}" for number in numbers]),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    ]
    if "source" in schema.names:
        names = [SOURCES[number % len(SOURCES)] for number in numbers]
        columns.append(pa.array([TEMPLATE if hot else name for hot, name in zip(from_template, names)]))
    return pa.table(columns, schema=schema)


def load(path: str | Path) -> np.ndarray:
    """All vectors of a corpus in the order of its files, float32 [n, d]; no second copy is held on the way."""
    opened = [pq.ParquetFile(file) for file in sorted(Path(path).glob("*.parquet"))]
    dimension = opened[0].schema_arrow.field("embedding").type.list_size
    vectors = np.empty((sum(file.metadata.num_rows for file in opened), dimension), np.float32)
    row = 0
    for file in opened:
        with file:
            for batch in file.iter_batches(BLOCK, columns=["embedding"]):
                flat = batch.column(0).flatten().to_numpy()
                vectors[row : row + len(batch)] = flat.reshape(-1, dimension)
                row += len(batch)
    return vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a folder to write Parquet files into")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--clusters", type=int, default=1000, help="true clusters")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--type", choices=("float32", "float16"), default="float32")
    parser.add_argument("--template", action="store_true", help="one template makes 60 %% of all documents")
    options = parser.parse_args()
    corpus = Vectors(
        options.documents,
        options.dimension,
        options.clusters,
        seed=options.seed,
        **(TEMPLATED if options.template else {}),
    )
    write_vectors(options.path, corpus, files=options.files, type=options.type, sources=True)


if __name__ == "__main__":
    main()
