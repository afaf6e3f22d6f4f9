"""Small corpora with given vectors: clusters, near-duplicates, equal vectors and equal texts."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from sluice.pipelines.curate import curate
from sluice.pipelines.run.prepare import open_run
from sluice.transforms import storage
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.storage import listing


def make_rows(documents: int = 300, *, dimension: int = 12, seed: int = 0) -> list[dict]:
    """Rows with id, text, embedding, quality and source; a fifth are near or exact duplicates of others."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(8, dimension))
    vectors = centres[rng.integers(0, len(centres), documents)] + 0.6 * rng.normal(size=(documents, dimension))
    texts = [f"text number {number} says {rng.integers(1 << 40)}" for number in range(documents)]
    for row in rng.choice(np.arange(1, documents), documents // 5, replace=False):
        other = int(rng.integers(0, row))
        kind = rng.integers(0, 4)
        vectors[row] = vectors[other] + (0 if kind < 2 else 0.05) * rng.normal(size=dimension)
        if kind == 0:
            texts[row] = texts[other].upper().replace(" ", "  ")
    return [
        {
            "id": f"document-{number}",
            "text": texts[number],
            "embedding": [float(value) for value in vectors[number]],
            "quality": float(rng.normal()),
            "tokens": int(rng.integers(1, 50)),
            "source": ["web", "books", "code"][number % 3],
        }
        for number in range(documents)
    ]


def write_jsonl(folder: Path, rows: list[dict], *, files: int = 3) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number, chunk in enumerate(np.array_split(np.arange(len(rows)), files)):
        lines = "".join(json.dumps(rows[index]) + "\n" for index in chunk)
        (folder / f"shard-{number}.jsonl").write_text(lines)
    return str(folder)


def run_d4(source: str, run: Path | str, /, **options) -> dict:
    settings = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "clusters": "6", "keep": "0.5"}
    settings |= options
    return curate([source], str(run), **{name: value for name, value in settings.items() if value is not None})


def artifact(run: Path | str, folder: str) -> Artifact:
    """The finished artifact in a folder of a run."""
    url = storage.join(str(run), folder)
    found = find_manifest(url)
    assert found is not None, f"{url} is not finished"
    return Artifact(url, found["key"])


def decisions(run: Path | str) -> pa.Table:
    """All decisions of a run, by unit and row."""
    found = artifact(run, "decisions")
    return pa.concat_tables([found.read(part["unit"]) for part in found.manifest["parts"]])


def fates(run: Path | str) -> dict[str, str]:
    table = decisions(run)
    return dict(zip(table["id"].to_pylist(), table["fate"].to_pylist()))


def kept_ids(run: Path | str) -> set[str]:
    return {identity for identity, fate in fates(run).items() if fate == "kept"}


def corpus_rows(run: Path | str) -> list[dict]:
    """The curated JSON lines, in order."""
    files = listing.list_files(storage.join(str(run), "corpus"))
    return [json.loads(line) for file in files for line in storage.read_bytes(file.path).splitlines()]


__all__ = [
    "artifact",
    "corpus_rows",
    "decisions",
    "fates",
    "kept_ids",
    "make_rows",
    "open_run",
    "run_d4",
    "write_jsonl",
]
