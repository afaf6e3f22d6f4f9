"""How well `sluice plan` foretells: it plans a corpus, runs the curation, and compares every stage.

    python -m benchmarks.plan                          # 2,000 docstrings with the model, 200,000 given vectors twice
    python -m benchmarks.plan --only vectors --documents 1000000
    python -m benchmarks.plan --quick                  # 3,000 vectors: a check that everything runs
    python -m benchmarks.plan --document docs/plan.md  # write the tables into the page, between its markers

Every stage runs in a process of its own, so its peak memory is its own. A ratio is actual / likely. Processor time
changes little on a busy machine, time by the clock does.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure

# Forecast against actual ----------------------------------------------------------------------------------------


def actual(inputs: dict[str, Any], run: str) -> Iterator[dict[str, Any]]:
    """Every stage as it ran, with its peak memory in MB."""
    while True:
        found, peak = measure.run("plan.stages", "next_stage", inputs=inputs, steps=None, run=run)
        if found is None:
            return
        yield found | {"peak_mb": peak}


def compared(planned: dict[str, Any], ran: list[dict[str, Any]]) -> str:
    """A table of every stage: forecast, actual, ratio."""
    rows, sums = [], defaultdict(float)
    by_name = {stage["stage"]: stage for stage in planned["stages"]}
    inside = dict.fromkeys(("core_seconds", "seconds", "stored_bytes", "shuffled_bytes"), 0)
    for stage in ran:
        found = by_name[stage["stage"]]
        cells: list[str] = [stage["stage"]]
        for name in inside:
            inside[name] += found[name]["low"] <= stage[name] <= found[name]["high"]
            sums[name] += stage[name]
        for name in ("core_seconds", "seconds"):
            cells += _time_cells(found[name], stage[name])
        cells += [f"{found['memory_bytes'] / (1 << 20):,.0f}", f"{stage['peak_mb']:,.0f}"]
        for name in ("stored_bytes", "shuffled_bytes"):
            cells += [f"{found[name]['likely'] / 1e6:,.2f}", f"{stage[name] / 1e6:,.2f}"]
        rows.append(tuple(cells))
    totals = planned["totals"]
    last = ["total", *_time_cells(totals["core_seconds"], sums["core_seconds"])]
    last += [*_time_cells(totals["seconds"], sums["seconds"]), f"{totals['memory_bytes'] / (1 << 20):,.0f}"]
    last += [f"{max(stage['peak_mb'] for stage in ran):,.0f}"]
    for name in ("stored_bytes", "shuffled_bytes"):
        last += [f"{totals[name]['likely'] / 1e6:,.2f}", f"{sums[name] / 1e6:,.2f}"]
    rows.append(tuple(last))
    header = ["stage", "core s, forecast", "actual", "ratio", "s, forecast", "actual", "ratio", "stated MB", "peak MB"]
    header += ["stored MB, forecast", "actual", "shuffled MB, forecast", "actual"]
    shown = {
        "core_seconds": "core-seconds",
        "seconds": "seconds",
        "stored_bytes": "stored",
        "shuffled_bytes": "shuffled",
    }
    counts = ", ".join(f"{shown[name]} {count}" for name, count in inside.items())
    return f"{measure.table(header, rows)}\n\nOf {len(ran)} stages, within the forecast's range: {counts}."


def _time_cells(forecast: dict[str, float], actual: float) -> tuple[str, str, str]:
    shown = f"{forecast['low']:.1f} to {forecast['high']:.1f}, likely {forecast['likely']:.1f}"
    return shown, f"{actual:.1f}", f"{actual / max(forecast['likely'], 1e-9):.2f}"


def largest_clusters(planned: dict[str, Any], run: str) -> str:
    """A sentence for each clustering: its largest cluster as it was forecast, and as the report counts it."""
    report = json.loads(Path(run, "report.json").read_text())
    sizes = {one["step"]: one["largest"][0]["size"] for one in report["clusterings"]}
    lines = []
    for one in planned["largest_clusters"]:
        low, likely, high = (f"{one['documents'][end]:,.0f}" for end in ("low", "likely", "high"))
        lines.append(
            f"Largest cluster of {one['step']}: {low} to {high}, likely {likely}; actual {sizes[one['step']]:,}."
        )
    return "\n".join(lines)


def compare(title: str, inputs: dict[str, Any], folder: Path, sample: int | None, *, whole: bool = True) -> str:
    """whole: with the table of all stages."""
    found, _ = measure.run("plan.stages", "forecast", inputs=inputs, steps=None, sample=sample)
    ran = list(actual(inputs, str(folder / "run")))
    parts = [f"\n### {title}", compared(found["plan"], ran)] if whole else [f"\n### {title}"]
    parts.append(largest_clusters(found["plan"], str(folder / "run")))
    documents = found["plan"]["documents"]
    forecast = f"{documents['low']:,.0f} to {documents['high']:,.0f}"
    parts.append(f"Planning took {found['seconds']:.0f} s; documents forecast: {forecast}.")
    return "\n\n".join(parts)


def vectors_case(folder: Path, documents: int, dimension: int, sample: int | None, *, template: bool = False) -> str:
    corpus = folder / "corpus"
    options = {"documents": documents, "dimension": dimension, "template": template}
    measure.run("plan.stages", "make_vectors", path=str(corpus), **options)
    inputs = {"paths": [str(corpus)], "id": "id", "vector": "embedding", "text": None, "source": "source"}
    title = f"D4 over {documents:,} given vectors of {dimension}"
    if template:
        title += ", 60 % of them from one template"
    return compare(title, inputs, folder, sample, whole=not template)


def texts_case(folder: Path, documents: int, sample: int | None) -> str:
    corpus = folder / "corpus"
    measure.run("plan.stages", "make_texts", path=str(corpus), documents=documents)
    inputs = {"paths": [str(corpus)], "id": "id"}
    return compare(f"D4 over {documents:,} docstrings, embedded by all-MiniLM-L6-v2", inputs, folder, sample)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("texts", "vectors"))
    parser.add_argument("--documents", type=int, default=200_000, help="given vectors (default: 200000)")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--texts", type=int, default=2000, help="docstrings (default: 2000)")
    parser.add_argument("--sample", type=int, help="documents that the plan looks at (default: its own)")
    parser.add_argument("--quick", action="store_true", help="3,000 vectors of 32 dimensions")
    parser.add_argument("--document", type=Path, help="write the tables into this page, between its markers")
    options = parser.parse_args()
    if options.quick:
        options.only, options.documents, options.dimension = "vectors", 3000, 32
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        parts = [measure.machine()]
        if options.only != "texts":
            given = options.documents, options.dimension, options.sample
            parts.append(vectors_case(Path(folder) / "vectors", *given))
            parts.append(vectors_case(Path(folder) / "template", *given, template=True))
        if options.only != "vectors":
            parts.append(texts_case(Path(folder) / "texts", options.texts, options.sample))
    measure.fill(options.document, compared="\n".join(parts))


if __name__ == "__main__":
    main()
