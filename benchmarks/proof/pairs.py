"""Parts of benchmarks/proof: duplicates in collections with published groups, and in labelled pairs of sentences."""

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.proof.duplicates import HEADER, THRESHOLDS, cells, found_share, recipes
from benchmarks.proof.quality import Found, judge, read_lines
from benchmarks.proof.runs import Corpus, Vectors, chosen

# Pairs of every source.
EACH = 1000


def dups(shared: Path, work: Path, vectors: Vectors, *, share: float, quick: bool) -> str:
    """All sources together, as one corpus, and then by source."""
    documents = read_lines(shared / "dups.jsonl.gz")
    groups = {one["id"]: one["group"] or f"alone:{one['id']}" for one in read_lines(shared / "dups.truth.jsonl.gz")}
    groups = {name: group for name, group in groups.items() if chosen(group, share)}
    documents = [one for one in documents if one["id"] in groups]
    sources: dict[str, dict[str, str]] = defaultdict(dict)
    for one in documents:
        sources[one["source"]][one["id"]] = groups[one["id"]]
    corpus = Corpus(work / "dups", documents, vectors)
    rows, by_source = [], []
    for name, steps in recipes(THRESHOLDS[1::2], quick=quick).items():
        one = corpus.compare(steps, name)
        rows.append((name, *cells(corpus, one, (judge(groups, each.kept) for each in one))))
        own = [judge(here, one.outcome.kept) for _, here in sorted(sources.items())]
        by_source.append((name, *(f"{found.precision:.2f} / {found.recall:.2f}" for found in own)))
    names = [
        f"{source} ({len(here):,}, {len(here) - len(set(here.values())):,} removable)"
        for source, here in sorted(sources.items())
    ]
    return "\n".join(
        [
            f"### dups: {len(corpus):,} documents, {len(groups) - len(set(groups.values())):,} removable\n",
            measure.table(HEADER, rows),
            "\nPrecision / recall by source:\n",
            measure.table(["", *names], by_source),
        ]
    )


def pairs(shared: Path, work: Path, vectors: Vectors, *, share: float, quick: bool) -> str:
    """Sentences of labelled pairs as one corpus, each sentence in one pair only."""
    picked = choose_pairs(shared / "pairs.parquet", each=round(EACH * share))
    sentences = (one for found in picked.values() for one in found)
    documents = [{"id": f"{one['id']}:{side}", "text": one[side]} for one in sentences for side in ("a", "b")]
    corpus = Corpus(work / "pairs", documents, vectors)
    ids = {
        (source, label): [(f"{one['id']}:a", f"{one['id']}:b") for one in found if one["label"] == label]
        for source, found in picked.items()
        for label in (1, 0)
    }
    same = [pair for (_, label), found in ids.items() if label for pair in found]
    other = [pair for (_, label), found in ids.items() if not label for pair in found]

    def answer(kept: frozenset[str]) -> Found:
        right, wrong = (sum(a not in kept or b not in kept for a, b in found) for found in (same, other))
        return Found(right + wrong, right, len(same))

    rows, by_source = [], []
    for name, steps in recipes(THRESHOLDS[1::2], quick=quick).items():
        one = corpus.compare(steps, name)
        rows.append((name, *cells(corpus, one, (answer(each.kept) for each in one))))
        shares = [(found_share(ids[source, 1], one.outcome.kept), ids[source, 0]) for source in picked]
        by_source.append(
            (
                name,
                *(f"{yes:.2f} / " + (f"{found_share(no, one.outcome.kept):.2f}" if no else "-") for yes, no in shares),
            )
        )
    names = [f"{source} ({len(ids[source, 1]):,} / {len(ids[source, 0]):,})" for source in picked]
    header = ["", "pairs found", *HEADER[2:]]
    return "\n".join(
        [
            f"### pairs: {len(corpus):,} sentences, {len(same):,} pairs of the same meaning, {len(other):,} not\n",
            measure.table(header, rows),
            "\nShare found of pairs of the same meaning / of the others, by source:\n",
            measure.table(["", *names], by_source),
        ]
    )


def choose_pairs(path: Path, *, each: int) -> dict[str, list[dict[str, Any]]]:
    """So many labelled pairs of every source by a hash of their id, no sentence twice."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["id", "a", "b", "label", "source"]).to_pylist()
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    used: set[str] = set()
    for one in sorted(table, key=lambda one: hashlib.blake2b(one["id"].encode()).digest()):
        sentences = {one["a"], one["b"]}
        if one["label"] is None or len(found[one["source"]]) >= each or len(sentences) < 2 or sentences & used:
            continue
        used |= sentences
        found[one["source"]].append(one)
    return dict(sorted(found.items()))
