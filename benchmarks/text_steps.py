"""What steps over texts find and cost: minhash beside exact, quality on degraded text, 200,000 short documents.

    python benchmarks/text_steps.py --shared ../shared/data > text_steps.md
    python benchmarks/text_steps.py --only cost --documents 20000

Without the shared corpora only the cost is measured. --embed adds semdedup after minhash, a quarter of an hour more.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import numpy as np
import quality

RECIPES: dict[str, list[dict[str, Any]]] = {
    "exact": [{"step": "exact"}],
    "minhash datatrove": [{"step": "minhash"}],
    "minhash nemo": [{"step": "minhash", "preset": "nemo"}],
    "minhash slimpajama": [{"step": "minhash", "preset": "slimpajama"}],
    "minhash datatrove, verified at 0.7": [{"step": "minhash", "verify": "0.7"}],
    "minhash, 32 bands of 4, verified at 0.5": [{"step": "minhash", "bands": 32, "rows": 4, "verify": "0.5"}],
}
SEQUENCES: dict[str, list[dict[str, Any]]] = {
    f"minhash datatrove, then semdedup {t}": [{"step": "minhash"}, {"step": "semdedup", "cut": {"threshold": t}}]
    for t in ("0.9", "0.8")
}
HEADER = ["", "removed", "precision", "recall", "F1"]
DEGRADED = 0.3


def duplicates(corpus: Path, groups: dict[str, str], work: Path, recipes: dict[str, Any]) -> Iterator[tuple]:
    """(recipe, Found, ids kept, random's Found) for every recipe; the control removes as many."""
    for name, steps in recipes.items():
        print(f"{corpus.name}: {name}", file=sys.stderr)
        kept = quality.curate(corpus, work / name.replace(" ", "-").replace(",", ""), steps)
        control = quality.curate(corpus, work / "random", [quality.random_step(len(kept), len(groups))])
        yield name, quality.judge(groups, kept), kept, quality.judge(groups, control)


def planted(shared: Path, work: Path, recipes: dict[str, Any]) -> str:
    truth = quality.read_lines(shared / "planted.truth.jsonl.gz")
    groups = {one["id"]: one["group"] for one in truth}
    size = Counter(groups.values())
    copies = [one for one in truth if one["of"] != one["id"] and size[one["group"]] == 2]
    kinds = sorted({one["kind"] for one in copies})
    pairs = Counter(one["kind"] for one in copies)
    rows, by_kind = [], []
    for name, found, kept, control in duplicates(shared / "planted.jsonl.gz", groups, work / "planted", recipes):
        missed = Counter(one["kind"] for one in copies if one["id"] in kept and one["of"] in kept)
        rows.append((name, *found.cells(), f"{control.f1:.3f}"))
        by_kind.append((name, *(f"{1 - missed[kind] / pairs[kind]:.2f}" for kind in kinds)))
    return "\n".join(
        [
            f"## planted: {len(truth):,} documents, {len(truth) - len(size):,} removable\n",
            measure.table([*HEADER, "random: F1"], rows),
            "\nShare of pairs found, by kind:\n",
            measure.table(["", *(kind.replace("_", " ") for kind in kinds)], by_kind),
        ]
    )


def dups(shared: Path, work: Path, recipes: dict[str, Any]) -> str:
    truth = quality.read_lines(shared / "dups.truth.jsonl.gz")
    groups = {one["id"]: one["group"] or f"alone:{one['id']}" for one in truth}
    found = duplicates(shared / "dups.jsonl.gz", groups, work / "dups", recipes)
    rows = [(name, *one.cells(), f"{control.f1:.3f}") for name, one, _, control in found]
    removable = len(groups) - len(set(groups.values()))
    return f"## dups: {len(groups):,} documents, {removable:,} removable\n\n" + measure.table(
        [*HEADER, "random: F1"], rows
    )


def pairs(shared: Path) -> str:
    """Jaccard similarity of word 3-grams on labelled pairs of sentences: what no banding can do better than."""
    import pyarrow.parquet as pq

    from sluice.models.minhash import Scheme, shingle_sets
    from sluice.models.shingles import Shingling

    table = pq.read_table(shared / "pairs.parquet", columns=["a", "b", "label"]).to_pylist()
    table = [one for one in table if one["label"] is not None]
    labels = np.array([one["label"] for one in table])
    rows = []
    for width in (1, 2, 3, 5):
        scheme = Scheme(Shingling("words", width, "simple"), 1, 1)
        left, right = (shingle_sets([one[side] for one in table], scheme) for side in ("a", "b"))
        shared_ = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(left, right)]
        scores = np.array([s / max(len(a) + len(b) - s, 1) for s, a, b in zip(shared_, left, right)])
        f1, threshold = quality.best_f1(scores, labels)
        rows.append((f"{width} words", f"{quality.auc(scores, labels):.3f}", f"{f1:.3f}", f"{threshold:.2f}"))
    heading = f"## pairs: {len(table):,} labelled pairs of sentences, Jaccard similarity of shingles\n\n"
    return heading + measure.table(["shingle", "AUC", "best F1", "at Jaccard"], rows)


