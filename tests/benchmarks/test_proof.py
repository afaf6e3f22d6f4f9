"""The proof counts what it says, on corpora of a few documents and vectors that need no model."""

import gzip
import hashlib
import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.measure import ROOT
from benchmarks.proof import __main__ as command
from benchmarks.proof import contamination, degraded_texts, duplicates, pairs, quality, runs, selection

WORDS = ["water", "stone", "river", "light", "garden", "winter", "letter", "bridge", "market", "silver"]


def fake_run(self, steps, name="run"):
    """What the steps of these tests would remove: the benchmarks are tested here, the pipelines elsewhere."""
    step = steps[-1]
    kind, cut = step["step"], step.get("cut", {})
    left = list(self.texts)
    order = sorted(left, key=lambda one: hashlib.blake2b(one.encode()).digest())
    if kind == "contamination":
        items = [json.loads(line)["text"] for line in Path(step["benchmarks"][0]).read_text().splitlines()]
        if step["ngram"]:
            parts = [" ".join(item.split()[:13]) for item in items]
            left = [one for one in left if not any(part in self.texts[one] for part in parts)]
        else:
            sets = {words_of(item) for item in items}
            left = [one for one in left if words_of(self.texts[one]) not in sets]
    elif kind in ("semdedup", "minhash", "exact"):
        key = words_of if kind == "semdedup" else str
        first: dict = {}
        for one in left:
            first.setdefault(key(self.texts[one]), one)
        left = list(first.values())
    elif "tokens" in cut:
        totals = np.cumsum([self.tokens[one] for one in order])
        left = order[: int((totals <= cut["tokens"]).sum())]
    if kind == "random" and "like" in step:
        left = order[: self.last]
    elif "ratio" in cut:
        best = order if kind == "random" else sorted(left, key=lambda one: len(self.texts[one]))
        left = best[: math.ceil(float(cut["ratio"]) * len(self))]
    if kind != "random":
        self.last = len(left)
    folder = self.folder / name / "steps/01-quality/weights"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"totals": {"weights": {"no_all_caps": 0.5}}}))
    return runs.Outcome(frozenset(left), {}, self.folder / name)


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.lower().split())


@pytest.fixture
def without_runs(monkeypatch) -> None:
    """Runs are fake_run's."""
    monkeypatch.setattr(runs.Corpus, "run", fake_run)


class Vectors:
    """Equal for texts of the same set of words, whatever their order."""

    def of(self, texts):
        found = []
        for text in texts:
            seed = sum(
                ord(letter) * (place + 1) for word in set(text.lower().split()) for place, letter in enumerate(word)
            )
            found.append(np.random.default_rng(seed).standard_normal(16))
        vectors = np.array(found, np.float32).reshape(len(texts), 16)
        return vectors, np.array([len(text.split()) for text in texts])


def sentence(rng: np.random.Generator, size: int = 40) -> str:
    return " ".join(f"{rng.choice(WORDS)}{rng.integers(0, 999)}" for _ in range(size)).capitalize() + "."


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """The corpora's files: of 128 groups every eighth is read with --quick; half of those have a reordered copy."""
    folder, rng = tmp_path_factory.mktemp("shared"), np.random.default_rng(0)
    rows, truth = [], []
    for number in range(16 * 8):
        text = sentence(rng)
        group = {"group": f"g{number:03}", "of": f"a{number:03}"}
        rows.append({"id": f"a{number:03}", "text": text, "source": "one"})
        truth.append({"id": f"a{number:03}", **group, "kind": "original"})
        if number % 16 == 0:
            words = text.split()
            rows.append({"id": f"b{number:03}", "text": " ".join(words[::-1]), "source": "one"})
            truth.append({"id": f"b{number:03}", **group, "kind": "paraphrase"})
        elif number % 16 == 8:
            truth[-1] |= {"kind": "hard_negative", "looks_like": f"a{number - 8:03}"}
    write_lines(folder / "planted.jsonl.gz", rows)
    write_lines(folder / "planted.truth.jsonl.gz", truth)
    write_lines(folder / "dups.jsonl.gz", rows)
    write_lines(folder / "dups.truth.jsonl.gz", [{"id": one["id"], "group": one["group"]} for one in truth])
    pages = [{"id": f"w{n}", "text": "\n".join(sentence(rng) for _ in range(3))} for n in range(90)]
    write_lines(folder / "web" / "part-00000.jsonl.gz", pages)
    write_lines(folder / "targets.jsonl.gz", [{"id": f"t{n}", "text": sentence(rng)} for n in range(60)])
    write_lines(folder / "boilerplate.jsonl.gz", [{"id": "n0", "text": "All rights reserved by the owners of this."}])
    pairs = [
        {
            "id": f"p{n}",
            "a": a,
            "b": " ".join(a.split()[::-1]) if n % 2 else sentence(rng),
            "label": n % 2,
            "source": "s",
        }
        for n, a in enumerate(sentence(rng, 20) for _ in range(60))
    ]
    pq.write_table(pa.Table.from_pylist(pairs), folder / "pairs.parquet")
    code = [
        {
            "id": f"c{n}",
            "text": f"def f{n}(x):\n" + "    if x == 1:\n        x = (x + 2)\n" * (10 + n),
            "language": "python",
        }
        for n in range(30)
    ]
    pq.write_table(pa.Table.from_pylist(code), folder / "code.parquet")
    return folder


