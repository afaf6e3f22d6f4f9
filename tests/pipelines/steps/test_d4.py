"""The whole of D4 against its definition, and the identities of methods.md 3.7."""

import json
from math import ceil

import numpy as np
import pytest

from sluice.pipelines.run.cutting import UnreachableTarget
from sluice.pipelines.run.runner import StageFailed
from tests.pipelines.corpora import artifact, corpus_rows, decisions, fates, kept_ids, make_rows, run_d4, write_jsonl
from tests.pipelines.oracle import Oracle


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows(300)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows)


@pytest.mark.parametrize("keep", ["0.5", "0.9", "0.2"])
def test_d4_equals_its_definition(rows, source, tmp_path, keep):
    run_d4(source, tmp_path / "run", keep=keep)
    assert fates(tmp_path / "run") == Oracle(rows).d4(keep)


def test_exactly_the_target_is_kept_and_copied_byte_for_byte(rows, source, tmp_path):
    run_d4(source, tmp_path / "run", keep="0.37")
    kept = kept_ids(tmp_path / "run")
    assert len(kept) == ceil(0.37 * len(rows))
    assert corpus_rows(tmp_path / "run") == [row for row in rows if row["id"] in kept]


def test_another_seed_decides_otherwise(source, tmp_path):
    run_d4(source, tmp_path / "a")
    run_d4(source, tmp_path / "b", seed=1)
    assert fates(tmp_path / "a") != fates(tmp_path / "b")


def test_removing_nothing_keeps_the_input(rows, source, tmp_path):
    recipe = write_recipe(tmp_path, [{"step": "semdedup", "clusters": 6, "cut": {"threshold": 1}}], source)
    run_recipe_file(recipe, tmp_path / "run")
    # Equal vectors have a product that rounding may put above 1 by itself; everything else stays.
    removed = {identity for identity, fate in fates(tmp_path / "run").items() if fate != "kept"}
    vectors = {row["id"]: tuple(row["embedding"]) for row in rows}
    assert all(list(vectors.values()).count(vectors[identity]) > 1 for identity in removed)


def test_a_dedup_share_of_one_equals_prototypes_alone(source, tmp_path):
    semdedup = {"step": "semdedup", "clusters": 6, "cut": {"ratio": 1}}
    prototypes = {"step": "prototypes", "clusters": 6, "cut": {"ratio": 0.5}}
    run_recipe_file(write_recipe(tmp_path, [prototypes], source, name="one"), tmp_path / "one")
    run_recipe_file(write_recipe(tmp_path, [semdedup, prototypes], source, name="two"), tmp_path / "two")
    assert kept_ids(tmp_path / "one") == kept_ids(tmp_path / "two")


def test_a_prototype_share_of_one_equals_semdedup(source, tmp_path):
    semdedup = {"step": "semdedup", "clusters": 6, "cut": {"ratio": 0.8}}
    prototypes = {"step": "prototypes", "clusters": 6, "cut": {"ratio": 1}}
    run_recipe_file(write_recipe(tmp_path, [semdedup], source, name="one"), tmp_path / "one")
    run_recipe_file(write_recipe(tmp_path, [semdedup, prototypes], source, name="two"), tmp_path / "two")
    assert kept_ids(tmp_path / "one") == kept_ids(tmp_path / "two")


def test_a_token_budget_is_filled_with_the_longest_prefix(rows, source, tmp_path):
    total = sum(row["tokens"] for row in rows)
    budget = total * 6 // 10
    run_d4(source, tmp_path / "run", keep=None, keep_tokens=str(budget))
    kept = kept_ids(tmp_path / "run")
    used = sum(row["tokens"] for row in rows if row["id"] in kept)
    assert used <= budget
    assert used > budget - 50  # no document has more than 49 tokens


def test_random_targets_are_exact_and_nested(rows, source, tmp_path):
    previous: set[str] = set()
    for keep in ("0.1", "0.35", "0.8"):
        run_d4(source, tmp_path / "run", recipe="random", keep=keep, clusters=None)
        kept = kept_ids(tmp_path / "run")
        assert len(kept) == ceil(float(keep) * len(rows)) and previous <= kept
        previous = kept


def test_a_threshold_removes_what_is_strictly_above_it(rows, source, tmp_path):
    run_d4(source, tmp_path / "run", recipe="semdedup", keep=None, threshold="0.95")
    oracle = Oracle(rows)
    alive = oracle.exact(np.ones(len(rows), bool))
    scores = oracle.semdedup_scores(alive, step="semdedup")
    limit = int(0.95 * 4064**2)
    expected = {
        row["id"] for row, left, score in zip(rows, alive, scores) if left and (score is None or score <= limit)
    }
    assert kept_ids(tmp_path / "run") == expected
    found = decisions(tmp_path / "run").to_pylist()
    gone = [row for row in found if row["fate"] == "02-semdedup"]
    assert gone and all(row["score"] > 0.95 and row["threshold"] == pytest.approx(0.95, abs=1e-6) for row in gone)
    assert all(row["neighbour_row"] is not None for row in gone)


