"""SCIP against its definition, written out on the stored vectors."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.pipelines.steps.scip import Scip
from tests.pipelines.corpora import decisions, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.steps.test_density import curate


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows(300, seed=1)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


def step(keep: str, **options) -> dict:
    return {"step": "scip", "clusters": 12, "cut": {"ratio": keep}, **options}


def expected(
    rows: list[dict],
    alive: np.ndarray,
    *,
    keep: str,
    alpha: str = "0.8",
    direction: str = "near",
    protect: tuple[str, ...] = (),
    clusters: int = 12,
) -> set[str]:
    """The ids that SCIP keeps: two sorts, the second of what the first left."""
    oracle = Oracle(rows, clusters=clusters)
    products = oracle.points @ oracle.cluster(alive, "scip").T
    own, similarity = products.argmax(axis=1), products.max(axis=1)
    sizes = np.bincount(own[alive], minlength=clusters)
    distance = -similarity if direction == "near" else similarity
    may_go = [i for i in np.flatnonzero(alive) if rows[i]["source"] not in protect]
    remove = int(alive.sum()) - ceil(Fraction(keep) * len(rows))
    from_small = floor(Fraction(alpha) * remove)
    in_order = sorted(may_go, key=lambda i: (sizes[own[i]], -distance[i], -int(oracle.tie[i])))
    gone = set(in_order[:from_small])
    rest = sorted((i for i in may_go if i not in gone), key=lambda i: (-distance[i], -int(oracle.tie[i])))
    gone |= set(rest[: remove - from_small])
    return {rows[i]["id"] for i in np.flatnonzero(alive) if i not in gone}


@pytest.mark.parametrize(
    ("keep", "options"),
    [
        ("0.8", {}),
        ("0.5", {"alpha": 1}),
        ("0.15", {"direction": "far"}),
        ("0.6", {"protect": ["books"]}),
        ("0.8", {"clusters": 150}),
    ],
)
def test_what_is_kept_is_what_the_definition_keeps(rows, source, tmp_path, keep, options):
    curate([step(keep, **options)], source, tmp_path / "run")
    assert len(kept_ids(tmp_path / "run")) == ceil(Fraction(keep) * len(rows))
    options = {name: str(value) if name == "alpha" else value for name, value in options.items()}
    assert kept_ids(tmp_path / "run") == expected(rows, np.ones(len(rows), bool), keep=keep, **options)


def test_after_another_step_clusters_are_of_what_is_left(rows, source, tmp_path):
    first = {"step": "random", "cut": {"ratio": "0.7"}}
    curate([first], source, tmp_path / "first")
    curate([first, step("0.45")], source, tmp_path / "run")
    alive = np.array([row["id"] in kept_ids(tmp_path / "first") for row in rows])
    assert kept_ids(tmp_path / "run") == expected(rows, alive, keep="0.45")


def test_scores_tell_which_rule_removed_a_document(source, tmp_path):
    report = curate([step("0.5", alpha="0.5")], source, tmp_path / "run")
    assert "smallest of 12 clusters went whole" in report["steps"][0]["notes"][0]
    scores = [row["score"] for row in decisions(tmp_path / "run").to_pylist() if row["fate"] != "kept"]
    assert sum(score > 1.01 for score in scores) == 75 and sum(score <= 1.01 for score in scores) == 75


def test_automatic_clusters_are_at_most_a_hundred():
    step = Scip(cut={"ratio": "0.5"})
    assert [step.auto_clusters(documents) for documents in (400, 10_000, 10**9)] == [20, 100, 100]


@pytest.mark.parametrize("cut", [{"tokens": 1000}, {"ratio": "0.5", "tokens": 1000}, {"eps": "0.5"}])
def test_any_cut_but_a_ratio_is_refused_when_the_recipe_is_read(cut):
    with pytest.raises(ValidationError, match="scip takes a ratio of documents only"):
        Scip(cut=cut)
