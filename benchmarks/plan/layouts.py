"""Whether `sluice plan` is as right about one large compressed file as about many plain ones: the same texts, stored
in several ways, each planned and then run (exact copies, then a random half).

    python -m benchmarks.plan.layouts                          # 240,000 texts, 270 MB
    python -m benchmarks.plan.layouts --texts 2000             # a check that everything runs
    python -m benchmarks.plan.layouts --document docs/plan.md  # write the table into the page, between its markers

The texts are docstrings, TIMES times each with a number before it, so that only docstrings that are there twice
are copies. The sample is that of a plan with a model: 2,000 documents, or 16 MB.
"""

import argparse
import bz2
import gzip
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks import measure

STEPS: list[dict[str, Any]] = [{"step": "exact"}, {"step": "random", "cut": {"ratio": 0.5}}]
PACKED: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstandard.compress, "bz2": bz2.compress}
# Kind and number of files; of Parquet, rows in a group.
LAYOUTS = (
    *("8 jsonl", "1 jsonl", "3 jsonl.gz", "1 jsonl.gz", "1 jsonl.zst", "1 jsonl.bz2"),
    *("8 parquet 1000", "1 parquet 10000", "1 parquet"),
)
TIMES, SAMPLE = 4, 2000
# What is told from all of the sample; the rest is tried on some of it (benchmarks/plan).
SAMPLED = ("documents", "corpus")


def write_layouts(folder: str, documents: int) -> int:
    """The docstrings in every layout -> how many there are."""
    from sluice.pipelines.commands.sample_corpus.command import write_sample_corpus

    write_sample_corpus(f"{folder}/plain", shards=8, limit=documents)
    texts = [line for path in sorted(Path(folder, "plain").iterdir()) for line in path.read_bytes().splitlines()]
    lines = [_numbered(text, number) for number in range(TIMES) for text in texts]
    for layout in LAYOUTS:
        count, name, *rows = layout.split()
        place = Path(folder, _folder(layout))
        place.mkdir()
        bounds = [len(lines) * number // int(count) for number in range(int(count) + 1)]
        for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
            part = lines[start:stop]
            if name == "parquet":
                table = pa.Table.from_pylist([json.loads(line) for line in part])
                pq.write_table(table, place / f"{number}.parquet", row_group_size=int(rows[0]) if rows else len(part))
                continue
            data = b"".join(part)
            (place / f"{number}.{name}").write_bytes(PACKED.get(name.rpartition(".")[2], bytes)(data))
    return len(lines)


def _numbered(line: bytes, number: int) -> bytes:
    row = json.loads(line)
    row |= {"id": f"{number}/{row['id']}", "text": f"{number}. {row['text']}"}
    return json.dumps(row).encode() + b"\n"


def _folder(layout: str) -> str:
    return layout.replace(" ", "-")


def compare(folder: str, layout: str, documents: int) -> tuple[str, ...]:
    inputs = {"paths": [str(Path(folder, _folder(layout)))], "id": "id", "source": "source"}
    found, _ = measure.run("plan.stages", "forecast", inputs=inputs, steps=STEPS, sample=SAMPLE)
    run = f"{folder}/run-{_folder(layout)}"
    stages, _ = measure.run("plan.stages", "all_stages", inputs=inputs, steps=STEPS, run=run)
    totals = json.loads(Path(run, "report.json").read_text())
    assert totals["totals"]["documents"] == documents, totals["totals"]
    size = sum(path.stat().st_size for path in Path(folder, _folder(layout)).iterdir()) / 1e6
    planned = found["plan"]
    forecast = {stage["stage"]: stage["core_seconds"] for stage in planned["stages"]}
    cells = []
    for name in SAMPLED:
        took = next(stage["core_seconds"] for stage in stages if stage["stage"] == name)
        cells += [f"{forecast[name]['likely']:.1f}", f"{took:.1f}", f"{took / forecast[name]['likely']:.2f}"]
    return (
        layout,
        f"{size:.1f}",
        f"{planned['sample']['documents']:,}",
        _range(planned["documents"]),
        f"{documents / planned['documents']['likely']:.2f}",
        f"{totals['totals']['kept'] / planned['kept']['likely']:.2f}",
        *cells,
    )


def _range(value: dict[str, float]) -> str:
    return f"{value['low']:,.0f} to {value['high']:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=60_000, help="docstrings at most (default: 60000)")
    parser.add_argument("--document", type=Path, help="write the table into this page, between its markers")
    options = parser.parse_args()
    header = ["files", "MB", "sampled", "documents, forecast", "ratio", "kept, ratio"]
    for name in SAMPLED:
        header += [f"{name}, core s, forecast", "actual", "ratio"]
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        documents = write_layouts(folder, options.texts)
        rows = [compare(folder, layout, documents) for layout in LAYOUTS]
    lines = [measure.machine(), "", f"{documents:,} texts; ratios are actual / likely.", ""]
    measure.fill(options.document, layouts="\n".join([*lines, measure.table(header, rows)]))


if __name__ == "__main__":
    main()