def test_eps_is_one_minus_the_threshold(source, tmp_path):
    run_d4(source, tmp_path / "a", recipe="semdedup", keep=None, threshold="0.9")
    run_d4(source, tmp_path / "b", recipe="semdedup", keep=None, eps="0.1")
    assert kept_ids(tmp_path / "a") == kept_ids(tmp_path / "b")


def test_an_unreachable_target_is_refused_with_the_range(source, tmp_path):
    with pytest.raises(UnreachableTarget, match=r"can keep from [\d.]+% \(\d+\) to"):
        run_d4(source, tmp_path / "run", recipe="semdedup", keep="0.01")


def test_the_cluster_scope_takes_the_same_share_of_every_cluster(source, tmp_path):
    run_d4(source, tmp_path / "run", recipe="prototypes", keep="0.4", scope="cluster")
    clusters, keep = (
        artifact(tmp_path / "run", "steps/01-prototypes/clusters"),
        artifact(tmp_path / "run", "steps/01-prototypes/keep"),
    )
    units = range(len(keep.manifest["parts"]))
    cluster = np.concatenate([clusters.read(unit)["cluster"].to_numpy() for unit in units])
    kept = np.concatenate([keep.read(unit)["keep"].to_numpy() for unit in units])
    assert kept.sum() == ceil(0.4 * len(kept))
    for number in np.unique(cluster):
        assert abs(kept[cluster == number].sum() - 0.4 * (cluster == number).sum()) <= 1


@pytest.mark.parametrize("direction", ["far", "near"])
def test_prototypes_keeps_the_far_or_the_near_ones(rows, source, tmp_path, direction):
    run_d4(source, tmp_path / "run", recipe="prototypes", keep="0.3", direction=direction)
    table = decisions(tmp_path / "run")
    score = np.array(table["score"].to_pylist())
    kept = np.array([fate == "kept" for fate in table["fate"].to_pylist()])
    oracle = Oracle(rows)
    similarity = oracle.prototype_scores(np.ones(len(rows), bool), step="prototypes").astype(float) / 4064**2
    by_id = {row["id"]: value for row, value in zip(rows, similarity)}
    expected = np.array([by_id[identity] for identity in table["id"].to_pylist()])
    assert score == pytest.approx(expected if direction == "far" else -expected)
    assert score[kept].max() <= score[~kept].min()


@pytest.mark.parametrize("rule", ["greedy", "components"])
def test_other_rules_run_on_a_threshold(source, tmp_path, rule):
    run_d4(source, tmp_path / "official", recipe="semdedup", keep=None, threshold="0.8")
    run_d4(source, tmp_path / "run", recipe="semdedup", keep=None, threshold="0.8", rule=rule)
    official, other = kept_ids(tmp_path / "official"), kept_ids(tmp_path / "run")
    assert official <= other if rule == "greedy" else other <= official


def test_protected_sources_are_never_removed_and_only_limits_a_step(rows, source, tmp_path):
    steps = [
        {"step": "exact", "protect": ["books"]},
        {"step": "semdedup", "clusters": 6, "only": ["web"], "cut": {"threshold": 0.7}},
        {"step": "random", "protect": ["books"], "cut": {"ratio": 0.5}},
    ]
    run_recipe_file(write_recipe(tmp_path, steps, source), tmp_path / "run")
    by_id = {row["id"]: row["source"] for row in rows}
    found = fates(tmp_path / "run")
    assert {by_id[identity] for identity, fate in found.items() if fate == "02-semdedup"} == {"web"}
    assert all(fate == "kept" for identity, fate in found.items() if by_id[identity] == "books")


def test_the_better_copy_survives_an_order_by_column(rows, source, tmp_path):
    order = {"column": "quality"}
    steps = [{"step": "semdedup", "clusters": 1, "order": order, "cut": {"threshold": 0.999}}]
    run_recipe_file(write_recipe(tmp_path, steps, source), tmp_path / "run")
    quality = {row["id"]: row["quality"] for row in rows}
    table = decisions(tmp_path / "run").to_pylist()
    by_address = {(row["unit"], row["row"]): row["id"] for row in table}
    gone = [row for row in table if row["fate"] != "kept"]
    assert gone
    for row in gone:
        assert quality[by_address[row["neighbour_unit"], row["neighbour_row"]]] > quality[row["id"]]


