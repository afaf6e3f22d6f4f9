"""The step quality with a parser: the four rules count, versions are part of the scores' key, and errors come early."""

import sys

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.models.methods import parser_rules, quality
from sluice.models.methods.parser_rules import SpacyParser
from sluice.pipelines.steps.quality import Quality
from tests.pipelines.corpora import artifact, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.running import run_steps

WEIGHTS = {"terminal_punctuation": 1, "has_noun": 2}
STEP = {"step": "quality", "parser": "spacy:by_ends", "weights": WEIGHTS, "cut": {"ratio": "0.5"}}


def parse(lines) -> np.ndarray:
    """A noun is in lines of an even number of characters; the other rules hold for none."""
    found = np.zeros((len(lines), 4), bool)
    found[:, list(parser_rules.PARSER_RULES).index("has_noun")] = [len(line) % 2 == 0 for line in lines]
    return found


@pytest.fixture
def parsed(monkeypatch):
    """SpacyParser answers without spaCy."""
    monkeypatch.setattr(SpacyParser, "__call__", lambda self, lines: parse(lines))
    monkeypatch.setattr(SpacyParser, "describe", lambda self: {"model": self.model, "version": "1"})
    monkeypatch.setattr(SpacyParser, "check", lambda self: None)


@pytest.fixture(scope="module")
def rows():
    found = make_rows(60)
    for number, row in enumerate(found):
        row["text"] = "\n".join(f"Line {'x' * (number * line % 7)}{'.' * (line % 2)}" for line in range(1 + number % 5))
    return found


def test_the_step_scores_by_the_parse_too(parsed, rows, tmp_path) -> None:
    source = write_jsonl(tmp_path / "in", rows)
    report = run_steps(source, [STEP], tmp_path / "run")
    whole, tie = quality.whole_weights(WEIGHTS, parser=True), Oracle(rows).tie
    scores = [-quality.document_score(row["text"], whole, parse) for row in rows]
    order = sorted(range(len(rows)), key=lambda row: (scores[row], tie[row]))
    assert kept_ids(tmp_path / "run") == {rows[row]["id"] for row in order[:30]}
    assert report["steps"][0]["details"]["weights"]["has_noun"] == 2
    # The plain rules alone would have kept others.
    plain = {"step": "quality", "weights": {"terminal_punctuation": 1}, "cut": {"ratio": "0.5"}}
    run_steps(source, [plain], tmp_path / "plain")
    assert kept_ids(tmp_path / "plain") != kept_ids(tmp_path / "run")


def test_weights_of_all_fourteen_rules_are_learnt(parsed, rows, tmp_path) -> None:
    learn = {"step": "quality", "parser": "spacy:by_ends", "cut": {"ratio": "0.5"}}
    report = run_steps(write_jsonl(tmp_path / "in", rows), [learn], tmp_path / "run")
    assert tuple(report["steps"][0]["details"]["weights"]) == quality.ALL_RULES


def test_another_version_of_the_model_is_another_artifact(parsed, rows, tmp_path, monkeypatch) -> None:
    source = write_jsonl(tmp_path / "in", rows)
    keys = []
    for version in ("1", "1", "2"):
        monkeypatch.setattr(SpacyParser, "describe", lambda self, version=version: {"version": version})
        run_steps(source, [STEP], tmp_path / "run")
        keys.append(artifact(tmp_path / "run", "steps/01-quality/scores").key)
    assert keys[0] == keys[1] != keys[2]


def test_a_missing_parser_stops_the_run_before_any_work(rows, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    step = STEP | {"parser": "spacy:not_here"}
    with pytest.raises(ValueError, match="python -m spacy download not_here"):
        run_steps(write_jsonl(tmp_path / "in", rows), [step], tmp_path / "run")
    assert not (tmp_path / "run" / "documents").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"parser": "en_core_web_sm"}, "parser is spacy: and the name of a model"),
        ({"parser": "spacy:"}, "parser is spacy: and the name of a model"),
        ({"weights": {"has_noun": 1}}, "has_noun of text quality needs a parser"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, complaint) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Quality.model_validate({"step": "quality", "cut": {"ratio": "0.5"}, **options})
