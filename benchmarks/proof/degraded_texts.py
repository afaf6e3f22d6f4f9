"""Part of benchmarks/proof: degraded text among real pages, and which of it the step quality removes."""

import functools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.proof.contamination import by_hash, hosts_of
from benchmarks.proof.quality import read_lines
from benchmarks.proof.runs import CONTROLS, Corpus, Steps

DEGRADED = 0.3
NOISE = 0.4
PAGES = 6000
NO_TEXT = list("0123456789#$%&*{}<>|~")
Random = np.random.Generator


def shuffled_words(text: str, rng: Random, _: list[str]) -> str:
    """The words in any order, in lines as long as they were."""
    words = iter(rng.permutation(text.split()).tolist())
    return "\n".join(" ".join(next(words) for _ in line.split()) for line in text.splitlines())


def truncated_lines(text: str, rng: Random, _: list[str]) -> str:
    """Lines of 40 to 80 characters of which each is cut short, as columns torn from a page."""
    found = []
    while text:
        size = int(rng.integers(40, 80))
        found.append(text[: size // 2].strip())
        text = text[size:]
    return "\n".join(found)


def symbol_noise(text: str, rng: Random, _: list[str]) -> str:
    """Two fifths of the characters replaced by digits and signs."""
    letters = np.array(list(text))
    hit = rng.random(len(letters)) < NOISE
    letters[hit] = rng.choice(NO_TEXT, int(hit.sum()))
    return "".join(letters)


def boilerplate_lines(text: str, rng: Random, boilerplate: list[str]) -> str:
    """Half of the lines, at least one, replaced by lines of notices."""
    lines = text.splitlines()
    for place in rng.permutation(len(lines))[: (len(lines) + 1) // 2]:
        lines[place] = boilerplate[rng.integers(0, len(boilerplate))]
    return "\n".join(lines)


def shouted(text: str, rng: Random, _: list[str]) -> str:
    return text.upper()


def markup(text: str, rng: Random, _: list[str]) -> str:
    return "\n".join("<div>{" + line[:20] + "} function() { javascript" for line in text.splitlines())


def word_lists(text: str, rng: Random, _: list[str]) -> str:
    return "\n".join(rng.permutation(text.split()).tolist())


WAYS: dict[str, Callable[[str, Random, list[str]], str]] = {
    "shuffled words": shuffled_words,
    "word lists": word_lists,
    "truncated lines": truncated_lines,
    "symbol noise": symbol_noise,
    "boilerplate lines": boilerplate_lines,
    "markup": markup,
    "shouted": shouted,
}
NOTICES = "boilerplate"


def mixture(shared: Path, count: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """(documents, how each was degraded: one of WAYS, NOTICES for a real notice, "" for a page as it was)."""
    rng = np.random.default_rng(0)
    notices = [one["text"] for one in by_hash(read_lines(shared / "boilerplate.jsonl.gz"))]
    lines = sorted({line.strip() for text in notices for line in text.splitlines() if len(line.strip()) >= 20})
    pages = [one for one in hosts_of(shared, count) if one["text"].strip()]
    documents, how = [], {}
    ways = [*WAYS, NOTICES]
    for number, page in enumerate(pages):
        way = ways[rng.integers(0, len(ways))] if rng.random() < DEGRADED else ""
        text = page["text"]
        if way == NOTICES:
            text = notices[number % len(notices)]
        elif way:
            text = WAYS[way](text, rng, lines)
        documents.append({"id": page["id"], "text": text})
        how[page["id"]] = way
    return documents, how


def quality(shared: Path, work: Path, *, share: float, quick: bool, parser: str | None) -> str:
    """Shares of degraded documents that go when as many go as were degraded, and when half of all go."""
    documents, how = mixture(shared, round(PAGES * share))
    corpus = Corpus(work / "texts", documents, None)
    total = Counter(how.values())
    bad = sum(count for way, count in total.items() if way)
    found = [
        _table(corpus, how, f"{(len(corpus) - gone - 0.5) / len(corpus):.12f}", gone, parser)
        for gone in ((bad,) if quick else (bad, len(corpus) // 2))
    ]
    learnt = json.loads((work / "texts/learnt.json").read_text())
    weights = ", ".join(f"`{name}` {weight:g}" for name, weight in sorted(learnt.items(), key=lambda item: -item[1]))
    heading = f"{len(corpus):,} documents, {bad:,} of them degraded: " + ", ".join(
        f"{way} {count}" for way, count in sorted(total.items()) if way
    )
    return "\n".join([f"{heading}.", *found, f"\nLearnt weights: {weights}."])


def _table(corpus: Corpus, how: dict[str, str], ratio: str, gone: int, parser: str | None) -> str:
    ways = sorted({way for way in how.values() if way})
    bad = {name for name, way in how.items() if way}
    rows = []
    for label, steps in steps_at(ratio, parser).items():
        one = corpus.compare(steps, f"{label}, {gone} removed")
        if label == "quality, learnt":
            manifest = one.outcome.run / "steps/01-quality/weights/manifest.json"
            weights = json.loads(manifest.read_text())["totals"]["weights"]
            (corpus.folder / "learnt.json").write_text(json.dumps(weights))
        shares = [f"{_removed({name for name in bad if how[name] == way}, one.outcome.kept):.2f}" for way in ways]
        overall = [f"{_removed(bad, each.kept):.3f}" for each in one]
        rows.append((label, overall[0], *shares, *overall[1:]))
    header = ["", "of the degraded", *ways, *CONTROLS]
    return f"\n{gone:,} documents removed:\n\n" + measure.table(header, rows)


def steps_at(ratio: str, parser: str | None) -> dict[str, Steps]:
    cut = {"cut": {"ratio": ratio}}
    equal = dict.fromkeys(_rules(), 1.0)
    found: dict[str, Steps] = {
        "quality, learnt": [{"step": "quality", **cut}],
        "quality, equal weights": [{"step": "quality", "weights": equal, **cut}],
    }
    if parser is not None:
        found["quality, learnt, with the parser"] = [{"step": "quality", "parser": parser, **cut}]
    return found | {"length": [{"step": "length", **cut}]}


@functools.cache
def _rules() -> tuple[str, ...]:
    from sluice.models.methods.quality import RULES

    return tuple(RULES)


def _removed(ids: set[str], kept: frozenset[str]) -> float:
    return 1 - len(ids & kept) / max(len(ids), 1)
