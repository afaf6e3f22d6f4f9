"""D4 with given embeddings at growing sizes, stage by stage: time, memory, bytes shuffled and stored, their growth.

    python -m benchmarks.scale                      # 1M and 4M x 384, 1M x 768: the better part of an hour, 20 GB
    python -m benchmarks.scale --documents 1000000  # one size
    python -m benchmarks.scale --quick              # 20,000 and 80,000 of 64 dimensions, three minutes
    python -m benchmarks.scale --show               # the tables of what --results holds
    python -m benchmarks.scale --project            # from measured constants to 1e9, 1e10 and 1e11 documents

Every stage runs in a process of its own, so its peak memory is its own, and its numbers are appended to --results
(JSON lines) when it ends: a run that is cut off loses one stage, and with --folder goes on where it was. Each size runs
with K fixed and with K = sqrt(n). Core-seconds are processor time, so a busy machine changes them little.

The promise: everything but assignment and pair products costs at most 4.4 times at four times the documents; those two
reach 60 % of what a plain float32 product reaches on the same cores.
"""

import argparse
import contextlib
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.scale import costs, tables
from sluice.models.clustering.kmeans import choose_k

RESULTS = "scale.jsonl"


# In processes of their own --------------------------------------------------------------------------------------


# Driving --------------------------------------------------------------------------------------------------------


