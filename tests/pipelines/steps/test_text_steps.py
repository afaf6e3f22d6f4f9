"""minhash, quality and length against their definitions on the whole corpus in memory."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.models.arrays.hashing import seeded
from sluice.models.methods import ngram, quality
from sluice.models.methods.components import stars
from sluice.models.methods.minhash import band_hashes, shingle_sets, similar
from sluice.pipelines.commands.explain.command import explain, render
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.runner import StageFailed
from sluice.pipelines.steps import minhash as minhash_step
from sluice.pipelines.steps.minhash import MinHash
from sluice.transforms.minhash import components
from sluice.transforms.minhash.bands import BAND, Bands, SendBands
from sluice.transforms.stages.units import read_units
from tests.pipelines import reading_back
from tests.pipelines.corpora import artifact, decisions, fates, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.running import run_steps

# Few and short bands, so that groups grow by chance and chains are common.
LOOSE = {"step": "minhash", "bands": 3, "rows": 2, "width": 2}
BY_QUALITY = {"column": "quality"}
UNITS = {"vector": None, "unit_bytes": 30_000}


def make_texts(documents: int = 160) -> list[dict]:
    """Rows whose texts are near-duplicates of earlier ones more often than not, some much longer, some too short."""
    rng = np.random.default_rng(5)
    rows = make_rows(documents, seed=5)
    words = [f"word{''.join(chr(97 + letter) for letter in rng.integers(0, 26, 4))}" for _ in range(400)]
    texts: list[list[str]] = []
    for number, row in enumerate(rows):
        text = [words[index] for index in rng.integers(0, 400, rng.integers(1, 60))]
        if number > 10 and rng.random() < 0.6:
            text = list(texts[rng.integers(0, number)])
            for _ in range(rng.integers(0, 4)):
                text[rng.integers(0, len(text))] = words[rng.integers(0, 400)]
        texts.append(text)
        lines = [" ".join(text[at : at + 7]) for at in range(0, len(text), 7)]
        row["text"] = "\n".join(line.capitalize() + "." * int(rng.integers(0, 2)) for line in lines)
        row["tokens"] = len(text) if number % 17 else None
    return rows


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_texts()


@pytest.fixture(scope="module")
def source(rows: list[dict], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


# minhash --------------------------------------------------------------------------------------------------------


def groups(rows: list[dict], options: dict, alive: np.ndarray) -> np.ndarray:
    """int [n]: the smallest row of each one's component; -1 for rows that are linked to no other."""
    step = MinHash.model_validate(options)
    texts, tie = [row["text"] for row in rows], Oracle(rows).tie
    bands, known = band_hashes(texts, step.scheme, seed=0)
    sets = shingle_sets(texts, step.scheme)
    edges = []
    for number in range(step.scheme.bands):
        first: dict = {}
        for row in sorted(np.flatnonzero(alive & known), key=lambda row: tie[row]):
            other = first.setdefault(bands[row, number], row)
            if step.verify is None or similar(sets[row], sets[other], Fraction(step.verify)):
                edges.append((row, other))
    found = np.full(len(rows), -1)
    for row, smallest in stars(np.array(edges, np.uint64).reshape(-1, 2)).tolist():
        found[row] = found[smallest] = smallest
    return found


def first_of_groups(rows: list[dict], group: np.ndarray, options: dict) -> dict[str, str]:
    """The id of the first of its group for every row that is not it: by quality where the options say so, then tie."""
    tie = Oracle(rows).tie
    best = (lambda row: (-rows[row]["quality"], tie[row])) if "order" in options else (lambda row: (0, tie[row]))
    first: dict = {}
    for row in sorted(np.flatnonzero(group >= 0), key=best):
        first.setdefault(group[row], rows[row]["id"])
    return {
        rows[row]["id"]: first[group[row]] for row in np.flatnonzero(group >= 0) if first[group[row]] != rows[row]["id"]
    }


