"""A column as a score, against its definition."""

from decimal import Decimal
from math import ceil, inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sluice.pipelines.report.page import summary
from sluice.pipelines.steps.score import Score
from sluice.transforms.scores.column import FIRST, Column, column_score
from tests.pipelines.corpora import artifact, decisions, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.reading_back import shown
from tests.pipelines.running import run_steps


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    rows = make_rows(200, seed=2)
    for number in range(0, 200, 9):
        rows[number]["quality"] = [None, "nothing", float("nan")][number % 3]
    for number in range(1, 200, 10):
        rows[number]["quality"] = 0.25
    return rows


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


def value(row: dict) -> float:
    return row["quality"] if isinstance(row["quality"], float) else float("nan")


def expected(rows: list[dict], score: list[float], keep: int) -> set[str]:
    tie = Oracle(rows).tie
    order = sorted(range(len(rows)), key=lambda row: (score[row], tie[row]))
    return {rows[row]["id"] for row in order[:keep]}


@pytest.mark.parametrize("missing", ["keep", "remove"])
@pytest.mark.parametrize("keep", ["top", "bottom"])
def test_the_best_of_a_column_are_kept_exactly(rows, source, tmp_path, keep, missing):
    step = {"step": "score", "column": "quality", "keep": keep, "missing": missing, "cut": {"ratio": "0.4"}}
    run_steps(source, [step], tmp_path / "run")
    sign = -1 if keep == "top" else 1
    without = -inf if missing == "keep" else inf
    score = [without if np.isnan(value(row)) else sign * value(row) for row in rows]
    assert kept_ids(tmp_path / "run") == expected(rows, score, ceil(0.4 * len(rows)))


@pytest.mark.parametrize(("keep", "stays"), [("top", lambda x: x >= 0.25), ("bottom", lambda x: x <= 0.25)])
def test_a_threshold_is_a_value_of_the_column_that_itself_stays(rows, source, tmp_path, keep, stays):
    step = {"step": "score", "column": "quality", "keep": keep, "missing": "remove", "cut": {"threshold": "0.25"}}
    run_steps(source, [step], tmp_path / "run")
    assert kept_ids(tmp_path / "run") == {row["id"] for row in rows if stays(value(row))}


def test_a_window_keeps_what_is_between_its_ends(rows, source, tmp_path):
    step = {"step": "score", "column": "quality", "keep": "window", "low": -0.5, "high": 0.25, "missing": "remove"}
    run_steps(source, [step], tmp_path / "run")
    assert kept_ids(tmp_path / "run") == {row["id"] for row in rows if -0.5 <= value(row) <= 0.25}


def test_a_window_with_a_ratio_keeps_what_is_nearest_to_it(rows, source, tmp_path):
    step = {"step": "score", "column": "quality", "keep": "window", "low": -0.5, "high": 0.25}
    run_steps(source, [step | {"missing": "remove", "cut": {"ratio": "0.6"}}], tmp_path / "run")
    outside = [max(-0.5 - value(row), value(row) - 0.25) for row in rows]
    score = [inf if np.isnan(one) else one for one in outside]
    assert kept_ids(tmp_path / "run") == expected(rows, score, ceil(0.6 * len(rows)))


def test_two_steps_make_a_window_of_ranks(rows, source, tmp_path):
    column = {"step": "score", "column": "quality", "missing": "remove"}
    steps = [column | {"cut": {"ratio": "0.8"}}, column | {"keep": "bottom", "cut": {"ratio": "0.5"}}]
    run_steps(source, steps, tmp_path / "run")
    top = expected(rows, [inf if np.isnan(value(row)) else -value(row) for row in rows], ceil(0.8 * len(rows)))
    left = [row for row in rows if row["id"] in top]
    assert kept_ids(tmp_path / "run") == expected(
        left, [inf if np.isnan(value(row)) else value(row) for row in left], ceil(0.5 * len(rows))
    )


def test_missing_numbers_are_counted_and_said(rows, source, tmp_path):
    report = run_steps(source, [{"step": "score", "column": "quality", "cut": {"ratio": "0.4"}}], tmp_path / "run")
    missing = sum(np.isnan(value(row)) for row in rows)
    assert artifact(tmp_path / "run", "steps/01-score/scores").manifest["totals"]["missing"] == missing
    assert f"{missing} documents have no number in 'quality': they are kept." in shown(summary(report))


def test_tokens_are_a_budget_here_too_and_units_change_nothing(rows, source, tmp_path):
    step = {"step": "score", "column": "quality", "missing": "remove", "cut": {"tokens": 2000}}
    run_steps(source, [step], tmp_path / "a")
    run_steps(source, [step], tmp_path / "b", unit_bytes=3000)
    kept = kept_ids(tmp_path / "a")
    assert kept == kept_ids(tmp_path / "b")
    assert 1950 < sum(row["tokens"] for row in rows if row["id"] in kept) <= 2000


def test_decisions_show_the_score_that_was_compared(rows, source, tmp_path):
    step = {"step": "score", "column": "quality", "cut": {"threshold": 0}}
    run_steps(source, [step], tmp_path / "run")
    by_id = {row["id"]: row for row in rows}
    for row in decisions(Path(tmp_path) / "run").to_pylist():
        number = value(by_id[row["id"]])
        assert row["score"] == (None if np.isnan(number) else -number)
        assert row["threshold"] == 0


@given(st.lists(st.floats(), max_size=30), st.floats(-10, 10), st.floats(0, 10))
def test_scores_are_finite_or_never_and_in_the_order_of_the_definition(values, low, width):
    array = np.array(values)
    for keep in ("top", "bottom", "window"):
        score = column_score(array, Column("x", keep, low, low + width, "remove"))
        assert np.isfinite(score).all() and (score[np.isnan(array)] == FIRST).all()
        inside = (array >= low) & (array <= low + width)
        if keep == "window":
            assert ((score <= 0) == inside).all()
    assert (column_score(array, Column("x", "top"))[np.isnan(array)] == -inf).all()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"keep": "window"}, "needs low and high"),
        ({"keep": "window", "low": 2, "high": 1}, "low at most high"),
        ({"keep": "window", "low": 1, "high": 2, "cut": {"threshold": 1}}, "low and high are its thresholds"),
        ({"keep": "top"}, "needs a cut"),
        ({"keep": "top", "low": 1, "cut": {"ratio": Decimal("0.5")}}, "belong to keep: window"),
        ({"keep": "top", "cut": {"eps": Decimal("0.5")}}, "eps is for similarities"),
        ({"keep": "top", "column": "", "cut": {"ratio": Decimal("0.5")}}, "at least 1 character"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, why):
    with pytest.raises(ValidationError, match=why):
        Score(**{"column": "quality", **options})