# Quality --------------------------------------------------------------------------------------------------------


def degrade(text: str, rng: np.random.Generator) -> tuple[str, str]:
    """(how, a text that no one would train on)."""
    how = ("shouted", "markup", "word lists", "noise")[rng.integers(0, 4)]
    if how == "shouted":
        return how, text.upper()
    if how == "markup":
        return how, "\n".join("<div>{" + line[:20] + "} function() { javascript" for line in text.splitlines())
    if how == "word lists":
        return how, "\n".join(rng.permutation(text.split()).tolist())
    letters = np.array(list(text))
    hit = rng.random(len(letters)) < 0.4
    letters[hit] = rng.choice(list("0123456789#$%&*"), int(hit.sum()))
    return how, "".join(letters)


def degraded(shared: Path, work: Path, documents: int) -> str:
    """Shares of degraded documents that are removed when as many are removed as were degraded."""
    rng = np.random.default_rng(0)
    texts = [one["text"] for one in quality.read_lines(shared / "planted.jsonl.gz")][:documents]
    kinds = {}
    corpus = work / "degraded.jsonl"
    with corpus.open("w") as file:
        for number, text in enumerate(texts):
            kinds[str(number)] = "as it was"
            if rng.random() < DEGRADED:
                kinds[str(number)], text = degrade(text, rng)
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
    bad = sum(kind != "as it was" for kind in kinds.values())
    ratio = f"{(len(kinds) - bad - 0.5) / len(kinds):.12f}"
    names = sorted(set(kinds.values()) - {"as it was"})
    total, rows = Counter(kinds.values()), []
    steps = {name: {"step": name.split()[0], "cut": {"ratio": ratio}} for name in ("quality, learnt", "random")}
    steps["quality, learnt"]["step"] = "quality"
    steps["length"] = {"step": "length", "by": "characters", "cut": {"ratio": ratio}}
    for name, step in steps.items():
        kept = quality.curate(corpus, work / f"degraded-{step['step']}", [step])
        gone = Counter(kinds[one] for one in set(kinds) - kept)
        shares = [f"{gone[kind] / total[kind]:.2f}" for kind in names]
        rows.append((name, f"{sum(gone[kind] for kind in names) / bad:.3f}", *shares))
    manifest = json.loads((work / "degraded-quality/steps/01-quality/weights/manifest.json").read_text())
    weights = sorted(manifest["totals"]["weights"].items(), key=lambda item: -item[1])
    return "\n".join(
        [
            f"## quality: {len(kinds):,} documents, {bad:,} of them degraded, as many removed\n",
            measure.table(["", "of the degraded", *names], rows),
            "\nLearnt weights: " + ", ".join(f"{name} {weight}" for name, weight in weights) + ".",
        ]
    )


# Cost -----------------------------------------------------------------------------------------------------------


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
    return f"## cost: {documents:,} short documents, {size / 1e6:.0f} MB\n\n" + measure.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parent.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, help="where run directories are kept (default: a temporary folder)")
    parser.add_argument("--only", choices=("planted", "dups", "pairs", "quality", "cost"))
    parser.add_argument("--embed", action="store_true", help="also semdedup after minhash")
    parser.add_argument("--documents", type=int, default=200_000, metavar="N", help="of the cost (default: 200000)")
    options = parser.parse_args()
    recipes = RECIPES | (SEQUENCES if options.embed else {})
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        parts = {
            "planted": lambda: planted(options.shared, work, recipes),
            "dups": lambda: dups(options.shared, work, recipes),
            "pairs": lambda: pairs(options.shared),
            "quality": lambda: degraded(options.shared, work, 10_000),
            "cost": lambda: cost(work, options.documents),
        }
        for name, part in parts.items():
            if options.only in (None, name):
                if name != "cost" and not options.shared.is_dir():
                    print(f"{name}: {options.shared} is not there, skipped", file=sys.stderr)
                    continue
                print(part() + "\n", flush=True)


if __name__ == "__main__":
    main()
