"""How well duplicates are found: precision and recall on corpora whose duplicates are known, as Markdown tables.

    python -m benchmarks.proof.quality --shared ../shared/data > quality.md

Embedding some 22,000 documents and 50,000 sentences takes a quarter of an hour on 2 cores, once: vectors are kept by
content, as benchmarks/proof keeps them. Every further threshold takes seconds: the run directory is the same.
"""

import argparse
import gzip
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.proof.runs import CONTROLS, VECTORS, Compared, Corpus, Steps, Vectors

THRESHOLDS = ("0.95", "0.9", "0.85", "0.8", "0.75")
CLUSTERS = ("auto", "1")
# Kinds of the planted corpus that say what no other document says; a hard negative only looks like one.
ALONE = ("hard_negative", "unique")
# Published with the corpus: MinHash with word 3-grams, not measured here.
MINHASH = (
    ("MinHash, Jaccard 0.8 (published)", "1,610", "1.00", "0.41", "0.58", "0.02"),
    ("MinHash, Jaccard 0.5 (published)", "2,381", "0.996", "0.61", "0.76", "0.11"),
)
DEFINITION = """\
A corpus comes in groups of documents that say the same. A group of s documents has s - 1 removable ones. Removed
documents of a group count as right as long as one of the group is left: min(removed, s - 1). Precision is the right
ones among all that were removed, recall the right ones among all that are removable. The controls remove as many at
random, or as many tokens. By kind, only groups of two are counted (an original and one planted duplicate), where it is
plain which duplicate was found: the pair is found unless both are kept.
"""


@dataclass(frozen=True)
class Found:
    """What a removal is worth: numbers of documents."""

    removed: int
    right: int
    removable: int

    @property
    def precision(self) -> float:
        return self.right / self.removed if self.removed else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.removable if self.removable else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.removed + self.removable) if self.removed + self.removable else 1.0

    def cells(self) -> tuple[str, ...]:
        return f"{self.removed:,}", f"{self.precision:.3f}", f"{self.recall:.3f}", f"{self.f1:.3f}"


