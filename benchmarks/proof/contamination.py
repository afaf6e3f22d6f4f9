"""Part of benchmarks/proof: benchmark items planted into web text, and what the step contamination finds of them."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.proof.quality import Found, read_lines
from benchmarks.proof.runs import CONTROLS, Corpus, Vectors

# Of these words an item has at least twice as many, so that its half can be found.
NGRAM = 13
LONGEST = 200
EDITED = 0.05
# Planted of every kind in every form; pages of the web; items that are planted nowhere.
EACH, PAGES, DECOYS = 100, 2800, 600
KINDS = ("verbatim", "half", "edited", "paraphrase")
# The document is the item, or has it in the middle of its own text.
FORMS = ("alone", "inside")
Record = dict[str, Any]


def by_hash(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda one: hashlib.blake2b(one["id"].encode()).digest())


def half(words: list[str]) -> list[str]:
    return words[: (len(words) + 1) // 2]


def edited(words: list[str], *, seed: str) -> list[str]:
    """A twentieth of the words, at least one, left out or written twice; case and punctuation of all others changed."""
    chosen = random.Random(seed)
    places = set(chosen.sample(range(len(words)), max(round(EDITED * len(words)), 1)))
    found: list[str] = []
    for place, word in enumerate(words):
        if place not in places:
            found.append(word.strip(".,;:!?\"'").upper() or word)
        elif chosen.random() < 0.5:
            found += [word, word]
    return found


CHANGES: dict[str, Callable[[Record], str]] = {
    "verbatim": lambda item: item["text"],
    "half": lambda item: " ".join(half(item["text"].split())),
    "edited": lambda item: " ".join(edited(item["text"].split(), seed=item["id"])),
    "paraphrase": lambda item: item["other"],
}


def inside(host: str, planted: str) -> str:
    """The planted text between two halves of a host, on lines of its own."""
    middle = host.find(" ", len(host) // 2)
    middle = len(host) if middle < 0 else middle
    return f"{host[:middle]}\n{planted}\n{host[middle + 1 :]}"


def items_of(shared: Path, count: int) -> list[Record]:
    """Items of all benchmarks that are long enough to have a half, and not as long as a page."""
    found = [
        {"id": one["id"], "text": one["text"]}
        for one in read_lines(shared / "targets.jsonl.gz")
        if 2 * NGRAM <= len(one["text"].split()) <= LONGEST
    ]
    return by_hash(found)[:count]


def paraphrased(shared: Path, count: int) -> list[Record]:
    """Sentences of labelled pairs as items of a benchmark, each with its paraphrase as `other`."""
    import pyarrow.parquet as pq

    table = pq.read_table(shared / "pairs.parquet", columns=["id", "a", "b", "label"]).to_pylist()
    found = [
        {"id": one["id"], "text": one["a"], "other": one["b"]}
        for one in table
        if one["label"] == 1 and min(len(one[side].split()) for side in ("a", "b")) >= NGRAM
    ]
    return by_hash(found)[:count]


def hosts_of(shared: Path, count: int) -> list[Record]:
    """Pages of the web corpus, neither very short nor very long."""
    found = [
        one
        for path in sorted((shared / "web").glob("*.jsonl.gz"))
        for one in read_lines(path)
        if 300 <= len(one["text"]) <= 5000
    ]
    return by_hash(found)[:count]


def plant(items: list[Record], others: list[Record], pages: list[Record], each: int) -> Iterator[tuple[str, Record]]:
    """(kind and form, or "clean", document): every item and every page is used once."""
    left, left_others, hosts = iter(items), iter(others), iter(pages)
    for kind in KINDS:
        for form in FORMS:
            for number in range(each):
                text = CHANGES[kind](next(left_others if kind == "paraphrase" else left))
                text = text if form == "alone" else inside(next(hosts)["text"], text)
                yield f"{kind}, {form}", {"id": f"{kind}-{form}-{number}", "text": text}
    for page in hosts:
        yield "clean", page


def contamination(shared: Path, work: Path, vectors: Vectors, *, share: float, quick: bool) -> str:
    each, pages, decoys = (max(round(share * count), 1) for count in (EACH, PAGES, DECOYS))
    items = items_of(shared, 6 * each + decoys)
    others = paraphrased(shared, 2 * each)
    planted: dict[str, set[str]] = defaultdict(set)
    documents = []
    for kind, document in plant(items, others, hosts_of(shared, pages), each):
        planted[kind].add(document["id"])
        documents.append(document)
    corpus = Corpus(work / "contamination", documents, vectors)
    file = write_items(work / "items.jsonl", [*items, *others], vectors)
    wanted = set(corpus.texts) - planted["clean"]

    def judge(kept: frozenset[str]) -> Found:
        gone = set(corpus.texts) - kept
        return Found(len(gone), len(gone & wanted), len(wanted))

    kinds = [f"{kind}, {form}" for kind in KINDS for form in FORMS]
    rows, recall = [], []
    for name, options in recipes(quick=quick).items():
        step = {"step": "contamination", "benchmarks": [str(file)], "id": "id", **options}
        one = corpus.compare([step], name)
        own, *controls = (judge(each.kept) for each in one)
        rows.append((name, *own.cells(), *(cell for control in controls for cell in control.cells()[1:])))
        shares = [1 - len(planted[kind] & one.outcome.kept) / len(planted[kind]) for kind in kinds]
        wrong = len(planted["clean"] - one.outcome.kept)
        recall.append((name, *(f"{share:.2f}" for share in shares), f"{wrong:,}"))
    header = ["", "removed", "precision", "recall", "F1"]
    header += [f"{control}: {name}" for control in CONTROLS for name in ("precision", "recall", "F1")]
    return "\n".join(
        [
            f"{len(corpus):,} documents, {len(wanted):,} with one planted of {len(items) + len(others):,} items.\n",
            measure.table(header, rows),
            f"\nRecall by kind ({each} of each), and how many pages went into which nothing was planted:\n",
            measure.table(["", *kinds, f"of {len(planted['clean']):,} clean"], recall),
        ]
    )


def recipes(*, quick: bool) -> dict[str, Record]:
    words: dict[str, Record] = {"13 words": {"ngram": 13}} | ({} if quick else {"8 words": {"ngram": 8}})
    thresholds = ("0.8",) if quick else ("0.9", "0.8", "0.7", "0.6")
    similar = {
        f"cosine above {threshold}": {"ngram": None, "vector": "vector", "cut": {"threshold": threshold}}
        for threshold in thresholds
    }
    if quick:
        return words | similar
    both = {"ngram": 13, "vector": "vector", "cut": {"threshold": "0.8"}}
    return words | similar | {"13 words or cosine above 0.8": both}


def write_items(path: Path, items: list[Record], vectors: Vectors) -> Path:
    found, _ = vectors.of([item["text"] for item in items])
    with path.open("w") as file:
        for item, vector in zip(items, found.tolist()):
            file.write(json.dumps({"id": item["id"], "text": item["text"], "vector": vector}) + "\n")
    return path
