"""Benchmark-targeted ranking against its definition."""

import json
from math import ceil

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.models.arrays import hashing, vectors
from sluice.models.methods import logistic
from sluice.pipelines.steps.target import Target
from tests.pipelines.corpora import artifact, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.running import run_steps


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows(300, seed=21)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


@pytest.fixture(scope="module")
def examples(rows) -> list[dict]:
    rng = np.random.default_rng(2)
    centre = np.array(rows[5]["embedding"])
    return [{"text": f"example {n}", "embedding": (centre + 0.3 * rng.normal(size=12)).tolist()} for n in range(9)]


@pytest.fixture(scope="module")
def targets(examples, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("targets") / "arc.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in examples))
    return str(path)


def step(targets: str, **options) -> dict:
    return {"step": "target", "targets": [targets], "vector": "embedding", "cut": {"ratio": "0.3"}} | options


def scores(rows: list[dict], examples: list[dict], *, sample: int, positives: float) -> np.ndarray:
    """Minus the classifier's product, the classifier taught by the definition on the hash sample."""
    oracle = Oracle(rows)
    ticket = hashing.seeded(oracle.hashes, 0, "sample:target")
    chosen = np.flatnonzero(ticket < np.uint64(min(int(sample / len(rows) * 2**64), 2**64 - 1)))
    chosen = chosen[np.argsort(ticket[chosen])]
    points = oracle.points[chosen]
    wanted = vectors.coarse(vectors.quantise(np.array([one["embedding"] for one in examples], np.float32)))
    best = np.full(len(chosen), len(chosen) + 1)
    for target in wanted.astype(np.int64):
        order = np.argsort(-(points @ target), kind="stable")
        best[order] = np.minimum(best[order], np.arange(1, len(chosen) + 1))
    positive = np.zeros(len(chosen), bool)
    positive[np.argsort(best, kind="stable")[: ceil(positives * len(chosen))]] = True
    found = logistic.fit(points.astype(np.float32), positive, penalty=1e-4)
    weights = np.rint(found.weights / np.linalg.norm(found.weights) * vectors.COARSE).astype(np.int64)
    return -(oracle.points @ weights)


@pytest.mark.parametrize(("sample", "positives", "unit_bytes"), [(300, 0.1, 1 << 20), (150, 0.2, 4000)])
def test_what_is_kept_equals_the_definition(rows, examples, source, targets, tmp_path, sample, positives, unit_bytes):
    options = {"sample": sample, "positives": positives}
    report = run_steps(source, [step(targets, **options)], tmp_path / "run", unit_bytes=unit_bytes)
    expected = scores(rows, examples, sample=sample, positives=positives)
    found = artifact(tmp_path / "run", "steps/01-target/scores")
    stored = np.concatenate([found.read(part["unit"])["score"].to_numpy() for part in found.manifest["parts"]])
    assert stored.tolist() == expected.tolist()
    tie = Oracle(rows).tie
    order = sorted(range(len(rows)), key=lambda row: (expected[row], tie[row]))
    assert kept_ids(tmp_path / "run") == {rows[row]["id"] for row in order[: ceil(0.3 * len(rows))]}
    assert report["steps"][0]["details"]["classifier"]["targets"] == len(examples)


def test_what_is_like_the_targets_is_kept_far_more_often_than_at_random(rows, examples, source, targets, tmp_path):
    run_steps(source, [step(targets, cut={"tokens": 1500})], tmp_path / "run")
    kept = kept_ids(tmp_path / "run")
    used = sum(row["tokens"] for row in rows if row["id"] in kept)
    assert 1450 < used <= 1500
    oracle = Oracle(rows)
    mean = vectors.quantise(np.mean([one["embedding"] for one in examples], axis=0)[None].astype(np.float32))
    near = np.argsort(-(oracle.points @ vectors.coarse(mean)[0].astype(np.int64)))[:25]
    assert sum(rows[row]["id"] in kept for row in near) >= 20


def test_it_composes_with_other_steps(source, targets, tmp_path):
    semdedup = {"step": "semdedup", "clusters": 4, "cut": {"ratio": "0.8"}}
    run_steps(source, [{"step": "exact"}, semdedup, step(targets)], tmp_path / "a")
    run_steps(source, [step(targets), {**semdedup, "cut": {"threshold": "0.9"}}], tmp_path / "b")
    assert len(kept_ids(tmp_path / "a")) == ceil(0.3 * 300) >= len(kept_ids(tmp_path / "b"))


def test_targets_without_the_right_vectors_are_refused(source, targets, tmp_path):
    with pytest.raises(ValueError, match="benchmark items need theirs"):
        run_steps(source, [step(targets, vector=None)], tmp_path / "run")
    short = tmp_path / "short.jsonl"
    short.write_text(json.dumps({"text": "x", "embedding": [1.0, 2.0]}) + "\n")
    with pytest.raises(ValueError, match="vectors of 2 numbers, documents of 12"):
        run_steps(source, [step(str(short))], tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"targets": []}, "at least 1 item"),
        ({"sample": 1}, "greater than or equal to 2"),
        ({"positives": 1}, "less than 1"),
        ({"penalty": 0}, "greater than 0"),
        ({"cut": {"threshold": 0.5}}, "not a threshold"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, why):
    with pytest.raises(ValidationError, match=why):
        Target.model_validate(step("x") | {"cut": {"ratio": 0.5}} | options)