def neighbours(run: Path, name: str) -> dict[str, str]:
    """The neighbour's id of every document that a step removed."""
    table = decisions(run).to_pylist()
    parts = artifact(run, "decisions").manifest["parts"]
    at: dict = {}
    for part in parts:
        for one in artifact(run, "decisions").read(part["unit"], ["row", "id"]).to_pylist():
            at[part["unit"], one["row"]] = one["id"]
    return {one["id"]: at[one["neighbour_unit"], one["neighbour_row"]] for one in table if one["fate"] == name}


@pytest.mark.parametrize(
    "options",
    [LOOSE, LOOSE | {"order": BY_QUALITY}, LOOSE | {"verify": "0.4"}, {"step": "minhash", "preset": "slimpajama"}],
    ids=["any", "by quality", "verified", "slimpajama"],
)
def test_minhash_keeps_the_first_of_every_component(rows, source, tmp_path, options):
    run_steps(source, [options], tmp_path / "run", **UNITS)
    group = groups(rows, options, np.ones(len(rows), bool))
    expected = first_of_groups(rows, group, options)
    assert len(expected) > 10
    assert neighbours(tmp_path / "run", "01-minhash") == expected
    assert len(artifact(tmp_path / "run", "documents").manifest["parts"]) > 3


def test_unverified_groups_chain_and_verified_ones_do_so_less(rows):
    alive = np.ones(len(rows), bool)
    loose, verified = (groups(rows, LOOSE | more, alive) for more in ({}, {"verify": "0.4"}))
    assert (verified >= 0).sum() < (loose >= 0).sum()


def test_rounds_of_links_change_no_group_of_unverified_ones(rows, source, tmp_path, monkeypatch):
    run_steps(source, [LOOSE], tmp_path / "one", vector=None)
    shuffled = [rows[index] for index in np.random.default_rng(3).permutation(len(rows))]
    monkeypatch.setattr(components, "FEW", 0)
    run_steps(write_jsonl(tmp_path / "shuffled", shuffled), [LOOSE], tmp_path / "many", **UNITS)
    assert (tmp_path / "many/steps/01-minhash/round-2").is_dir()
    assert fates(tmp_path / "many") == fates(tmp_path / "one")


def test_minhash_sees_only_what_is_still_in(rows, source, tmp_path):
    run_steps(source, [{"step": "random", "cut": {"ratio": "0.5"}}, LOOSE], tmp_path / "run", **UNITS)
    alive = np.array([fates(tmp_path / "run")[row["id"]] != "01-random" for row in rows])
    expected = first_of_groups(rows, groups(rows, LOOSE, alive), LOOSE)
    assert neighbours(tmp_path / "run", "02-minhash") == expected


def test_links_that_are_no_stars_after_the_last_round_fail_the_run(source, tmp_path, monkeypatch):
    monkeypatch.setattr(components, "FEW", 0)
    monkeypatch.setattr(minhash_step, "MOST_ROUNDS", 1)
    with pytest.raises(components.NotConverged, match="still change after 1 rounds"):
        run_steps(source, [LOOSE], tmp_path / "run", **UNITS)
    # Were they taken for stars, a document would belong to two components.
    monkeypatch.setattr(components, "unchanged", lambda before, after: True)
    monkeypatch.setattr(components, "large_star", same)
    monkeypatch.setattr(components, "small_star", same)
    with pytest.raises(StageFailed, match="belong to two components"):
        run_steps(source, [LOOSE], tmp_path / "other", **UNITS)


def same(blocks):
    for block in blocks:
        yield block[block[:, 0] > block[:, 1]]


def test_a_band_that_all_documents_share_is_one_row_of_each_unit(rows, tmp_path):
    hot = [{**row, "text": "the same words in every one of them"} for row in rows]
    run_steps(write_jsonl(tmp_path / "in", hot), [LOOSE], tmp_path / "run", vector=None, unit_bytes=15_000)
    signatures, documents = (artifact(tmp_path / "run", name) for name in ("steps/01-minhash/signatures", "documents"))
    units = read_units(artifact(tmp_path / "run", "inventory"))
    for unit in units:
        sent = SendBands(Bands(documents, signatures, 3, seed=0), 4).process(unit)
        assert sum(len(block) for _, block in sent) == 3 * BAND.itemsize
    assert len(units) > 3
    assert len(kept_ids(tmp_path / "run")) == 1