def table(text: str, beginning: str) -> dict[str, list[str]]:
    """The table after a line: the cells of every row by its first one."""
    lines = text[text.index(beginning) :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    found: dict[str, list[str]] = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
        found.setdefault(first, rest)
    return found


def test_planted_duplicates_are_counted_against_the_truth(without_runs, shared, tmp_path) -> None:
    text = duplicates.planted(shared, tmp_path, Vectors(), share=1.0, quick=False)
    found = table(text, "### planted: 136 documents, 8 removable")
    assert found["exact"][:5] == ["0", "0.0%", "1.000", "0.000", "0.000"]
    # Reordered words share no shingle, and their vectors are equal.
    assert found["minhash nemo, verified 0.8"][0] == "0"
    assert found["semdedup 0.9"][0] == "8" and found["semdedup 0.9"][2:5] == ["1.000", "1.000", "1.000"]
    # A run that removes nothing has controls that remove nothing; 8 random ones are not all right.
    assert found["exact"][6] == found["exact"][9] == "0.000" and float(found["semdedup 0.9"][5]) < 1
    kinds = table(text, "Share of pairs found, by kind")
    assert kinds["how many there are"][0] == "8" and kinds["semdedup 0.9"][0] == "1.00"
    said = table(text, "Only labelled pairs: 8 paraphrases and 8 that")
    assert said["semdedup 0.9"][:4] == ["8", "1.000", "1.000", "1.000"]


def test_a_sentence_is_in_one_chosen_pair_only(tmp_path) -> None:
    rows = [
        {"id": "1", "a": "x", "b": "y", "label": 1, "source": "s"},
        {"id": "2", "a": "y", "b": "z", "label": 0, "source": "t"},
        {"id": "3", "a": "q", "b": "q", "label": 1, "source": "s"},
        {"id": "4", "a": "r", "b": "u", "label": None, "source": "s"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    chosen = pairs.choose_pairs(tmp_path / "pairs.parquet", each=5)
    # Either of the first two, but not both; neither equal sentences nor undecided pairs.
    assert [one["id"] for found in chosen.values() for one in found] in (["1"], ["2"])


def test_planted_items_are_found_by_kind(without_runs, shared, tmp_path) -> None:
    text = contamination.contamination(shared, tmp_path, Vectors(), share=0.06, quick=False)
    assert text.startswith("114 documents, 48 with one planted of 72 items.")
    kinds = table(text, "Recall by kind")
    header = next(line for line in text[text.index("Recall by kind") :].splitlines() if line.startswith("|"))
    names = [cell.strip() for cell in header.strip("|").split("|")][1:]
    words = dict(zip(names, kinds["13 words"]))
    assert words["verbatim, alone"] == words["verbatim, inside"] == words["half, inside"] == "1.00"
    assert words["paraphrase, alone"] == "0.00" and words["of 66 clean"] == "0"
    similar = dict(zip(names, kinds["cosine above 0.8"]))
    assert (
        similar["verbatim, alone"] == similar["paraphrase, alone"] == "1.00" and similar["verbatim, inside"] == "0.00"
    )
    # Verbatim and half, alone and inside: 24 of 48.
    assert table(text, "114 documents")["13 words"][:3] == ["24", "1.000", "0.500"]


@pytest.mark.parametrize(
    "way", ["shuffled words", "word lists", "truncated lines", "symbol noise", "shouted", "markup"]
)
def test_every_way_of_degrading_changes_a_text(way: str) -> None:
    text = "The river is wide here.\nNobody crosses it in winter, when the bridge is closed."
    found = degraded_texts.WAYS[way](text, np.random.default_rng(0), ["All rights reserved."])
    assert found != text
    if way in ("shuffled words", "word lists"):
        assert sorted(found.split()) == sorted(text.split())


def test_vectors_are_kept_by_content(tmp_path) -> None:
    calls: list[int] = []

    class Embedder:
        def recipe(self):
            return {"model": "none"}

        def embed(self, texts):
            calls.append(len(texts))
            return Vectors().of(texts)[0]

        def count_tokens(self, texts):
            return Vectors().of(texts)[1]

    def opened():
        vectors = runs.Vectors(tmp_path)
        vectors.__dict__["_embedder"] = Embedder()
        return vectors

    first, tokens = opened().of(["one two", "three", "one two"])
    assert np.array_equal(first[0], first[2]) and tokens.tolist() == [2, 1, 2] and calls == [2]
    again, _ = opened().of(["four", "three"])
    assert calls == [2, 1] and np.array_equal(again[1], first[1])


def test_controls_keep_as_many_documents_or_tokens(tmp_path) -> None:
    rng = np.random.default_rng(0)
    documents = [{"id": f"d{n}", "text": sentence(rng, 5 + n)} for n in range(40)]
    corpus = runs.Corpus(tmp_path / "corpus", documents, None)
    one = corpus.compare([{"step": "length", "cut": {"ratio": "0.5"}}], "length")
    assert one.outcome.kept == {f"d{n}" for n in range(20)} and len(one.documents.kept) == 20
    budget = corpus.total(one.outcome.kept)
    assert corpus.total(one.tokens.kept) <= budget < corpus.total(one.tokens.kept) + 45
    assert one.outcome.kept != one.documents.kept


def test_every_part_has_its_place_in_the_page() -> None:
    page = (ROOT / "docs" / "measured" / "proof.md").read_text()
    for name in command.PARTS:
        assert page.count(f"<!-- {name} -->") == page.count(f"<!-- end of {name} -->") == 1


def test_every_part_fills_its_table(without_runs, shared, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(command, "Vectors", lambda folder: Vectors())
    monkeypatch.setattr(selection, "clusters_of", lambda corpus, k: {one: n % k for n, one in enumerate(corpus.texts)})
    page = tmp_path / "proof.md"
    page.write_text("".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->\n" for name in command.PARTS) + "The end.\n")
    small = [name for name in command.PARTS if name in ("contamination", "code", "quality")]
    whole = [name for name in command.PARTS if name not in small]
    command.main(["--shared", str(shared), "--share", "0.06", "--document", str(page), "--only", *small])
    command.main(["--shared", str(shared), "--document", str(page), "--only", *whole])
    written = page.read_text()
    assert "\nold\n" not in written and written.count("Measured on ") == len(command.PARTS)
    assert written.endswith("The end.\n") and "114 documents, 48 with one planted of 72 items." in written


def test_a_removal_is_right_while_one_of_the_group_is_left() -> None:
    groups = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "c1": "c"}
    # All of a, one of b and the only c: of five removals, two of a and one of b are right.
    found = quality.judge(groups, {"b2"})
    assert (found.removed, found.right, found.removable) == (5, 3, 3)
    assert found.precision == 0.6 and found.recall == 1.0 and found.f1 == 0.75
    assert quality.judge(groups, set(groups)).cells() == ("0", "1.000", "0.000", "0.000")


def test_auc_and_f1_agree_with_their_definitions() -> None:
    random = np.random.default_rng(1)
    scores, labels = random.integers(0, 12, 80) / 10, random.integers(0, 2, 80)
    each = [(p > n) + (p == n) / 2 for p in scores[labels == 1] for n in scores[labels == 0]]
    assert quality.auc(scores, labels) == pytest.approx(np.mean(each))
    best = max(
        2 * ((scores >= t) & (labels == 1)).sum() / ((scores >= t).sum() + labels.sum()) for t in np.unique(scores)
    )
    f1, threshold = quality.best_f1(scores, labels)
    assert f1 == pytest.approx(best) and threshold in scores


@pytest.mark.parametrize("kept, total", [(1, 3), (9_999, 10_294), (10_294, 10_294), (7, 1000)])
def test_the_control_keeps_as_many_as_what_it_is_compared_with(kept, total) -> None:
    ratio = Decimal(runs.random_step(kept, total)["cut"]["ratio"])
    assert math.ceil(ratio * total) == kept
