"""benchmarks/proof.py counts what it says, on corpora of a few documents and vectors that need no model."""

import gzip
import hashlib
import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
WORDS = ["water", "stone", "river", "light", "garden", "winter", "letter", "bridge", "market", "silver"]


@pytest.fixture
def load(monkeypatch):
    """Imports a file of benchmarks/ the way its scripts see each other."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


def fake_run(self, steps, name="run"):
    """What the steps of these tests would remove: the benchmarks are tested here, the pipelines elsewhere."""
    runs, step = importlib.import_module("proof_runs"), steps[-1]
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
def proof(load, monkeypatch):
    """Loads a part whose runs are fake_run's."""
    monkeypatch.setattr(load("proof_runs").Corpus, "run", fake_run)
    return load


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


def rows_of(text: str, beginning: str) -> list[list[str]]:
    """The cells of the rows of a table that begin so."""
    lines = (line for line in text.splitlines() if line.startswith(f"| {beginning}"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_planted_duplicates_are_counted_against_the_truth(proof, shared, tmp_path) -> None:
    text = proof("proof_duplicates").planted(shared, tmp_path, Vectors(), share=1.0, quick=False)
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


def test_families_are_compared_at_the_same_precision(proof, shared, tmp_path) -> None:
    text = proof("proof_duplicates").planted(shared, tmp_path, Vectors(), share=1.0, quick=False)
    matched = text[text.index("At the same precision") :].splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in matched)
    minhash, sequence = (row for row in cells if row[0] == "0.99")
    assert minhash[1].startswith("minhash") and sequence[1].startswith("exact, minhash, semdedup")
    assert minhash[4] == "0.000" and sequence[4] == "1.000"


def test_what_looks_alike_is_sampled_together(load, shared) -> None:
    documents, lines = load("proof_duplicates").read_planted(shared, 0.4)
    ids = {one["id"] for one in documents}
    assert 0 < len(ids) < 136 and ids == {one["id"] for one in lines}
    assert {one["looks_like"] for one in lines if "looks_like" in one} <= ids
    assert all(
        (one["group"].replace("g", "b") in ids) == (one["kind"] == "paraphrase") or one["id"][0] == "a" for one in lines
    )


def test_published_groups_and_labelled_pairs_are_counted(proof, shared, tmp_path) -> None:
    pairs = proof("proof_pairs")
    text = pairs.dups(shared, tmp_path, Vectors(), share=1.0, quick=False)
    assert table(text, "### dups: 136 documents, 8 removable")["semdedup 0.9"][2:5] == ["1.000", "1.000", "1.000"]
    assert table(text, "Precision / recall by source")["semdedup 0.9"] == ["1.00 / 1.00"]
    text = pairs.pairs(shared, tmp_path, Vectors(), share=1.0, quick=False)
    found = table(text, "### pairs: 120 sentences, 30 pairs of the same meaning, 30 not")
    assert found["semdedup 0.9"][0] == "30" and found["semdedup 0.9"][2:5] == ["1.000", "1.000", "1.000"]
    assert table(text, "Share found")["semdedup 0.9"] == ["1.00 / 0.00"]


def test_a_sentence_is_in_one_chosen_pair_only(load, tmp_path) -> None:
    rows = [
        {"id": "1", "a": "x", "b": "y", "label": 1, "source": "s"},
        {"id": "2", "a": "y", "b": "z", "label": 0, "source": "t"},
        {"id": "3", "a": "q", "b": "q", "label": 1, "source": "s"},
        {"id": "4", "a": "r", "b": "u", "label": None, "source": "s"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    chosen = load("proof_pairs").choose_pairs(tmp_path / "pairs.parquet", each=5)
    # Either of the first two, but not both; neither equal sentences nor undecided pairs.
    assert [one["id"] for found in chosen.values() for one in found] in (["1"], ["2"])


def test_planted_items_are_found_by_kind(proof, shared, tmp_path) -> None:
    text = proof("proof_contamination").contamination(shared, tmp_path, Vectors(), share=0.06, quick=False)
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


def test_edits_change_few_words_and_all_cases(load) -> None:
    part = load("proof_contamination")
    words = [f"word{n}," for n in range(40)]
    found = part.edited(words, seed="a")
    assert found == part.edited(words, seed="a") != part.edited(words, seed="b")
    # 2 of 40 places: left out, or written twice as they were.
    assert 38 <= len(found) <= 42 and sum(word.isupper() and "," not in word for word in found) == 38
    assert part.inside("one two three", "X") == "one two\nX\nthree" and part.half(words) == words[:20]


def test_corrupted_files_are_counted_apart_from_harmless_edits(proof, shared, tmp_path) -> None:
    code = proof("proof_code")
    files = code.files_of(shared, 30)
    changed = code.corrupt(files, 1.0)
    assert len(files) == 30 and len(changed) == 6 and all(files[name] != text for name, (_, text) in changed.items())
    text = code.code(shared, tmp_path, Vectors(), share=0.02, quick=False)
    assert text.count("30 files") == 2
    found = table(text, "**Every place changed**")
    # The longest half goes: of the five corrupted ones, not of the one with other quotes.
    harmful = [name for name, (kind, _) in changed.items() if kind != "other quotes"]
    size = {name: len(changed[name][1]) if name in changed else len(text) for name, text in files.items()}
    gone = sorted(files, key=size.__getitem__)[15:]
    assert float(found["scip, 0.5 kept"][0]) == pytest.approx(len(set(gone) & set(harmful)) / len(harmful), abs=5e-4)


def test_degraded_text_is_counted_by_how_it_was_degraded(proof, shared, tmp_path) -> None:
    part = proof("proof_texts")
    documents, how = part.mixture(shared, 90)
    assert {"", "boilerplate"} < set(how.values()) and len(documents) == len(how) == 90
    bad = {name for name, way in how.items() if way}
    text = part.quality(shared, tmp_path, share=0.015, quick=False, parser=None)
    found = table(text, f"{len(bad)} documents removed")
    gone = {one["id"] for one in sorted(documents, key=lambda one: len(one["text"]))[90 - len(bad) :]}
    assert float(found["length"][0]) == pytest.approx(len(bad & gone) / len(bad), abs=5e-4)
    assert text.endswith("Learnt weights: `no_all_caps` 0.5.") and "45 documents removed" in text


@pytest.mark.parametrize(
    "way", ["shuffled words", "word lists", "truncated lines", "symbol noise", "shouted", "markup"]
)
def test_every_way_of_degrading_changes_a_text(load, way: str) -> None:
    text = "The river is wide here.\nNobody crosses it in winter, when the bridge is closed."
    found = load("proof_texts").WAYS[way](text, np.random.default_rng(0), ["All rights reserved."])
    assert found != text
    if way in ("shuffled words", "word lists"):
        assert sorted(found.split()) == sorted(text.split())


def test_selections_of_one_size_are_held_against_three_controls(proof, shared, tmp_path, monkeypatch) -> None:
    part = proof("proof_selection")
    monkeypatch.setattr(part, "clusters_of", lambda corpus, k: {one: n % k for n, one in enumerate(corpus.texts)})
    text = part.selection(shared, tmp_path, Vectors(), share=1.0, quick=False)
    half = text[text.index("50% of the documents kept") :]
    controls = [f"- random, same {name}" for name in ("documents", "tokens", "lengths")]
    rows = rows_of(half, "")[1:]
    assert [row[0] for row in rows[:5]] == ["d4", *controls, "semdedup"]
    assert rows[0][1] == rows[1][1] == rows[3][1] == "68"
    # 8 of 136 are removable, and of what semdedup keeps none is.
    assert rows[4][4] == "0.0%" and rows[4][5] == "53.1%"


def test_vectors_are_kept_by_content(load, tmp_path) -> None:
    runs = load("proof_runs")
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


def test_controls_keep_as_many_documents_or_tokens(load, tmp_path) -> None:
    runs = load("proof_runs")
    rng = np.random.default_rng(0)
    documents = [{"id": f"d{n}", "text": sentence(rng, 5 + n)} for n in range(40)]
    corpus = runs.Corpus(tmp_path / "corpus", documents, None)
    one = corpus.compare([{"step": "length", "cut": {"ratio": "0.5"}}], "length")
    assert one.outcome.kept == {f"d{n}" for n in range(20)} and len(one.documents.kept) == 20
    budget = corpus.total(one.outcome.kept)
    assert corpus.total(one.tokens.kept) <= budget < corpus.total(one.tokens.kept) + 45
    assert one.outcome.kept != one.documents.kept


def test_without_the_corpora_nothing_is_measured(load, tmp_path, capsys) -> None:
    load("proof").main(["--shared", str(tmp_path / "none"), "--quick"])
    captured = capsys.readouterr()
    assert captured.out == "" and "nothing is measured" in captured.err


def test_every_part_has_its_place_in_the_page(load) -> None:
    page = (FOLDER.parent / "docs" / "proof.md").read_text()
    for name in load("proof").PARTS:
        assert page.count(f"<!-- {name} -->") == page.count(f"<!-- end of {name} -->") == 1


def test_tables_go_between_the_markers_of_a_page(proof, shared, tmp_path, monkeypatch) -> None:
    command = proof("proof")
    monkeypatch.setattr(command, "Vectors", lambda folder: Vectors())
    page = tmp_path / "proof.md"
    page.write_text("# Proof\n\n<!-- code -->\nold\n<!-- end of code -->\n\nThe end.\n")
    command.main(["--shared", str(shared), "--only", "code", "--share", "0.02", "--document", str(page)])
    written = page.read_text()
    assert "old" not in written and "Measured on " in written and written.endswith("The end.\n")