# quality --------------------------------------------------------------------------------------------------------

WEIGHTS = {"terminal_punctuation": 2.0, "first_letter_caps": 0.5}


def best(rows: list[dict], weights: dict[str, float], keep: int) -> set[str]:
    whole, tie = quality.whole_weights(weights), Oracle(rows).tie
    scores = [-quality.document_score(row["text"], whole) for row in rows]
    return {rows[row]["id"] for row in sorted(range(len(rows)), key=lambda row: (scores[row], tie[row]))[:keep]}


def test_quality_keeps_the_best_by_given_weights(rows, source, tmp_path):
    report = run_steps(
        source, [{"step": "quality", "weights": WEIGHTS, "cut": {"ratio": "0.6"}}], tmp_path / "run", **UNITS
    )
    assert kept_ids(tmp_path / "run") == best(rows, WEIGHTS, ceil(0.6 * len(rows)))
    assert report["steps"][0]["details"]["weights"] == dict.fromkeys(quality.RULES, 0) | WEIGHTS
    assert not (tmp_path / "run/steps/01-quality/weights").exists()
    # Every document's costliest rules are with its score, and explain names them.
    run, whole = str(tmp_path / "run"), quality.whole_weights(WEIGHTS)
    column = reading_back.whole(tmp_path / "run", "steps/01-quality/scores", ["rules"])["rules"].to_pylist()
    for row, rules in zip(rows, column):
        expected = quality.judge(row["text"], whole).costs
        assert [(one["rule"], one["cost"]) for one in rules] == [(quality.ALL_RULES[at], cost) for at, cost in expected]
    costly = next(number for number, rules in enumerate(column) if rules)
    found = explain(run, rows[costly]["id"])
    (rule, *_) = found["steps"][0]["rules"]
    assert rule["rule"] == column[costly][0]["rule"]
    assert rule["cost"] == column[costly][0]["cost"] / quality.SCALE <= rule["weight"]
    line = f"; rules that cost most: {rule['rule']} {rule['cost']:.2f} of {rule['weight']:.2f}"
    assert line in reading_back.shown(render(found), width=500)


def test_quality_learns_from_a_sample_that_units_do_not_change(rows, source, tmp_path):
    step = {"step": "quality", "sample": 60, "sample_bytes": 150, "cut": {"ratio": "0.6"}}
    run_steps(source, [step], tmp_path / "run", **UNITS)
    ticket = seeded(Oracle(rows).hashes, 0, "quality")
    chosen = [row for row in np.argsort(ticket) if ticket[row] < int(60 / len(rows) * 2**64)]
    weights = quality.learn_weights([rows[row]["text"][:150] for row in chosen], ngram.cross_bits)
    learnt = artifact(tmp_path / "run", "steps/01-quality/weights").manifest["totals"]
    assert learnt == {"sampled": len(chosen), "weights": weights}
    assert 30 < len(chosen) < 90 and max(weights.values()) > 0
    assert kept_ids(tmp_path / "run") == best(rows, weights, ceil(0.6 * len(rows)))


# length ---------------------------------------------------------------------------------------------------------


def test_the_longest_texts_go_first(rows, source, tmp_path):
    report = run_steps(
        source, [{"step": "length", "by": "characters", "cut": {"ratio": "0.3"}}], tmp_path / "run", **UNITS
    )
    tie = Oracle(rows).tie
    order = sorted(range(len(rows)), key=lambda row: (len(rows[row]["text"]), tie[row]))
    assert kept_ids(tmp_path / "run") == {rows[row]["id"] for row in order[: ceil(0.3 * len(rows))]}
    found = report["length"]["steps"][0]
    # Documents as long as the border are any of them to a rule by length.
    assert found["length_only"]["longest"] > 0.98 and found["spearman"] == pytest.approx(1.0)
    assert found["removed"]["median"] > found["kept"]["median"]


