"""Caps and balance against their definitions."""

from collections import Counter
from math import ceil

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.steps.cap import Balance, Cap
from sluice.transforms.scores import ranks
from tests.pipelines.corpora import artifact, decisions, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.running import INPUT, run_steps

RATIO = {"ratio": "0.3"}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    rows = make_rows(240, seed=5)
    for number, row in enumerate(rows):
        row["source"] = None if number % 40 == 0 else "web" if number % 5 else ["books", "code"][number % 2]
    return rows


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


def places(rows: list[dict], groups: list, keys: list, *, weight: str | None = None) -> list[int]:
    """What each row's group weighs up to and including it, in the order of keys."""
    found, running = [0] * len(rows), Counter()
    for row in sorted(range(len(rows)), key=lambda row: keys[row]):
        running[groups[row]] += 1 if weight is None else rows[row][weight]
        found[row] = running[groups[row]]
    return found


def water_level(sizes: list[int], target: int) -> list[int]:
    """How many of each group an even share of the target takes, what is left over not yet given."""
    cap = max(cap for cap in range(max(sizes) + 1) if sum(min(cap, size) for size in sizes) <= target)
    return [min(cap, size) for size in sizes]


def test_a_cap_keeps_the_first_of_every_source(rows, source, tmp_path):
    run_steps(source, [{"step": "cap", "most": 11}], tmp_path / "run")
    tie = Oracle(rows).tie
    found = places(rows, [row["source"] for row in rows], list(tie))
    assert kept_ids(tmp_path / "run") == {row["id"] for row, place in zip(rows, found) if place <= 11}
    assert Counter(row["source"] for row in rows)[None] < 11


def test_a_cap_in_tokens_keeps_the_longest_prefix_by_a_column(rows, source, tmp_path):
    step = {"step": "cap", "most": 500, "measure": "tokens", "order": {"column": "quality"}}
    run_steps(source, [step], tmp_path / "run")
    tie = Oracle(rows).tie
    keys = [(-row["quality"], tie[number]) for number, row in enumerate(rows)]
    found = places(rows, [row["source"] for row in rows], keys, weight="tokens")
    assert kept_ids(tmp_path / "run") == {row["id"] for row, place in zip(rows, found) if place <= 500}


@pytest.mark.parametrize("order", ["random", "easy"])
def test_a_cap_on_clusters_keeps_the_first_of_each(rows, source, tmp_path, order):
    step = {"step": "cap", "most": 9, "groups": ["cluster"], "clusters": 6, "order": order}
    run_steps(source, [step], tmp_path / "run")
    oracle = Oracle(rows)
    products = oracle.points @ oracle.cluster(np.ones(len(rows), bool), "cap").T
    cluster, similarity = products.argmax(axis=1), products.max(axis=1)
    keys = [(-similarity[row] if order == "easy" else 0, oracle.tie[row]) for row in range(len(rows))]
    found = places(rows, list(cluster), keys)
    assert kept_ids(tmp_path / "run") == {row["id"] for row, place in zip(rows, found) if place <= 9}


def test_balance_shares_the_target_out_evenly_and_exactly(rows, source, tmp_path):
    run_steps(source, [{"step": "balance", "cut": RATIO}], tmp_path / "run")
    kept = kept_ids(tmp_path / "run")
    target = ceil(0.3 * len(rows))
    sizes = Counter(row["source"] for row in rows)
    taken = Counter(row["source"] for row in rows if row["id"] in kept)
    assert sum(taken.values()) == target
    for name, least in zip(sizes, water_level(list(sizes.values()), target)):
        assert taken[name] in (least, least + 1)
    tie = Oracle(rows).tie
    found = places(rows, [row["source"] for row in rows], list(tie))
    order = sorted(range(len(rows)), key=lambda row: (found[row], tie[row]))
    assert kept == {rows[row]["id"] for row in order[:target]}