def judge(groups: dict[str, str], kept: set[str]) -> Found:
    """groups: the group of each id; kept: the ids that are left."""
    size: dict[str, int] = defaultdict(int)
    gone: dict[str, int] = defaultdict(int)
    for name, group in groups.items():
        size[group] += 1
        gone[group] += name not in kept
    right = sum(min(gone[group], size[group] - 1) for group in size)
    return Found(sum(gone.values()), right, len(groups) - len(size))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a positive (label 1) scores higher than a negative one, ties counted half."""
    _, rank, count = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    positives = labels == 1
    above = middle[rank][positives].sum() - positives.sum() * (positives.sum() + 1) / 2
    return float(above / (positives.sum() * (~positives).sum()))


def best_f1(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(F1, threshold) of the best rule `score >= threshold`."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(labels[order] == 1)
    f1 = 2 * right / (np.arange(1, len(order) + 1) + (labels == 1).sum())
    # Only where a score ends can a threshold be.
    ends = np.r_[np.diff(scores[order]) != 0, True]
    at = int(np.where(ends, f1, -1).argmax())
    return float(f1[at]), float(scores[order][at])


# Running --------------------------------------------------------------------------------------------------------


def semdedup(threshold: str, clusters: str) -> Steps:
    k = clusters if clusters == "auto" else int(clusters)
    return [{"step": "exact"}, {"step": "semdedup", "clusters": k, "cut": {"threshold": threshold}}]


def removals(corpus: Corpus) -> Iterable[tuple[str, Compared]]:
    """(name, outcome and controls) for `exact` alone and then for each clustering and threshold."""
    recipes: dict[str, Steps] = {"exact copies only": [{"step": "exact"}]}
    for clusters in CLUSTERS:
        label = "one cluster" if clusters == "1" else "sqrt(n) clusters"
        recipes |= {f"semdedup {t}, {label}": semdedup(t, clusters) for t in THRESHOLDS}
    for name, steps in recipes.items():
        yield name, corpus.compare(steps, name)


def read_lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


# The corpora ----------------------------------------------------------------------------------------------------


def planted(shared: Path, work: Path, vectors: Vectors) -> str:
    """Tables of all kinds together, and of each kind, on the planted corpus."""
    truth = read_lines(shared / "planted.truth.jsonl.gz")
    groups = {one["id"]: one["group"] for one in truth}
    size = Counter(groups.values())
    copies = [one for one in truth if one["of"] != one["id"] and size[one["group"]] == 2]
    kinds = sorted({one["kind"] for one in copies}, key=lambda kind: (kind == "paraphrase", kind))
    pairs = Counter(one["kind"] for one in copies)
    alone = Counter(one["kind"] for one in truth if one["kind"] in ALONE)
    rows: list[Sequence[str]] = []
    by_kind: list[Sequence[str]] = [
        ("how many there are", *(str(pairs[kind]) for kind in kinds), *(str(alone[kind]) for kind in ALONE))
    ]
    corpus = Corpus(work / "planted", read_lines(shared / "planted.jsonl.gz"), vectors)
    for name, one in removals(corpus):
        kept = one.outcome.kept
        missed = Counter(one["kind"] for one in copies if one["id"] in kept and one["of"] in kept)
        recall = {kind: 1 - missed[kind] / pairs[kind] for kind in kinds}
        wrong = Counter(one["kind"] for one in truth if one["id"] not in kept)
        rows.append(
            (
                name,
                *judge(groups, kept).cells(),
                f"{recall['paraphrase']:.2f}",
                *(cell for control in (one.documents, one.tokens) for cell in judge(groups, control.kept).cells()[1:]),
            )
        )
        by_kind.append((name, *(f"{recall[kind]:.2f}" for kind in kinds), *(str(wrong[kind]) for kind in ALONE)))
    rows += [(*row, *[""] * 6) for row in MINHASH]
    header = ["", "removed", "precision", "recall", "F1", "paraphrases found"]
    header += [f"{control}: {name}" for control in CONTROLS for name in ("precision", "recall", "F1")]
    found = [
        f"## planted: {len(truth):,} documents, {len(truth) - len(set(groups.values())):,} removable\n",
        measure.table(header, rows),
        "\nShare of pairs found, by kind; then how many were removed that have no duplicate:\n",
        measure.table(["", *(kind.replace("_", " ") for kind in (*kinds, *ALONE))], by_kind),
    ]
    return "\n".join(found)


def dups(shared: Path, work: Path, vectors: Vectors) -> str:
    """Tables on corpora with published duplicate groups, each source judged on its own."""
    groups = {one["id"]: one["group"] or f"alone:{one['id']}" for one in read_lines(shared / "dups.truth.jsonl.gz")}
    documents = read_lines(shared / "dups.jsonl.gz")
    sources = {one["id"]: one["source"] for one in documents}
    rows = defaultdict(list)
    for name, one in removals(Corpus(work / "dups", documents, vectors)):
        for source in sorted(set(sources.values())):
            here = {one: group for one, group in groups.items() if sources[one] == source}
            own, *controls = (judge(here, each.kept) for each in one)
            rows[source].append((name, *own.cells(), *(f"{control.f1:.3f}" for control in controls)))
    found = [f"## dups: {len(groups):,} documents\n"]
    found.append(
        "The sources are curated together, as one corpus, and so are the controls: they remove as many of the whole. A "
        "document in no published group counts as unique."
    )
    for source, lines in rows.items():
        here = {one: group for one, group in groups.items() if sources[one] == source}
        found.append(f"\n### {source}: {len(here):,} documents, {judge(here, set(here)).removable:,} removable\n")
        found.append(
            measure.table(["", "removed", "precision", "recall", "F1", *(f"{c}: F1" for c in CONTROLS)], lines)
        )
    return "\n".join(found)


def pairs(shared: Path, limit: int | None, vectors: Vectors) -> str:
    """AUC and best F1 of the cosine on labelled pairs, by source."""
    import pyarrow.parquet as pq

    from sluice.models.arrays.vectors import COARSE, coarse, quantise

    table = pq.read_table(shared / "pairs.parquet", columns=["a", "b", "label", "source"]).to_pylist()
    table = [one for one in table if one["label"] is not None][:limit]
    texts = sorted({one[side] for one in table for side in ("a", "b")})
    place = {text: row for row, text in enumerate(texts)}
    print(f"pairs: {len(texts)} sentences", file=sys.stderr)
    points = coarse(quantise(vectors.of(texts)[0]))
    left, right = (points[[place[one[side]] for one in table]] for side in ("a", "b"))
    cosines = np.einsum("nd,nd->n", left, right, dtype=np.float64) / COARSE**2
    labels = np.array([one["label"] for one in table])
    source = np.array([one["source"] for one in table])
    rows = []
    for name in [*sorted(set(source)), "all"]:
        chosen = np.ones(len(source), bool) if name == "all" else source == name
        y, score = labels[chosen], cosines[chosen]
        positive = int((y == 1).sum())
        # One label only: nothing to tell apart.
        both = 0 < positive < len(y)
        f1, threshold = best_f1(score, y)
        means = [f"{score[y == label].mean():.3f}" if (y == label).any() else "" for label in (1, 0)]
        judged = (f"{auc(score, y):.3f}", f"{f1:.3f}", f"{threshold:.3f}") if both else ("", "", "")
        rows.append((name, f"{len(y):,}", f"{positive:,}", *means, *judged))
    header = ["", "pairs", "same meaning", "mean cosine, same", "mean cosine, not", "AUC", "best F1", "at threshold"]
    return f"## pairs: {len(table):,} labelled pairs\n\n" + measure.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=measure.SHARED)
    parser.add_argument("--work", type=Path, help="where run directories are kept (default: a temporary folder)")
    parser.add_argument("--only", choices=("planted", "dups", "pairs"))
    parser.add_argument("--vectors", type=Path, default=VECTORS, help=f"where vectors are kept (default: {VECTORS})")
    parser.add_argument("--limit", type=int, metavar="N", help="pairs: the first N only")
    options = parser.parse_args()
    if not options.shared.is_dir():
        parser.error(f"{options.shared} is not there: the corpora are data of their own, named by --shared")
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as temporary:
        work, vectors = options.work or Path(temporary), Vectors(options.vectors)
        parts = {
            "planted": lambda: planted(options.shared, work, vectors),
            "dups": lambda: dups(options.shared, work, vectors),
            "pairs": lambda: pairs(options.shared, options.limit, vectors),
        }
        print(DEFINITION)
        for name, part in parts.items():
            if options.only in (None, name):
                print(part() + "\n", flush=True)


if __name__ == "__main__":
    main()