def test_a_token_budget_removes_the_longest_until_it_is_met(rows, source, tmp_path):
    budget = 1500
    run_steps(source, [{"step": "length", "cut": {"tokens": budget}}], tmp_path / "run", **UNITS)
    tie = Oracle(rows).tie
    # What has no number of tokens stays, and weighs nothing.
    order = sorted(range(len(rows)), key=lambda row: (rows[row]["tokens"] or -1, tie[row]))
    running = np.cumsum([rows[row]["tokens"] or 0 for row in order])
    assert kept_ids(tmp_path / "run") == {rows[row]["id"] for row, total in zip(order, running) if total <= budget}


def test_a_length_threshold_is_the_longest_that_stays(rows, source, tmp_path):
    run_steps(source, [{"step": "length", "cut": {"threshold": "30.5"}}], tmp_path / "run", **UNITS)
    assert kept_ids(tmp_path / "run") == {row["id"] for row in rows if (row["tokens"] or 0) <= 30}


def test_every_step_is_held_against_length(rows, source, tmp_path):
    steps = [
        {"step": "random", "cut": {"ratio": "0.7"}},
        {"step": "length", "by": "characters", "cut": {"ratio": "0.4"}},
    ]
    report = run_steps(source, steps, tmp_path / "run", **UNITS)
    first, second = report["length"]["steps"]
    assert 0 < first["length_only"]["longest"] < 1
    assert first["length_only"]["chance"] == pytest.approx(0.3)
    # Only what the step before left is compared.
    assert second["length_only"]["longest"] > 0.98


def recipe_of(steps: list[dict], **input) -> Recipe:
    given = {"paths": ["x"], "id": "id", "tokens": "column:tokens"} | input
    return Recipe.model_validate({"input": given, "steps": steps})


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"step": "minhash", "preset": "refinedweb"}, "preset"),
        ({"step": "minhash", "bands": 0}, "greater than or equal to 1"),
        ({"step": "minhash", "bands": 100, "rows": 100}, "100 bands of 100 rows are more than 4096"),
        ({"step": "minhash", "verify": "1.1"}, "verify"),
        ({"step": "minhash", "order": "hard"}, "order"),
        ({"step": "minhash", "cut": {"ratio": 0.5}}, "cut"),
        ({"step": "quality", "cut": {"threshold": 0.5}}, "mean nothing by themselves"),
        ({"step": "quality", "weights": {"has_noun": 1}, "cut": {"ratio": 0.5}}, "needs a parser"),
        ({"step": "quality", "weights": {"has_rhyme": 1}, "cut": {"ratio": 0.5}}, "'has_rhyme' is no rule"),
        ({"step": "quality", "weights": {"no_all_caps": 0}, "cut": {"ratio": 0.5}}, "no document would be better"),
        ({"step": "quality", "weights": "guess", "cut": {"ratio": 0.5}}, "weights"),
        ({"step": "quality", "sample": 100_000, "cut": {"ratio": 0.5}}, "more than a worker learns from"),
        ({"step": "length", "cut": {"eps": 0.5}}, "eps is for similarities"),
        ({"step": "length", "cut": {"threshold": -1}}, "a number of tokens, not -1"),
        ({"step": "length", "by": "words", "cut": {"ratio": 0.5}}, "by"),
    ],
)
def test_options_that_mean_nothing_are_refused_when_the_recipe_is_read(step, complaint):
    with pytest.raises(ValidationError, match=complaint):
        recipe_of([step])


def test_steps_are_refused_where_what_they_look_at_is_not_there():
    cut = {"ratio": Decimal("0.5")}
    with pytest.raises(ValidationError, match="nothing counts tokens"):
        recipe_of([{"step": "length", "cut": cut}], tokens="none")
    for step in ({"step": "length", "by": "characters"}, {"step": "quality"}):
        with pytest.raises(ValidationError, match=f"step {step['step']} needs text"):
            recipe_of([step | {"cut": cut}], text=None, vector="embedding")
    with pytest.raises(ValidationError, match="step minhash needs text"):
        recipe_of([LOOSE], text=None, vector="embedding")
