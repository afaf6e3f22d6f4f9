"""Density-Based Pruning against its definition, written out on the stored vectors."""

import json
from fractions import Fraction
from math import ceil, exp

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.models.arrays.vectors import COARSE
from sluice.pipelines.curate import run_recipe
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.cutting import UnreachableTarget
from sluice.pipelines.steps.density import Density
from sluice.transforms.scores.cluster_plans import final_centroids, load_quotas
from tests.pipelines.corpora import artifact, decisions, kept_ids, make_rows, write_jsonl
from tests.pipelines.oracle import Oracle

CLUSTERS = 6


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows(300)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


def curate(steps: list[dict], source: str, run, *, beam_args=(), **given) -> dict:
    run.parent.mkdir(parents=True, exist_ok=True)
    place = run.parent / f"{run.name}.yaml"
    described = {"paths": [source], "id": "id", "vector": "embedding", "source": "source", **given}
    place.write_text(json.dumps({"input": described, "steps": steps}))
    return run_recipe(build_recipe(recipe=str(place)), str(run), beam_args)[0]


def step(keep: str, **options) -> dict:
    return {"step": "density", "clusters": CLUSTERS, "cut": {"ratio": keep}, **options}


def expected(
    rows: list[dict],
    alive: np.ndarray,
    *,
    keep: str,
    order: str = "hard",
    protect: tuple[str, ...] = (),
    neighbours: int = 20,
    temperature: float = 0.1,
    floor: str = "0.5",
) -> set[str]:
    """The ids that Density-Based Pruning keeps: its formulas in turn, and the program by bisection in floats."""
    oracle = Oracle(rows, clusters=CLUSTERS)
    centroids = oracle.cluster(alive, "density")
    products = oracle.points @ centroids.T
    own, similarity = products.argmax(axis=1), products.max(axis=1)
    safe = alive & np.array([row["source"] in protect for row in rows])
    target = min(ceil(Fraction(keep) * len(rows)), int(alive.sum()))
    sizes = np.array([(alive & (own == c)).sum() for c in range(CLUSTERS)])
    intra = [np.mean(1 - similarity[alive & (own == c)] / COARSE**2) for c in range(CLUSTERS)]
    between = 1 - (centroids @ centroids.T) / COARSE**2
    inter = [np.mean(sorted(np.delete(between[c], c))[:neighbours]) for c in range(CLUSTERS)]
    complexity = np.array(intra) * np.array(inter)
    share = np.array([exp(c / temperature) for c in complexity])
    share /= share.sum()
    low = np.array([min(int(Fraction(floor) * target / CLUSTERS), size - 1) for size in sizes])
    low = np.maximum(low, [(safe & (own == c)).sum() for c in range(CLUSTERS)])
    below, above = min(low - share * target), max(sizes - share * target)
    for _ in range(100):
        middle = (below + above) / 2
        if np.clip(share * target + middle, low, sizes).sum() < target:
            below = middle
        else:
            above = middle
    exact = np.clip(share * target + below, low, sizes)
    quota = np.floor(exact + 1e-9).astype(int)
    for c in sorted(range(CLUSTERS), key=lambda c: (-(exact[c] - quota[c]), c)):
        if quota.sum() < target and quota[c] < sizes[c]:
            quota[c] += 1
    assert quota.sum() == target
    sign = {"hard": 1, "easy": -1, "random": 0}[order]
    kept = set()
    for c in range(CLUSTERS):
        members = sorted(
            np.flatnonzero(alive & (own == c)), key=lambda i: (not safe[i], sign * similarity[i], oracle.tie[i])
        )
        kept |= {rows[i]["id"] for i in members[: quota[c]]}
    return kept


@pytest.mark.parametrize(
    ("keep", "options"),
    [
        ("0.5", {}),
        ("0.07", {"order": "easy"}),
        ("0.3", {"temperature": 0.02, "neighbours": 2, "floor": "0", "order": "random"}),
        ("0.5", {"protect": ["books"]}),
    ],
)
def test_what_is_kept_is_what_the_definition_keeps(rows, source, tmp_path, keep, options):
    curate([step(keep, **options)], source, tmp_path / "run")
    assert len(kept_ids(tmp_path / "run")) == ceil(Fraction(keep) * len(rows))
    assert kept_ids(tmp_path / "run") == expected(rows, np.ones(len(rows), bool), keep=keep, **options)


