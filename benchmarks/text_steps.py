"""What steps over texts cost, on 200,000 short documents, as a Markdown table: docs/methods-text.md.

    python benchmarks/text_steps.py
    python benchmarks/text_steps.py --documents 20000

What they find is measured by benchmarks/proof.py.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
import numpy as np


def write_short(path: str, documents: int) -> None:
    """Short texts, a fifth of them near-copies, a twentieth of them of one template."""
    rng = np.random.default_rng(0)
    words = np.array([f"{chr(97 + n % 26)}{n:x}word" for n in range(20_000)])
    held: list[list[str]] = []
    with open(path, "w") as file:
        for number in range(documents):
            text = words[rng.zipf(1.3, 60) % len(words)].tolist()
            if number % 20 == 7:
                text = [*words[:55].tolist(), *text[:5]]
            elif number % 5 == 1 and held:
                text = list(held[rng.integers(0, len(held))])
                text[rng.integers(0, len(text))] = "changed"
            elif len(held) < 5000:
                held.append(text)
            lines = (" ".join(text[at : at + 12]).capitalize() + "." for at in range(0, len(text), 12))
            file.write(json.dumps({"id": f"d{number}", "text": "\n".join(lines)}) + "\n")


def run_step(path: str, run: str, step: dict[str, Any]) -> dict[str, float]:
    """Seconds of a run's stages, as runner.Timing has them, and what was kept."""
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.recipe import Recipe

    started = time.monotonic()
    recipe = {"input": {"paths": [path], "id": "id", "unit_bytes": 16 << 20}, "steps": [step]}
    report = run_recipe(Recipe.model_validate(recipe), run)[0]
    own = sum(timing["seconds"] for timing in report["timings"] if timing["stage"].startswith("01-"))
    return {"seconds": time.monotonic() - started, "step": own, "kept": report["totals"]["kept"]}


def cost(work: Path, documents: int) -> str:
    corpus = work / "short.jsonl"
    write_short(str(corpus), documents)
    steps: dict[str, dict[str, Any]] = {
        "exact": {"step": "exact"},
        "minhash": {"step": "minhash"},
        "minhash, verified at 0.7": {"step": "minhash", "verify": "0.7"},
        "quality, learnt": {"step": "quality", "cut": {"ratio": "0.5"}},
        "length": {"step": "length", "by": "characters", "cut": {"ratio": "0.5"}},
    }
    rows = []
    for number, (name, step) in enumerate(steps.items()):
        run = str(work / f"cost-{number}")
        found, peak = measure.run("text_steps", "run_step", path=str(corpus), run=run, step=step)
        each = found["step"] / documents * 1e6
        rows.append((name, f"{found['step']:.1f}", f"{each:.0f}", f"{peak:,.0f}", f"{found['kept']:,}"))
    header = ["", "seconds of the step", "us per document", "peak MB", "kept"]
    size = corpus.stat().st_size
    return f"{documents:,} short documents, {size / 1e6:.0f} MB\n\n" + measure.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200_000, metavar="N", help="(default: 200000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as temporary:
        print(cost(Path(temporary), options.documents))


if __name__ == "__main__":
    main()
