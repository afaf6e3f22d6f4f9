"""Part of benchmarks/proof: corrupted Python files among clean ones, and what scip removes of them."""

import hashlib
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import measure
from benchmarks.proof.runs import CONTROLS, Compared, Corpus, Steps, Vectors
from benchmarks.scip import corruptions
from benchmarks.scip.files import parse

RATIOS = ("0.9", "0.8", "0.5")
CORRUPTED = 0.2
# Of the places of a kind in what the model sees; and so many characters are seen, of 256 tokens.
SHARES = {"30 % of the places changed": 0.3, "every place changed": 1.0}
WINDOW = 768
SHORTEST = 300
FILES = 1500


def files_of(shared: Path, count: int) -> dict[str, str]:
    """id -> text of Python files that parse, no two equal, heads of comments left out, chosen by a hash of their id."""
    table = pq.read_table(shared / "code.parquet", columns=["id", "text", "language"]).to_pylist()
    python = [one for one in table if one["language"] == "python"]
    found: dict[str, str] = {}
    seen: set[str] = set()
    for one in sorted(python, key=lambda one: hashlib.blake2b(one["id"].encode()).digest()):
        text = corruptions.without_header(one["text"])
        if len(found) == count:
            break
        if len(text) < SHORTEST or text in seen or not parse(text):
            continue
        seen.add(text)
        found[one["id"]] = text
    return found


def corrupt(files: dict[str, str], share: float) -> dict[str, tuple[str, str]]:
    """id -> (kind, corrupted text): a fifth of the files, kinds in turn, and harmless edits besides, as a control."""
    kinds = list(corruptions.KINDS)
    found: dict[str, tuple[str, str]] = {}
    count = int(len(files) * CORRUPTED * len(kinds) / (len(kinds) - 1))
    for number, (name, text) in enumerate(list(files.items())[:count]):
        # A file without a place for its kind gets the next one that has some.
        for kind in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
            try:
                changed = corruptions.corrupt(text, kind, share=share, window=WINDOW, name=name, seed=0)
            except ValueError:
                break
            if changed is not None and changed != text:
                found[name] = kind, changed
                break
    return found


def code(shared: Path, work: Path, vectors: Vectors, *, share: float, quick: bool) -> str:
    with warnings.catch_warnings():
        # Old files have escapes that Python warns about.
        warnings.simplefilter("ignore")
        files = files_of(shared, round(FILES * share))
    shares = list(SHARES.items())[-1 if quick else 0 :]
    return "\n\n".join(_mixture(files, name, changed, work, vectors, quick) for name, changed in shares)


def _mixture(files: dict[str, str], name: str, share: float, work: Path, vectors: Vectors, quick: bool) -> str:
    changed = corrupt(files, share)
    harmful = {one: kind for one, (kind, _) in changed.items() if corruptions.KINDS[kind][0] != "control"}
    harmless = {one for one, (kind, _) in changed.items() if corruptions.KINDS[kind][0] == "control"}
    documents = [{"id": one, "text": changed[one][1] if one in changed else text} for one, text in files.items()]
    corpus = Corpus(work / f"code-{share}", documents, vectors)
    families = {
        family: {one for one, kind in harmful.items() if corruptions.KINDS[kind][0] == family}
        for family in ("syntax", "content")
    }
    rows = []
    for ratio in RATIOS[-1:] if quick else RATIOS:
        for label, steps in steps_at(ratio).items():
            one = corpus.compare(steps, f"{label} {ratio}")
            rows.append((f"{label}, {ratio} kept", *_cells(one, set(harmful), families, harmless)))
    counted = Counter(harmful.values())
    header = ["", "corrupted removed", "syntax", "content", "harmless edits removed"]
    header += [f"{control}: corrupted removed" for control in CONTROLS]
    return "\n".join(
        [
            f"**{name.capitalize()}**: {len(corpus):,} files, {len(harmful):,} of them corrupted ("
            + ", ".join(f"{kind} {count}" for kind, count in sorted(counted.items()))
            + f"), {len(harmless)} edited harmlessly.\n",
            measure.table(header, rows),
        ]
    )


def steps_at(ratio: str) -> dict[str, Steps]:
    cut = {"cut": {"ratio": ratio}}
    return {
        "scip": [{"step": "scip", **cut}],
        "scip, only far ones": [{"step": "scip", "alpha": "0", **cut}],
    }


def _cells(one: Compared, harmful: set[str], families: dict[str, set[str]], harmless: set[str]) -> list[str]:
    def share(ids: set[str], kept: frozenset[str]) -> str:
        return f"{1 - len(ids & kept) / max(len(ids), 1):.3f}"

    own: Any = [share(ids, one.outcome.kept) for ids in (harmful, *families.values(), harmless)]
    return [*own, *(share(harmful, each.kept) for each in (one.documents, one.tokens))]
