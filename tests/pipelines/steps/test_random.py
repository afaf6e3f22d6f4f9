"""Controls of matched lengths, and plans of epochs."""

from collections import Counter
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sluice.models.arrays.hashing import id_hash
from sluice.models.cut.ranks import length_bins
from sluice.pipelines.report.page import summary
from sluice.pipelines.steps.random_control import Random
from sluice.transforms.scores.random_plans import Epochs
from tests.pipelines.corpora import artifact, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.reading_back import shown
from tests.pipelines.running import run_steps


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows(300, seed=31)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


@pytest.fixture(scope="module")
def selection(source, tmp_path_factory) -> str:
    """A run that keeps the shorter half, and so no random sample of lengths."""
    run = tmp_path_factory.mktemp("selection") / "run"
    steps = [{"step": "exact"}, {"step": "score", "column": "quality", "cut": {"ratio": "0.3"}}]
    run_steps(source, steps, run)
    return str(run)


def bins(rows: list[dict], ids: set[str], column=lambda row: row["tokens"]) -> Counter:
    return Counter(length_bins(np.array([column(row) for row in rows if row["id"] in ids])).tolist())


@pytest.mark.parametrize("tokens", ["column:tokens", "none"])
def test_as_many_of_every_length_stay_as_another_run_kept(rows, source, selection, tmp_path, tokens):
    column = (lambda row: row["tokens"]) if tokens != "none" else (lambda row: len(row["text"]))
    if tokens == "none":
        selection = str(tmp_path / "selection")
        run_steps(source, [{"step": "score", "column": "quality", "cut": {"ratio": "0.3"}}], selection, tokens="none")
    run_steps(source, [{"step": "random", "like": selection}], tmp_path / "run", tokens=tokens, unit_bytes=5000)
    kept, wanted = kept_ids(tmp_path / "run"), kept_ids(selection)
    assert bins(rows, kept, column) == bins(rows, wanted, column)
    assert kept != wanted
    tie = dict(zip((row["id"] for row in rows), Oracle(rows).tie))
    for one, count in bins(rows, wanted, column).items():
        inside = [row["id"] for row in rows if length_bins(np.array([column(row)]))[0] == one]
        assert sorted(inside, key=tie.get)[:count] == sorted(kept & set(inside), key=tie.get)


def test_lengths_that_are_rarer_here_are_said(rows, selection, tmp_path):
    few = write_jsonl(tmp_path / "in", rows[:40])
    report = run_steps(few, [{"step": "random", "like": selection}], tmp_path / "run")
    kept, wanted = bins(rows, kept_ids(tmp_path / "run")), bins(rows, kept_ids(selection))
    there = bins(rows, {row["id"] for row in rows[:40]})
    assert kept == {one: min(wanted[one], there[one]) for one in there if wanted[one]}
    assert f"only {kept.total()} of {wanted.total()} documents have the lengths" in shown(summary(report))


def test_runs_whose_lengths_cannot_be_compared_are_refused(source, selection, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="this run itself"):
        run_steps(source, [{"step": "random", "like": "run"}], "run/")
    with pytest.raises(ValueError, match="lengths cannot be compared"):
        run_steps(source, [{"step": "random", "like": selection}], tmp_path / "run", tokens="none")
    with pytest.raises(FileNotFoundError, match="not a run directory"):
        run_steps(source, [{"step": "random", "like": str(tmp_path)}], tmp_path / "run")


def test_the_plan_of_epochs_is_the_kept_set_and_units_change_nothing(rows, source, tmp_path):
    step = {"step": "random", "epochs": 3, "share": "0.2"}
    plans = []
    for name, unit_bytes in (("a", 1 << 20), ("b", 3000)):
        run_steps(source, [{"step": "exact"}, step], tmp_path / name, unit_bytes=unit_bytes)
        plan = artifact(tmp_path / name, "steps/02-random/epochs")
        found = [row for part in plan.manifest["parts"] for row in plan.read(part["unit"]).to_pylist()]
        plans.append({row["id"]: row["epochs"] for row in found})
        assert plans[-1].keys() == kept_ids(tmp_path / name)
        assert plan.manifest["totals"]["epochs"] == Counter(
            str(epoch) for epochs in plans[-1].values() for epoch in epochs
        )
    assert plans[0] == plans[1]
    assert all(len(epochs) == 1 and 1 <= epochs[0] <= 3 for epochs in plans[0].values())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.fractions(min_value=Fraction(1, 9), max_value=1, max_denominator=20))
def test_every_shuffle_reads_a_document_once_and_epochs_are_shares(epochs, share):
    names = [f"document-{number}" for number in range(2000)]
    ids = np.frombuffer(b"".join(map(id_hash, names)), "V16")
    plan = Epochs(epochs, share, 0).of(ids)
    sizes = Counter(epoch for found in plan for epoch in found)
    assert set(sizes) <= set(range(epochs))
    for epoch in range(epochs):
        inside_one = epoch * share // 1 == ceil((epoch + 1) * share) - 1
        expected = float(share) * 2000
        # An epoch across two shuffles may meet a document twice, and reads it once.
        assert (0.8 if inside_one else 0.5) * expected - 60 < sizes[epoch] < expected + 5 * expected**0.5
    assert all(found == sorted(set(found)) for found in plan)
    whole = epochs * share // 1
    assert all(len(found) <= ceil(epochs * share) for found in plan)
    if (Fraction(1) / share).denominator == 1:
        assert all(whole <= len(found) <= whole + 1 for found in plan)
    shorter = Epochs(max(epochs - 1, 1), share, 0).of(ids)
    assert all(found[: len(less)] == less for found, less in zip(plan, shorter))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "given: none"),
        ({"cut": {"ratio": 0.5}, "like": "x"}, "given: cut, like"),
        ({"epochs": 2}, "go together"),
        ({"share": 0.5, "cut": {"ratio": 0.5}}, "go together"),
        ({"epochs": 0, "share": 0.5}, "greater than or equal to 1"),
        ({"cut": {"threshold": 0.5}}, "not a threshold"),
        ({"like": ""}, "at least 1 character"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, why):
    with pytest.raises(ValidationError, match=why):
        Random.model_validate(options)
