"""What each step costs by itself: seconds, microseconds a document beside its budget, and peak memory of the process.

    python benchmarks/steps.py                             # every step, 200,000 documents
    python benchmarks/steps.py --steps density scip --documents 1000000
    python benchmarks/steps.py --steps '{"step": "minhash", "verify": "0.7"}'
    python benchmarks/steps.py --quick                     # 3,000 documents: a check that everything runs
    python benchmarks/steps.py --document docs/methods/vectors.md  # write the table into the page

A step is a name (with its defaults, and half of the documents to keep) or a step as recipes have it, in JSON. Each runs
in a process of its own, over documents of 60 words with given vectors. Reading and writing the corpus out are the same
for all, and shown apart. Budgets are those that the documents state: seconds by the clock of two cores for a document.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Run as a file, this folder is on the path, and not the one that holds it.
sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import measure

# What steps cannot do without, where half of the documents is not it.
OPTIONS: dict[str, dict[str, Any]] = {
    "semdedup": {"cut": {"ratio": 0.75}},
    "cap": {"most": 0.1},
    "balance": {"groups": ["source"], "cut": {"ratio": 0.5}},
    "score": {"column": "number", "cut": {"ratio": 0.5}},
    "length": {"by": "characters", "cut": {"ratio": 0.5}},
    "contamination": {"vector": "embedding", "cut": {"threshold": 0.95}},
    "reference": {"cut": {"threshold": 0.99}},
    "target": {"vector": "embedding", "sample": 10_000, "cut": {"ratio": 0.5}},
}
# Microseconds a document, at 200,000 documents of 384 dimensions and 60 words.
BUDGETS: dict[str, float] = {
    "exact": 20,
    "minhash": 150,
    "quality": 200,
    "length": 10,
    "semdedup": 100,
    "prototypes": 60,
    "density": 100,
    "scip": 60,
    "score": 10,
    "cap": 20,
    "balance": 20,
    "contamination": 200,
    "target": 50,
    "reference": 100,
    "random": 10,
}


def make(path: str, items: str, documents: int, dimension: int) -> None:
    """Write a corpus; in a process of its own because its memory is not what is measured."""
    from benchmarks import short_documents

    short_documents.write(path, items, documents, dimension)


def all_steps() -> list[str]:
    from sluice.pipelines.steps import find_steps

    # reference looks at what the step before it left.
    return sorted(find_steps(), key=lambda name: (name == "reference", name == "prototypes", name))


def step_of(text: str, documents: int, places: dict[str, str]) -> dict[str, Any]:
    """A step in JSON, or a name with what it needs. Raises ValueError for JSON that is no step."""
    from sluice.pipelines.steps import find_steps

    found = json.loads(text) if text.lstrip().startswith("{") else {"step": text, **OPTIONS.get(text, {})}
    if found.get("step") not in find_steps():
        raise ValueError(f"there is no step {text!r}; there is {', '.join(find_steps())}")
    fields = find_steps()[found["step"]].model_fields
    if "cut" in fields and len(found) == 1:
        found["cut"] = {"ratio": 0.5}
    if isinstance(found.get("most"), float):
        found["most"] = int(found["most"] * documents)
    return found | {name: [place] for name, place in places.items() if name in fields and name not in found}


def curate(inputs: dict[str, Any], step: dict[str, Any], run: str, beam_args: list[str]) -> dict[str, Any]:
    """Run a recipe of one step: seconds by stage, of the report, and documents before and after."""
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.recipe.recipe import Recipe

    started = time.monotonic()
    report, timings = run_recipe(Recipe.model_validate({"input": inputs, "steps": [step]}), run, beam_args)
    seconds = {timing.stage: timing.seconds for timing in timings}
    report_seconds = time.monotonic() - started - sum(seconds.values())
    totals = report["totals"]
    return {"seconds": seconds, "report": report_seconds, "documents": totals["documents"], "kept": totals["kept"]}


def own_seconds(found: dict[str, Any]) -> dict[str, float]:
    """Seconds of the step's own stages, by their names."""
    return {name.split("/", 1)[1]: value for name, value in found["seconds"].items() if name.startswith("01-")}


def row(name: str, found: dict[str, Any], peak: float) -> tuple[str, ...]:
    own = own_seconds(found)
    total = sum(own.values())
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in own.items())
    budget = f"{BUDGETS[name]:.0f}" if name in BUDGETS else "-"
    each = f"{total / found['documents'] * 1e6:.1f}"
    return name, f"{total:.1f}", each, budget, f"{peak:,.0f} MB", f"{found['kept']:,}", stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", nargs="+", metavar="STEP", help="names, or JSON (default: every step)")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--quick", action="store_true", help="3,000 documents of 32 dimensions")
    parser.add_argument("--document", type=Path, help="write the table into this page, between its markers")
    options = parser.parse_args()
    if options.quick:
        options.documents, options.dimension = 3000, 32
    beam_args = ["--runner=FnApiRunner"]
    if options.workers > 1:
        beam_args += ["--direct_running_mode=multi_processing", f"--direct_num_workers={options.workers}"]
    machine = measure.machine()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        corpus, items, earlier = f"{folder}/corpus", f"{folder}/items.jsonl", f"{folder}/run-prototypes"
        inputs = {"paths": [corpus], "id": "id", "vector": "embedding", "source": "source", "tokens": "none"}
        places = {"benchmarks": items, "targets": items, "runs": earlier}
        names = options.steps or all_steps()
        if any("reference" in name for name in names) and "prototypes" not in names[:-1]:
            names = ["prototypes", *names]
        try:
            steps = [step_of(text, options.documents, places) for text in names]
        except ValueError as error:
            parser.error(str(error))
        measure.run("steps", "make", path=corpus, items=items, documents=options.documents, dimension=options.dimension)
        for number, (text, step) in enumerate(zip(names, steps)):
            run = earlier if text == "prototypes" else f"{folder}/run-{number}"
            found, peak = measure.run("steps", "curate", inputs=inputs, step=step, run=run, beam_args=beam_args)
            rows.append(row(text if text in all_steps() else json.dumps(step), found, peak))
            print("  ".join(rows[-1]), flush=True)
        rest = {name: value for name, value in found["seconds"].items() if not name.startswith("01-")}
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in (rest | {"report": found["report"]}).items())
    head = ["step", "seconds", "us a document", "budget", "peak memory", "kept", "its stages, seconds"]
    about = f"{options.documents:,} documents, {options.dimension} dimensions; {machine}."
    table = measure.table(head, rows)
    measure.fill(options.document, steps=f"{about}\n\n{table}\n\nThe same for all steps, shown for the last: {shown}.")


if __name__ == "__main__":
    main()