def test_after_semantic_deduplication_quotas_are_of_what_is_left(rows, source, tmp_path):
    first = {"step": "semdedup", "clusters": CLUSTERS, "cut": {"ratio": "0.8"}}
    curate([first], source, tmp_path / "first")
    curate([first, step("0.45")], source, tmp_path / "run")
    alive = np.array([row["id"] in kept_ids(tmp_path / "first") for row in rows])
    assert alive.sum() == ceil(0.8 * len(rows))
    assert kept_ids(tmp_path / "run") == expected(rows, alive, keep="0.45")


def test_every_order_of_steps_meets_every_target_exactly(rows, source, tmp_path):
    others = [{"step": name, "clusters": CLUSTERS} for name in ("scip", "semdedup", "prototypes")]
    for turn, first in enumerate(([0, 1, 2], [2, 0, 1])):
        order = [others[first[0]], step("0"), others[first[1]], others[first[2]]]
        steps = [one | {"cut": {"ratio": keep}} for one, keep in zip(order, ("0.9", "0.75", "0.61", "0.4"))]
        report = curate(steps, source, tmp_path / str(turn), unit_bytes=20_000)
        assert [one["kept"] for one in report["steps"]] == [270, 225, 183, 120]


def test_a_ratio_above_what_is_left_removes_nothing(source, tmp_path):
    report = curate([{"step": "random", "cut": {"ratio": "0.3"}}, step("0.6")], source, tmp_path / "run")
    assert [one["removed"] for one in report["steps"]] == [210, 0]


def test_removed_documents_score_above_zero_and_kept_ones_do_not(source, tmp_path):
    curate([step("0.5")], source, tmp_path / "run")
    for row in decisions(tmp_path / "run").to_pylist():
        if row["fate"] == "kept":
            assert row["score"] is None or row["score"] <= 0
        else:
            assert row["score"] > 0


def test_the_report_shows_the_quota_table(rows, source, tmp_path):
    report = curate([step("0.5", temperature=0.02)], source, tmp_path / "run")
    found = report["steps"][0]["details"]["quotas"]
    table = load_quotas(artifact(tmp_path / "run", "steps/01-density/scores"))
    assert table["quota"].sum() == 150 and table["size"].sum() == 300 and found["filled_clusters"] == CLUSTERS
    shown = found["most_kept"] + found["least_kept"]
    assert sorted(one["cluster"] for one in shown) == list(range(CLUSTERS))
    for one in shown:
        assert one["quota"] == table["quota"][one["cluster"]]
    shares = [one["quota"] / one["size"] for one in shown]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]
    assert found["spread"] == pytest.approx(table["share"].max() / table["share"].min())
    assert report["steps"][0]["notes"] == [
        f"6 clusters keep from {shares[-1]:.1%} to {shares[0]:.1%} of their documents, {shares.count(1)} of them all; "
        f"the largest share of the softmax is {found['spread']:.1f} times the smallest."
    ]


def test_more_protected_documents_than_the_target_are_refused(source, tmp_path):
    refused = (
        "of the 300 still in it can remove 100, .*; its sources, .* spelt as the documents' are: protect books, web$"
    )
    with pytest.raises(UnreachableTarget, match=refused):
        curate([step("0.5", protect=["books", "web"])], source, tmp_path / "run")


@pytest.mark.parametrize("cut", [{"tokens": 1000}, {"ratio": "0.5", "tokens": 1000}, {"threshold": "0.5"}])
def test_any_cut_but_a_ratio_is_refused_when_the_recipe_is_read(cut):
    with pytest.raises(ValidationError, match="density takes a ratio of documents only"):
        Density(cut=cut)


def test_clusters_of_another_run_that_were_split_count_as_their_parts(source, tmp_path):
    curate([{"step": "semdedup", "clusters": 2, "bin_bytes": 44 * 40, "cut": {"ratio": 1}}], source, tmp_path / "a")
    adopted = {"step": "density", "centroids": str(tmp_path / "a/steps/01-semdedup"), "cut": {"ratio": "0.5"}}
    curate([adopted], source, tmp_path / "run")
    centroids = artifact(tmp_path / "run", "steps/01-density/centroids")
    array, final = final_centroids(centroids)
    table = load_quotas(artifact(tmp_path / "run", "steps/01-density/scores"))
    split = [cluster for cluster, _ in centroids.manifest["totals"]["splits"]]
    assert split and not final[split].any() and final.sum() == len(table) - len(split)
    assert not table[split]["share"].any() and table["quota"].sum() == len(kept_ids(tmp_path / "run")) == 150
    assert table["share"].sum() == pytest.approx(1) and table["size"].sum() == 300
    between = np.sort(1 - (array[final] @ array[final].T) / COARSE**2)
    # Each centroid is about at distance 0 from itself, which is no other; all others count where there are so few.
    assert table["inter"][final] == pytest.approx(between[:, 1:21].mean(axis=1), abs=1e-6)
