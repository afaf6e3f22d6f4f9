"""Corpora to measure with: vectors that are shaped like text embeddings, and texts in every format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BLOCK = 8192
# Originals that duplicates copy: enough for copies to lie far from their original, few enough to hold.
POOL = 4 * BLOCK
# Cosines of a near-duplicate to its original.
NEAREST, FARTHEST = 0.999, 0.9


@dataclass(frozen=True)
class Vectors:
    """What `write_vectors` writes.

    clusters: true clusters, the c-th of a size in proportion to (c + 1)**-0.7; duplicates: share of documents that are
    near-duplicates of another one; hot_share: share of all documents that come from one template, at the cosine
    hot_cosine to it (1: exact copies).
    """

    documents: int
    dimension: int = 384
    clusters: int = 1000
    duplicates: float = 0.25
    seed: int = 0
    hot_share: float = 0.0
    hot_cosine: float = 1.0

    def __post_init__(self) -> None:
        if min(self.documents, self.dimension, self.clusters) < 1:
            raise ValueError(f"documents, dimension and clusters must be at least 1: {self}")
        if not (0 <= self.duplicates < 1 and 0 <= self.hot_share < 1 and 0 < self.hot_cosine <= 1):
            raise ValueError(f"duplicates and hot_share are shares below 1, hot_cosine is above 0: {self}")


def blocks(corpus: Vectors) -> Iterator[np.ndarray]:
    """float32 unit vectors [<= 8192, dimension], the same ones every time.

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
        hot = np.flatnonzero(random.random(count) < corpus.hot_share)
        repeated = np.repeat(template, len(hot), axis=0)
        found[hot] = repeated if corpus.hot_cosine == 1 else _near(repeated, corpus.hot_cosine, random)
        yield found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _near(vectors: np.ndarray, cosines: np.ndarray | float, random: np.random.Generator) -> np.ndarray:
    """Unit vectors at exactly these cosines to the given ones, in random directions."""
    noise = random.standard_normal(vectors.shape, np.float32)
    noise -= np.einsum("nd,nd->n", noise, vectors)[:, None] * vectors
    cosines = np.broadcast_to(np.asarray(cosines, np.float32), len(vectors))[:, None]
    return cosines * vectors + np.sqrt(1 - cosines**2) * _unit(noise)


def write_vectors(path: str | Path, corpus: Vectors, *, files: int = 8) -> None:
    """Write Parquet `files` below `path`: id (string), embedding (fixed-size list of float32); a block in memory."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), corpus.dimension))])
    per_file = -(-corpus.documents // files)
    row, writer = 0, None
    try:
        for block in blocks(corpus):
            while len(block):
                if writer is None:
                    name = folder / f"vectors-{row // per_file:05d}.parquet"
                    writer = pq.ParquetWriter(name, schema, compression="none", use_dictionary=False)
                count = min(len(block), per_file - row % per_file)
                ids = pa.array([f"d{number:09d}" for number in range(row, row + count)])
                flat = pa.array(block[:count].reshape(-1))
                writer.write_table(
                    pa.table([ids, pa.FixedSizeListArray.from_arrays(flat, corpus.dimension)], schema=schema),
                    row_group_size=BLOCK,
                )
                row, block = row + count, block[count:]
                if row % per_file == 0:
                    writer.close()
                    writer = None
    finally:
        if writer is not None:
            writer.close()


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
