"""What each step costs by itself, beside random: seconds, microseconds a document, and peak memory of the process.

    python benchmarks/steps.py                                        # 200,000 vectors, every step that needs no text
    python benchmarks/steps.py --steps density scip --documents 1000000
    python benchmarks/steps.py --corpus sample --steps exact '{"step": "quality", "cut": {"ratio": 0.5}}'
    python benchmarks/steps.py --quick                                # 3,000 vectors: a check that everything runs

A step is a name (with its defaults, and half of the documents to keep) or a step as recipes have it, in JSON. Each runs
in a process of its own. Reading, embedding and writing the corpus out are the same for all, and shown apart.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import corpora
import measure

KEEP = 0.5
# What steps cannot do without, where half of the documents is not it.
OPTIONS: dict[str, dict[str, Any]] = {
    "semdedup": {"cut": {"ratio": 0.75}},
    "cap": {"most": 20_000},
}
# Steps that work on vectors and ids alone.
WITHOUT_TEXT = ("density", "scip", "prototypes", "semdedup")


def make(path: str, documents: int, dimension: int) -> None:
    """Write a corpus of vectors; in a process of its own because its memory is not what is measured."""
    corpora.write_vectors(path, corpora.Vectors(documents, dimension), sources=True)


def step_of(text: str) -> dict[str, Any]:
    """A step in JSON, or a name with what it needs. Raises ValueError for JSON that is no step."""
    if not text.lstrip().startswith("{"):
        from sluice.pipelines.steps import find_steps

        if text not in find_steps():
            raise ValueError(f"there is no step {text!r}; there is {', '.join(find_steps())}")
        cut = {"cut": {"ratio": KEEP}} if "cut" in find_steps()[text].model_fields else {}
        return {"step": text} | cut | OPTIONS.get(text, {})
    found = json.loads(text)
    if "step" not in found:
        raise ValueError(f"{text} names no step")
    return found


def curate(inputs: dict[str, Any], step: dict[str, Any], run: str, beam_args: list[str]) -> dict[str, Any]:
    """Run a recipe of one step: seconds by stage, of the report, and documents before and after."""
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.recipe import Recipe

    started = time.monotonic()
    report, timings = run_recipe(Recipe.model_validate({"input": inputs, "steps": [step]}), run, beam_args)
    seconds = {timing.stage: timing.seconds for timing in timings}
    report_seconds = time.monotonic() - started - sum(seconds.values())
    totals = report["totals"]
    return {"seconds": seconds, "report": report_seconds, "documents": totals["documents"], "kept": totals["kept"]}


def measured(inputs: dict[str, Any], step: dict[str, Any], beam_args: list[str]) -> tuple[dict[str, Any], float]:
    """What `curate` returns and its peak memory in MB, from a process of its own."""
    # In TMPDIR: some 2 KB a document at 384 dimensions.
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        run = str(Path(folder) / "run")
        return measure.run("steps", "curate", inputs=inputs, step=step, run=run, beam_args=beam_args)


def own_seconds(found: dict[str, Any]) -> dict[str, float]:
    """Seconds of the step's own stages, by their names."""
    return {name.split("/", 1)[1]: value for name, value in found["seconds"].items() if name.startswith("01-")}


def row(name: str, found: dict[str, Any], peak: float, control: float) -> tuple[str, ...]:
    own = own_seconds(found)
    total, documents = sum(own.values()), found["documents"]
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in own.items())
    each = f"{total / documents * 1e6:.1f}"
    return name, f"{found['kept']:,}", f"{total:.1f}", each, f"{total / control:.1f}", f"{peak:.0f} MB", stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", nargs="+", default=list(WITHOUT_TEXT), metavar="STEP", help="names, or JSON")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--corpus", metavar="DIR", help="documents with a field `text`, instead of vectors")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--quick", action="store_true", help="3,000 documents of 32 dimensions")
    options = parser.parse_args()
    if options.quick:
        options.documents, options.dimension = 3000, 32
    steps = [step_of("random"), *(step_of(text) for text in options.steps)]
    beam_args = ["--runner=FnApiRunner"]
    if options.workers > 1:
        beam_args += ["--direct_running_mode=multi_processing", f"--direct_num_workers={options.workers}"]
    print(measure.machine())
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        inputs: dict[str, Any] = {"paths": [folder], "id": "id", "vector": "embedding", "text": None}
        inputs |= {"source": "source"}
        if options.corpus:
            inputs = {"paths": [str(Path(options.corpus).absolute())], "tokens": "none"}
        else:
            measure.run("steps", "make", path=folder, documents=options.documents, dimension=options.dimension)
        found = [measured(inputs, step, beam_args) for step in steps]
    control = sum(own_seconds(found[0][0]).values())
    common = found[0][0]
    rest = {name: value for name, value in common["seconds"].items() if not name.startswith("01-")}
    rest["report"] = common["report"]
    print(
        f"\n{common['documents']:,} documents; for all steps: " + ", ".join(f"{n} {s:.1f} s" for n, s in rest.items())
    )
    head = ["step", "kept", "seconds", "us a document", "times random", "peak memory", "its stages, seconds"]
    rows = [row(step["step"], *one, control) for step, one in zip(steps, found)]
    print("\n" + measure.table(head, rows))


if __name__ == "__main__":
    main()