def test_a_source_list_says_who_survives_exact_copies(tmp_path):
    rows = [
        {"id": f"{source}-{number}", "text": f"same {number}", "source": source}
        for number in range(20)
        for source in ("web", "books", "other")
    ]
    source = write_jsonl(tmp_path / "in", rows)
    steps = [{"step": "exact", "order": {"sources": ["books", "web"]}}]
    run_recipe_file(write_recipe(tmp_path, steps, source, vector=None), tmp_path / "run")
    assert kept_ids(tmp_path / "run") == {f"books-{number}" for number in range(20)}


def write_recipe(folder, steps, source, *, name="recipe", vector="embedding", **given) -> str:
    path = folder / f"{name}.yaml"
    given = {"paths": [source], "id": "id", "vector": vector, "source": "source", **given}
    path.write_text(json.dumps({"input": given, "steps": steps}))
    return str(path)


def run_recipe_file(recipe: str, run) -> dict:
    from sluice.pipelines.curate import run_recipe
    from sluice.pipelines.recipe.options import build_recipe

    return run_recipe(build_recipe(recipe=recipe), str(run))[0]


def test_clusters_above_the_bin_size_are_split_until_they_fit(rows, source, tmp_path):
    steps = [{"step": "semdedup", "clusters": 2, "bin_bytes": 44 * 40, "cut": {"ratio": 0.8}}]
    run_recipe_file(write_recipe(tmp_path, steps, source), tmp_path / "run")
    folders = sorted(path.name for path in (tmp_path / "run/steps/01-semdedup").glob("split-*"))
    last = artifact(tmp_path / "run", f"steps/01-semdedup/{folders[-1]}/clusters")
    assert last.manifest["totals"]["largest_representatives"] <= 40
    assert len(kept_ids(tmp_path / "run")) == ceil(0.8 * len(rows))
    # Cut into other units, the same splits and the same decisions come out.
    run_recipe_file(write_recipe(tmp_path, steps, source, unit_bytes=9000), tmp_path / "other")
    assert fates(tmp_path / "other") == fates(tmp_path / "run")


@pytest.mark.parametrize("bin_bytes", [44 * 120, 1 << 30])
def test_bins_of_any_size_score_the_same_while_no_cluster_is_split(rows, source, tmp_path, bin_bytes):
    steps = [{"step": "semdedup", "clusters": 6, "bin_bytes": bin_bytes, "cut": {"ratio": 0.8}}]
    run_recipe_file(write_recipe(tmp_path, steps, source), tmp_path / "run")
    assert not list((tmp_path / "run/steps/01-semdedup").glob("split-*"))
    oracle = Oracle(rows)
    everyone = np.ones(len(rows), bool)
    kept = oracle.cut(everyone, oracle.semdedup_scores(everyone, step="semdedup"), keep=ceil(0.8 * len(rows)))
    assert kept_ids(tmp_path / "run") == {row["id"] for row, keep in zip(rows, kept) if keep}


def test_scann_and_exact_assignment_both_run_and_agree_here(source, tmp_path):
    run_d4(source, tmp_path / "exact", assignment="exact")
    run_d4(source, tmp_path / "scann", assignment="scann")
    totals = artifact(tmp_path / "scann", "steps/02-semdedup/clusters").manifest["totals"]
    assert totals["checked"] > 0 and totals["agreed"] == totals["checked"]
    assert fates(tmp_path / "exact") == fates(tmp_path / "scann")


def test_too_many_rejects_fail_the_run_with_the_reasons(rows, tmp_path):
    source = write_jsonl(tmp_path / "in", [*rows, *({"id": f"bad-{n}", "embedding": [1.0] * 12} for n in range(30))])
    with pytest.raises(StageFailed, match="30 of 330 records were rejected"):
        run_d4(source, tmp_path / "run")
    report = run_d4(source, tmp_path / "run", max_reject_share=0.2)
    assert artifact(tmp_path / "run", "rejected").manifest["rows"] == 30
    assert report is not None


def test_a_column_that_no_record_has_is_refused(source, tmp_path):
    steps = [{"step": "semdedup", "order": {"column": "qualty"}, "cut": {"ratio": 0.8}}]
    with pytest.raises(StageFailed, match="no record has anything usable in column 'qualty'"):
        run_recipe_file(write_recipe(tmp_path, steps, source), tmp_path / "run")


def test_vectors_of_two_lengths_in_two_files_are_refused(rows, tmp_path):
    source = write_jsonl(tmp_path / "in", rows[:100], files=1)
    shorter = [{**row, "id": row["id"] + "b", "embedding": row["embedding"][:8]} for row in rows[:100]]
    write_jsonl(tmp_path / "in" / "more", shorter, files=1)
    with pytest.raises(StageFailed, match="from 8 to 12 numbers"):
        run_d4(source, tmp_path / "run", unit_bytes=10_000)
