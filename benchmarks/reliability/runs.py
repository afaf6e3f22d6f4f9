"""The corpus that every trial curates, its whole run, and what must be the same after whatever was done to a run."""

import gzip
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.reliability.launching import Launcher

DOCUMENTS, DIMENSION, FILES = 1200, 32, 6
WORDS = 5000


@dataclass(frozen=True)
class Reference:
    """A corpus, the run that nothing happened to, and the digest of that run's results."""

    launcher: Launcher
    corpus: Path
    run: Path
    digest: str

    def curate(self, run: Path, *, recipe: str = "d4", keep: str = "0.5") -> list[str]:
        """The command whose result is the reference's, or another recipe over the same corpus."""
        given = ["--id", "id", "--vector", "vector", "--tokens", "none", "--source", "site"]
        sizes = ["--clusters", "12", "--unit-bytes", "60000"]
        return ["curate", "--input", str(self.corpus), "--run", str(run), "--recipe", recipe, "--keep", keep] + (
            given + sizes
        )

    def copy(self, name: str) -> Path:
        """A copy of the run under another name, in place of an older copy."""
        target = self.run.parent / name
        shutil.rmtree(target, ignore_errors=True)
        return Path(shutil.copytree(self.run, target))

    def stages(self) -> list[str]:
        """The folders of the stages in order, as the run's `status` gives them."""
        ended = self.launcher.run(["status", str(self.run), "--json"])
        names = [stage["stage"] for stage in json.loads(ended.output)["stages"] if stage["stage"] != "report"]
        return [f"steps/{name}" if "/" in name else name for name in names]


def make_reference(launcher: Launcher, folder: Path) -> Reference:
    corpus = folder / "corpus"
    _write_corpus(corpus)
    made = Reference(launcher, corpus, folder / "reference", "")
    ended = launcher.run(made.curate(made.run))
    if ended.code:
        raise RuntimeError(f"the run that nothing happens to ends with {ended.code}: {ended.message}")
    return Reference(launcher, corpus, made.run, digest(made.run))


def digest(run: Path) -> str:
    """Of every decision, reject and curated file; names of parts hold keys, so they count too."""
    found = hashlib.sha256()
    for folder in ("corpus", "decisions", "rejected"):
        for path in sorted((run / folder).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                found.update(f"{path.relative_to(run)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def temporaries(run: Path) -> list[Path]:
    """What no finished run has: the files that a killed writer was at."""
    return [path for path in run.rglob("*") if path.name.endswith(".tmp")]


def _write_corpus(folder: Path) -> None:
    """JSON lines, gzip and Parquet; half of the documents are near copies, some have equal texts or no JSON."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    half = DOCUMENTS // 2
    vectors = rng.normal(size=(DOCUMENTS, DIMENSION)).astype(np.float32)
    vectors[half:] = vectors[:half] + 0.2 * vectors[half:]
    texts = [" ".join(f"w{word:x}" for word in rng.integers(0, WORDS, 12)) for _ in range(DOCUMENTS)]
    for copy in range(0, DOCUMENTS, 25):
        texts[copy] = texts[copy * 7 % DOCUMENTS]
    records = [
        {"id": f"d{number}", "site": "abc"[number % 3], "text": texts[number], "vector": vector.round(5).tolist()}
        for number, vector in enumerate(vectors)
    ]
    shuffled = [records[number] for number in rng.permutation(DOCUMENTS)]
    for number in range(FILES):
        mine = shuffled[number::FILES]
        lines = "".join(json.dumps(record) + "\n" for record in mine).encode()
        if number % 3 == 0:
            (folder / f"{number}.jsonl").write_bytes(lines + b"no JSON\n")
        elif number % 3 == 1:
            (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress(lines, mtime=0))
        else:
            table = pa.Table.from_pylist(mine)
            vector = table["vector"].cast(pa.list_(pa.float32()))
            pq.write_table(table.set_column(3, "vector", vector), folder / f"{number}.parquet", row_group_size=100)