def test_nested_groups_share_each_outer_share_out_again(rows, source, tmp_path):
    step = {"step": "balance", "groups": ["source", "cluster"], "clusters": 5, "cut": RATIO}
    run_steps(source, [step], tmp_path / "run")
    oracle = Oracle(rows, clusters=5)
    cluster = (oracle.points @ oracle.cluster(np.ones(len(rows), bool), "balance").T).argmax(axis=1)
    kept = kept_ids(tmp_path / "run")
    sources = [row["source"] for row in rows]
    taken = Counter(row["source"] for row in rows if row["id"] in kept)
    sizes = Counter(sources)
    for name, least in zip(sizes, water_level(list(sizes.values()), ceil(0.3 * len(rows)))):
        assert taken[name] in (least, least + 1)
        inner = Counter(cluster[row] for row in range(len(rows)) if sources[row] == name)
        inside = Counter(cluster[row] for row in range(len(rows)) if sources[row] == name and rows[row]["id"] in kept)
        for number, share in zip(inner, water_level(list(inner.values()), taken[name])):
            assert inside[number] in (share, share + 1)


def test_balance_is_nested_in_its_target(rows, source, tmp_path):
    before: set[str] = set()
    for ratio in ("0.2", "0.5", "0.9"):
        run_steps(source, [{"step": "balance", "cut": {"ratio": ratio}}], tmp_path / "run")
        kept = kept_ids(tmp_path / "run")
        assert before < kept
        before = kept


def test_ranges_of_seven_documents_change_no_place(rows, source, tmp_path, monkeypatch):
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    other = write_jsonl(tmp_path / "in", shuffled, files=2)
    step = {"step": "balance", "groups": ["source"], "order": {"column": "quality"}, "cut": RATIO}
    run_steps(source, [step], tmp_path / "a")
    init = ranks.RankWithinGroups.__init__

    def small(self, *args, **options):
        init(self, *args, **options, range_documents=7)

    monkeypatch.setattr(ranks.RankWithinGroups, "__init__", small)
    run_steps(other, [step], tmp_path / "b", unit_bytes=4000)
    assert kept_ids(tmp_path / "a") == kept_ids(tmp_path / "b")
    scores = [{row["id"]: row["score"] for row in decisions(tmp_path / run).to_pylist()} for run in "ab"]
    assert scores[0] == scores[1]


def test_caps_compose_with_other_steps_and_protect_sources(rows, source, tmp_path):
    steps = [
        {"step": "exact"},
        {"step": "cap", "most": 5, "protect": ["code"]},
        {"step": "prototypes", "clusters": 4, "cut": {"ratio": "0.1"}},
    ]
    run_steps(source, steps, tmp_path / "run")
    oracle = Oracle(rows)
    alive = oracle.exact(np.ones(len(rows), bool))
    left = [row for row, keep in zip(rows, alive) if keep]
    found = places(left, [row["source"] for row in left], [tie for tie, keep in zip(oracle.tie, alive) if keep])
    expected = sum(place <= 5 or row["source"] == "code" for row, place in zip(left, found))
    assert artifact(tmp_path / "run", "steps/02-cap/keep").manifest["totals"]["kept"] == expected
    assert len(kept_ids(tmp_path / "run")) == ceil(0.1 * len(rows))


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        (Cap, {"most": 0}, "greater than or equal to 1"),
        (Cap, {"most": 3, "groups": ["source", "source"]}, "names one twice"),
        (Cap, {"most": 3, "groups": []}, "at least 1 item"),
        (Cap, {"most": 3, "order": "hard"}, "needs groups with cluster"),
        (Cap, {"most": 3, "clusters": 5}, "clusters is given"),
        (Balance, {"cut": {"threshold": 1}}, "not a threshold"),
        (Balance, {}, "cut"),
    ],
)
def test_options_that_mean_nothing_are_refused(kind, options, why):
    with pytest.raises(ValidationError, match=why):
        kind(**options)


@pytest.mark.parametrize(("lost", "why"), [("tokens", "nothing counts tokens"), ("source", "tells sources apart")])
def test_what_a_cap_needs_must_be_given(lost, why):
    given = {"paths": ["x"], **INPUT} | {lost: "none" if lost == "tokens" else None}
    with pytest.raises(ValidationError, match=why if lost == "tokens" else "sources apart"):
        Recipe.model_validate({"input": given, "steps": [{"step": "cap", "most": 3, "measure": "tokens"}]})
