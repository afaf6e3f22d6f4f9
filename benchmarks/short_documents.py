"""Short documents that every step has something to do with: text, vector, number and source; and items to look for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import corpora

ITEMS = 200
_HELD = 5000  # texts that near-copies are made of


def texts(documents: int) -> Iterator[str]:
    """Texts of 60 words in five lines: a fifth near-copies of others, a twentieth of one template, a fifth poor."""
    rng = np.random.default_rng(0)
    words = np.array([f"{chr(97 + n % 26)}{n:x}word" for n in range(20_000)])
    held: list[list[str]] = []
    for number in range(documents):
        found = words[rng.zipf(1.3, 60) % len(words)].tolist()
        if number % 5 == 0:
            # The step `quality` needs poor text to learn what is good.
            yield "\n".join(f"{word} {rng.integers(1 << 30)} #$%" for word in found[::2])
            continue
        if number % 20 == 7:
            found = [*words[:55].tolist(), *found[:5]]
        elif number % 5 == 1 and held:
            found = list(held[rng.integers(0, len(held))])
            found[rng.integers(0, len(found))] = "changed"
        elif len(held) < _HELD:
            held.append(found)
        lines = (" ".join(found[at : at + 12]).capitalize() + "." for at in range(0, len(found), 12))
        yield "\n".join(lines)


def write(path: str, items: str, documents: int, dimension: int, *, files: int = 4) -> float:
    """Write Parquet files below `path`, and the first ITEMS of them as JSON lines; the mean length of a text."""
    Path(path).mkdir(parents=True)
    vectors = corpora.blocks(corpora.Vectors(documents, dimension))
    made, characters, number = texts(documents), 0, 0
    writers: list[pq.ParquetWriter] = []
    with open(items, "w") as some:
        for block in vectors:
            found = [next(made) for _ in block]
            numbers = np.arange(number, number + len(block))
            columns: dict[str, Any] = {
                "id": [f"d{one}" for one in numbers],
                "text": found,
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), dimension),
                "number": np.random.default_rng(number).random(len(block)),
                "source": [corpora.SOURCES[one % len(corpora.SOURCES)] for one in numbers],
            }
            table = pa.table(columns)
            if len(writers) <= number * files // documents:
                name = Path(path) / f"documents-{len(writers)}.parquet"
                writers.append(pq.ParquetWriter(name, table.schema, compression="zstd"))
            writers[-1].write_table(table)
            for text, vector in list(zip(found, block))[: max(0, ITEMS - number)]:
                some.write(json.dumps({"text": text[:200], "embedding": [float(one) for one in vector]}) + "\n")
            characters, number = characters + sum(map(len, found)), number + len(block)
    for writer in writers:
        writer.close()
    return characters / documents
