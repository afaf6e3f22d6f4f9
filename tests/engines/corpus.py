"""Real documents with vectors that cost nothing: the docstrings of installed packages, words hashed into numbers."""

import json
import re
import zlib
from pathlib import Path

import numpy as np

from sluice.pipelines.commands.sample_corpus.command import write_sample_corpus

DIMENSION = 96


def write_documents(folder: Path, documents: int, *, shards: int = 4) -> str:
    """A folder of JSON lines with id, text, source, tokens and embedding; the same installation, the same bytes."""
    write_sample_corpus(str(folder), shards=shards, limit=documents)
    for file in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            row["tokens"] = len(row["text"].split())
            row["embedding"] = hashed_words(row["text"]).tolist()
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def hashed_words(text: str) -> np.ndarray:
    """Text -> float32 (96,): each word adds one signed unit. Texts that share most words come out close together."""
    vector = np.zeros(DIMENSION, np.float32)
    for word in re.findall(r"\w+", text.lower()) or [text]:
        code = zlib.crc32(word.encode(errors="surrogatepass"))
        vector[code % DIMENSION] += 1 if code & (1 << 20) else -1
    # A text whose words cancel out would have no direction.
    return vector if vector.any() else np.ones(DIMENSION, np.float32)
