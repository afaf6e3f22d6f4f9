"""Benchmark items in documents, word for word and by their vectors, against the definition."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.models.arrays import vectors
from sluice.models.methods.shared_words import words
from sluice.pipelines.base.items import too_short_lines
from sluice.pipelines.commands.explain.command import explain, render
from sluice.pipelines.report.page import summary
from sluice.pipelines.steps.contamination import Contamination
from sluice.transforms.scores.benchmark_items.items import BadItems, Items
from tests.pipelines.corpora import artifact, decisions, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.reading_back import shown
from tests.pipelines.running import run_steps

QUESTION = "Which of these {0} planets is the {0} farthest from the Sun as seen by observer number {0} in the year {0}"


def item(name: str, text: str, vector: list[float]) -> dict:
    return {"name": name, "question": text, "embedding": vector}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    rows = make_rows(200, seed=12)
    for number in range(0, 200, 25):
        rows[number]["text"] += " ... " + QUESTION.format(number).upper().replace(" ", ", ")
    rows[7]["text"] = "one TWO three; four five six seven eight (nine)"
    return rows


@pytest.fixture(scope="module")
def items(rows) -> list[dict]:
    rng = np.random.default_rng(3)
    near = [(np.array(rows[at]["embedding"]) + 0.02 * rng.normal(size=12)).tolist() for at in (3, 60, 90)]
    far = rng.normal(size=(20, 12)).tolist()
    return [
        *(item(f"q{number}", QUESTION.format(number), far[number]) for number in (0, 2, 5)),
        item("copied", QUESTION.format(25) + " and a few words more", far[6]),
        item("short", "Two three four five six seven eight nine", far[7]),
        item("too short", "seven eight nine", far[8]),
        *(item(f"near {number}", "paraphrased", vector) for number, vector in enumerate(near)),
    ]


@pytest.fixture(scope="module")
def benchmarks(items, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("benchmarks")
    for name, chosen in (("planets", items[:4]), ("others", items[4:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in chosen))
    return str(folder)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


def step(benchmarks: str, **options) -> dict:
    fields = {"step": "contamination", "benchmarks": [benchmarks], "text": "question", "id": "name"}
    return fields | {"vector": "embedding", "cut": {"threshold": "0.98"}} | options


def overlapping(rows: list[dict], items: list[dict]) -> list[list[str]]:
    """For each row the items that share 13 words with it, or all of theirs if those are from 8 to 12."""
    found = []
    for row in rows:
        text = words(row["text"])
        names = []
        for one in items:
            wanted = words(one["question"])
            n = min(13, len(wanted))
            grams = {tuple(wanted[start : start + n]) for start in range(len(wanted) - n + 1)}
            if n >= 8 and any(tuple(text[start : start + n]) in grams for start in range(len(text))):
                names.append(one["name"])
        found.append(names)
    return found


def dots(rows: list[dict], items: list[dict]) -> np.ndarray:
    stored = vectors.quantise(np.array([one["embedding"] for one in items], np.float32))
    return Oracle(rows).points @ vectors.coarse(stored).astype(np.int64).T


@pytest.mark.parametrize("unit_bytes", [2500, 1 << 20])
def test_documents_that_hold_an_item_go_and_each_item_says_how_many(
    rows, items, benchmarks, source, tmp_path, unit_bytes
):
    report = run_steps(source, [step(benchmarks)], tmp_path / "run", unit_bytes=unit_bytes)
    ordered = [*items[4:], *items[:4]]  # others.jsonl comes before planets.jsonl
    shared, products = overlapping(rows, ordered), dots(rows, ordered)
    limit = int(0.98 * vectors.COARSE**2)
    expected = {row["id"] for row, names, dot in zip(rows, shared, products) if not names and dot.max() <= limit}
    assert kept_ids(tmp_path / "run") == expected
    by_id = {row["id"]: row for row in decisions(tmp_path / "run").to_pylist()}
    for row, names, dot in zip(rows, shared, products):
        assert by_id[row["id"]]["score"] == (2 if names else dot.max() / vectors.COARSE**2)
    found = artifact(tmp_path / "run", "steps/01-contamination/found").read(0).to_pylist()
    assert [one["id"] for one in found] == [one["name"] for one in ordered]
    assert [one["too_short"] for one in found] == [len(words(one["question"])) < 8 for one in ordered]
    for number, one in enumerate(found):
        holders = {row["id"] for row, names in zip(rows, shared) if one["id"] in names}
        alike = {row["id"] for row, dot in zip(rows, products) if dot[number] > limit}
        assert (one["overlapping"], one["similar"]) == (len(holders), len(alike))
        assert set(one["examples"]) <= holders | alike
        assert len(one["examples"]) == min(3, len(holders | alike))
    details = report["steps"][0]["details"]
    assert details["benchmarks"]["planets"]["items"] == 4
    assert details["benchmarks"]["others"]["similar"] >= 3
    assert f"{sum(map(bool, shared))} documents share 13 words with a benchmark item" in shown(summary(report))


def test_the_item_is_named_and_shown(rows, items, benchmarks, source, tmp_path):
    run_steps(source, [step(benchmarks)], tmp_path / "run")
    found = explain(str(tmp_path / "run"), rows[25]["id"])
    assert found["steps"][0]["match"]["id"] in ("q0", "q2", "q5", "copied")
    found = explain(str(tmp_path / "run"), rows[7]["id"])
    match = found["steps"][0]["match"]
    assert (match["where"], match["id"], match["text"]) == ("others", "short", items[4]["question"])
    assert items[4]["question"] in shown(render(found))
    assert explain(str(tmp_path / "run"), rows[3]["id"])["steps"][0]["match"]["id"] == "near 0"


def test_words_alone_need_no_vectors(rows, items, benchmarks, source, tmp_path):
    options = {"cut": None, "vector": None, "ngram": 9, "shortest": 9}
    run_steps(source, [step(benchmarks, **options)], tmp_path / "run")
    assert not (tmp_path / "run" / "embeddings").exists()
    gone = {row["id"] for row in rows} - kept_ids(tmp_path / "run")
    assert {rows[number]["id"] for number in range(0, 200, 25)} == gone


def test_vectors_alone_need_no_words_and_full_scale_holds(rows, items, benchmarks, source, tmp_path):
    copied = {"name": "copy", "embedding": rows[11]["embedding"]}
    (tmp_path / "more.jsonl").write_text(json.dumps(copied) + "\n")
    options = {"ngram": None, "text": None, "cut": {"threshold": "0.99999"}}
    run_steps(source, [step(str(tmp_path / "more.jsonl"), **options)], tmp_path / "run")
    stored = Oracle(rows).vectors
    same = {row["id"] for row, vector in zip(rows, stored) if (vector == stored[11]).all()}
    assert same <= {row["id"] for row in rows} - kept_ids(tmp_path / "run")
    assert explain(str(tmp_path / "run"), rows[11]["id"])["steps"][0]["match"]["id"] == "copy"


def test_it_composes_in_any_order(benchmarks, source, tmp_path):
    prototypes = {"step": "prototypes", "clusters": 4, "cut": {"ratio": "0.7"}}
    for number, steps in enumerate(([step(benchmarks), prototypes], [{"step": "exact"}, prototypes, step(benchmarks)])):
        run_steps(source, steps, tmp_path / str(number))
        assert 100 < len(kept_ids(tmp_path / str(number))) <= 140


def test_files_and_fields_that_are_not_there_are_refused_before_any_work(benchmarks, source, tmp_path):
    with pytest.raises(FileNotFoundError, match="no files"):
        run_steps(source, [step(str(tmp_path / "gone*.jsonl"))], tmp_path / "run")
    with pytest.raises(ValueError, match="benchmark items need theirs"):
        run_steps(source, [step(benchmarks, vector=None)], tmp_path / "run")
    assert not (tmp_path / "run" / "inventory").exists()


@pytest.mark.parametrize(
    ("line", "why"), [("not JSON\n", "record 1"), ('{"question": 3}\n', "record 1"), ("", None), ("\n" * 3, None)]
)
def test_a_bad_item_is_an_error_that_names_it(tmp_path, line, why):
    path = Path(tmp_path / "items.jsonl")
    path.write_text('{"question": "fine"}\n' + line)
    found = Items((str(path),), "question")
    if why is None:
        assert sum(len(window.rows) for _, window in found.windows()) == 1
        return
    with pytest.raises(BadItems, match=why):
        list(found.windows())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"ngram": None, "cut": None}, "compares nothing"),
        ({"ngram": None, "shortest": 3}, "no words are compared"),
        ({"ngram": 5}, "shortest 8 is above ngram 5"),
        ({"text": None}, "items without text"),
        ({"cut": {"ratio": 0.5}}, "threshold or eps"),
        ({"cut": {"threshold": 3}}, "cosine"),
        ({"cut": None}, "nothing is compared by vectors"),
        ({"benchmarks": []}, "at least 1 item"),
        ({"benchmarks": [""]}, "empty path"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, why):
    with pytest.raises(ValidationError, match=why):
        Contamination.model_validate(step("x", cut={"threshold": 0.9}) | options)


def test_items_too_short_to_be_looked_for_are_named(benchmarks, source, tmp_path):
    options = {"cut": None, "vector": None}
    report = run_steps(source, [step(benchmarks, **options)], tmp_path / "run")
    found = report["steps"][0]
    assert found["details"]["too_short"] == [
        {"benchmark": "others", "id": "too short"},
        *({"benchmark": "others", "id": f"near {number}"} for number in range(3)),
    ]
    line = (
        "4 items of the benchmarks have fewer than 8 words, too short to be told from chance, and were not looked for: "
        "too short of others, near 0 of others, near 1 of others, near 2 of others."
    )
    assert found["notes"][-1] == line and line in shown(summary(report), width=500)
    few = {"benchmarks": {"x": {"too_short": 1}}, "too_short": [{"benchmark": "x", "id": "a\x1b"}]}
    assert too_short_lines(few, 8, by_vectors=True) == [
        "1 item of the benchmarks has fewer than 8 words, too short to be told from chance, and was compared by "
        "vectors alone: a\\x1b of x."
    ]