def cases(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What is run: every size with K fixed and K = sqrt(n), then other dimensions at the first size."""
    first, dimension = options.documents[0], options.dimension[0]
    fixed = options.clusters or choose_k(first)
    found = []
    for template in (False, True) if options.template else (False,):
        for documents in options.documents:
            chosen = {fixed, fixed if options.clusters else choose_k(documents)}
            if options.clusters:
                chosen.add(round(fixed * math.sqrt(documents / first)))
            found += [(documents, dimension, clusters, template) for clusters in sorted(chosen)]
        found += [(first, other, fixed, template) for other in options.dimension[1:]]
    names = ("documents", "dimension", "clusters", "template")
    return [dict(zip(names, case)) for case in found]


def disk_needed(case: dict[str, Any]) -> int:
    """Bytes: the corpus, embeddings, sorted vectors, at most two samples, half the corpus copied out, small columns."""
    vectors = 2 * case["documents"] * case["dimension"]
    sample = 2 * costs.sample_for(case["documents"], case["clusters"]) * case["dimension"]
    return int(3.5 * vectors + 2 * sample + 200 * case["documents"])


def announced(case: dict[str, Any]) -> str:
    """What a case is expected to take, from the constants of the last measurement."""
    known = costs.load_constants().get(case["dimension"])
    text = f"{tables.title(case)}: needs {disk_needed(case) / 1e9:.1f} GB of disk"
    if known is None:
        return text
    projected = costs.project(known, case["documents"], case["clusters"])
    minutes = sum(stage["core_seconds"] for stage in projected.values()) / 60
    return f"{text}, projected {minutes:.1f} core-minutes"


def names_of(case: dict[str, Any]) -> tuple[str, str]:
    """The folders of a case's corpus and of its run."""
    corpus = f"{case['documents']}-{case['dimension']}{'-template' * case['template']}"
    return f"corpus-{corpus}", f"run-{corpus}-{case['clusters']}"


def run_case(case: dict[str, Any], folder: Path, results: Path) -> None:
    """All stages of one case; each one's numbers go to the results as it ends. The run itself is then deleted."""
    corpus, run = (folder / name for name in names_of(case))
    finished = folder / f"{run.name}.finished"
    if finished.exists():
        print("  finished before")
        return
    made = corpus.with_name(f"{corpus.name}.made")
    if not made.exists():
        shutil.rmtree(corpus, ignore_errors=True)
        shape = {name: case[name] for name in ("documents", "dimension", "template")}
        measure.run("scale.stages", "make", path=str(corpus), **shape)
        made.touch()
    arguments = {"path": str(corpus), "run": str(run), "clusters": case["clusters"]}
    while True:
        found, peak = measure.run("scale.stages", "next_stage", **arguments)
        if found is None:
            break
        append(results, {"kind": "stage", **case, **found, "peak_mb": peak})
        print(f"  {found['stage']}: {found['seconds']:.1f} s, {peak:,.0f} MB", flush=True)
    shutil.rmtree(run)
    finished.touch()


def append(results: Path, record: dict[str, Any]) -> None:
    with results.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_results(results: Path) -> list[dict[str, Any]]:
    """All records so far; of one stage of one case the last; a torn last line is left out."""
    found: dict[tuple, dict[str, Any]] = {}
    for line in results.read_text().splitlines() if results.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            record = json.loads(line)
            names = ("kind", "documents", "dimension", "clusters", "template", "stage")
            found[tuple(record.get(name) for name in names)] = record
    return list(found.values())


def measure_all(options: argparse.Namespace, folder: Path, results: Path) -> None:
    planned = cases(options)
    print(measure.machine())
    for case in planned:
        print(announced(case))
    # Corpora stay while a later case reads them; runs do not.
    most = max(map(disk_needed, planned))
    free = shutil.disk_usage(folder).free
    if most > 0.9 * free:
        raise SystemExit(f"{folder} has {free / 1e9:.1f} GB free; the largest size needs {most / 1e9:.1f} GB")
    for dimension in options.dimension:
        rate, _ = measure.run("scale.stages", "gemm", dimension=dimension)
        append(results, {"kind": "gemm", "dimension": dimension, "rate": rate, "machine": measure.machine()})
    for number, case in enumerate(planned):
        print(f"\n{announced(case)}", flush=True)
        run_case(case, folder, results)
        corpus = names_of(case)[0]
        if corpus not in {names_of(other)[0] for other in planned[number + 1 :]}:
            shutil.rmtree(folder / corpus, ignore_errors=True)
            (folder / f"{corpus}.made").unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[1_000_000, 4_000_000])
    parser.add_argument("--dimension", type=int, nargs="+", default=[384, 768])
    parser.add_argument("--clusters", type=int, help="K of the first size (default: the square root of it)")
    parser.add_argument("--template", action="store_true", help="also with one template as 60 %% of all documents")
    parser.add_argument("--results", type=Path, default=Path(RESULTS), help="JSON lines, appended to")
    parser.add_argument("--folder", type=Path, help="where to work, and to go on with what is there")
    parser.add_argument(
        "--constants", action="store_true", help="keep what was measured in benchmarks/scale/constants.json"
    )
    parser.add_argument("--document", type=Path, help="write the tables into this page, between its markers")
    parser.add_argument("--quick", action="store_true", help="20,000 and 80,000 documents of 64 dimensions")
    parser.add_argument("--show", action="store_true", help="measure nothing, print the tables of --results")
    parser.add_argument("--project", action="store_true", help="measure nothing, print projections from the constants")
    options = parser.parse_args()
    if options.project:
        measure.fill(options.document, projected=tables.projections(costs.load_constants()))
        return
    if options.quick:
        options.documents, options.dimension = [20_000, 80_000], [64]
    with contextlib.ExitStack() as stack:
        results = options.results
        if options.quick and results == Path(RESULTS):
            results = Path(stack.enter_context(tempfile.TemporaryDirectory())) / RESULTS
        if not options.show:
            if options.folder:
                options.folder.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.TemporaryDirectory(prefix="sluice-bench-")
            folder = options.folder or Path(stack.enter_context(temporary))
            measure_all(options, folder, results)
        records = read_results(results)
    if options.constants:
        for found, machine in tables.constants(records):
            costs.save_constants(found, machine)
    measure.fill(
        options.document,
        measured=tables.everything(records),
        projected=tables.projections(costs.load_constants()) if options.constants else None,
    )


if __name__ == "__main__":
    main()
