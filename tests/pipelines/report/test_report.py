"""report.json against direct counts over the same files; accounts that do not add up are noticed."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from sluice.models.arrays.vectors import COARSE, coarse
from sluice.pipelines.report.report import AccountingError, make_report, summary
from sluice.pipelines.status.status import status
from sluice.transforms.audit import probes
from sluice.transforms.audit.accounting import duplicate_ids
from sluice.transforms.audit.probes import all_centroids
from sluice.transforms.clusters.members import load_array
from sluice.transforms.scores.base import NEVER
from sluice.transforms.stages.columns import fixed_bytes
from sluice.transforms.stages.manifests import write_manifest
from sluice.transforms.storage.damage import ArtifactError
from tests.pipelines.corpora import artifact, corpus_rows, decisions, open_run, run_d4, write_jsonl
from tests.pipelines.reading_back import rewrite, shown, whole

STEPS = ["01-exact", "02-semdedup", "03-prototypes"]


@pytest.fixture(scope="module")
def table(finished) -> list[dict]:
    return decisions(finished.url).to_pylist()


def test_totals_are_those_of_the_files(finished, table):
    totals, fates = finished.report["totals"], Counter(row["fate"] for row in table)
    assert (totals["records"], totals["rejected"], totals["documents"]) == (302, 2, 300)
    assert sum(totals["reasons"].values()) == 2
    assert {one["step"]: one["documents"] for one in totals["removed"]} == {step: fates[step] for step in STEPS}
    assert totals["kept"] == fates["kept"] == 150 == len(corpus_rows(finished.url))
    tokens: Counter = Counter()
    for row, source in zip(table, finished.rows, strict=True):
        tokens[row["fate"]] += source["tokens"]
    assert totals["kept_tokens"] == tokens["kept"]
    assert {one["step"]: one["tokens"] for one in totals["removed"]} == {step: tokens[step] for step in STEPS}
    assert totals["characters"] == sum(len(row["text"]) for row in finished.rows)
    assert totals["bytes_out"] == sum(path.stat().st_size for path in (finished.url / "corpus").glob("part-*"))
    assert totals["units"] > 3


def test_the_report_on_disk_is_the_one_returned(finished):
    assert json.loads((finished.url / "report.json").read_text()) == finished.report


def test_documents_that_share_their_id_are_counted(finished):
    counts = Counter(row["id"] for row in finished.rows)
    expected = {"documents": sum(c for c in counts.values() if c > 1), "ids": sum(c > 1 for c in counts.values())}
    assert expected == {"documents": 7, "ids": 3}
    assert finished.report["duplicate_ids"] == expected
    for in_memory in (20, 299):
        assert duplicate_ids(artifact(finished.url, "documents"), in_memory=in_memory) == expected


def test_histograms_hold_every_score_and_no_other(finished):
    for step in finished.report["steps"][1:]:
        score = whole(finished.url, f"steps/{step['step']}/scores")["score"].drop_null().to_numpy()
        scored = score[score > NEVER] / COARSE**2
        assert step["nothing_against"] == len(score) - len(scored)
        bounds = np.array(step["histogram"]["edges"])
        assert step["histogram"]["documents"] == np.histogram(scored, bounds)[0].tolist()
        assert len(bounds) == 65
        assert (bounds[0], bounds[-1]) == (scored.min(), scored.max())


def test_steps_say_what_was_asked_for_and_what_came_of_it(finished, table):
    exact, semdedup, prototypes = finished.report["steps"]
    assert exact["cut"] is None
    assert (semdedup["cut"], semdedup["target"]) == ({"ratio": "0.75"}, 225)
    assert (prototypes["cut"], prototypes["target"], prototypes["kept"]) == ({"ratio": "0.5"}, 150, 150)
    removed = [row["score"] for row in table if row["fate"] == "02-semdedup"]
    assert semdedup["threshold"] == pytest.approx(min(removed))
    assert semdedup["removed"] == len(removed) == 300 - exact["removed"] - 225


def test_removals_whose_neighbour_went_too_are_counted(finished, table):
    place = {(row["unit"], row["row"]): STEPS.index(row["fate"]) if row["fate"] in STEPS else 3 for row in table}
    for number, step in enumerate(finished.report["steps"][:2]):
        gone = 0
        for row in table:
            neighbour = row["neighbour_unit"], row["neighbour_row"]
            gone += row["fate"] == step["step"] and None not in neighbour and place[neighbour] <= number
        assert step["neighbour_removed_too"] == gone
    assert finished.report["steps"][1]["neighbour_removed_too"] > 0


class Semdedup:
    """What a semdedup step saw, all in memory: near [n, n] are pairs above `limit`, own those of one cluster."""

    def __init__(self, run: Path, limit: float, *, name: str, clusters: str):
        points = coarse(fixed_bytes(whole(run, "embeddings", ["vector"])["vector"], "<i2"))
        copies = whole(run, f"steps/{name}/copies")["first_row"].combine_chunks()
        column = whole(run, f"steps/{name}/{clusters}")["cluster"].combine_chunks()
        self.representative = copies.is_null().to_numpy(False) & ~column.is_null().to_numpy(False)
        self.cluster = column.fill_null(-1).to_numpy(zero_copy_only=False)
        fate = np.array(decisions(run)["fate"].to_pylist())
        self.removed, kept = fate == name, ~np.isin(fate, ["01-exact", name])
        self.near = ((points @ points.T).astype(np.int64) > limit) & self.representative[None]
        np.fill_diagonal(self.near, False)
        self.own = self.cluster[:, None] == self.cluster[None]
        self.covered = (self.near & self.own & kept[None]).any(axis=1)


@pytest.fixture(scope="module")
def semdedup(finished) -> Semdedup:
    # The threshold of a target is the lowest score that was removed.
    limit = finished.report["steps"][1]["threshold"] * COARSE**2 - 0.5
    return Semdedup(finished.url, limit, name="02-semdedup", clusters="clusters")


def test_removals_without_a_kept_neighbour_equal_a_search_of_all_pairs(finished, semdedup):
    found = finished.report["steps"][1]["coverage"]
    removed = semdedup.removed & semdedup.representative
    assert (found["removed_checked"], found["estimate"]) == (removed.sum(), False)
    assert found["without_kept_neighbour"] == (removed & ~semdedup.covered).sum()


def test_eta_equals_a_search_of_all_pairs(finished, semdedup, monkeypatch):
    # With six clusters the 20 nearest ones are all.
    alive = semdedup.representative
    duplicates, found = (alive & semdedup.near.any(axis=1)), (alive & (semdedup.near & semdedup.own).any(axis=1))
    eta = finished.report["steps"][1]["eta"]
    assert (eta["duplicates"], eta["found"]) == (duplicates.sum(), found.sum())
    assert eta["eta"] == found.sum() / duplicates.sum()
    # With the nearest one alone, fewer.
    monkeypatch.setattr(probes, "NEAREST", 1)
    centroids = all_centroids(artifact(finished.url, "steps/02-semdedup/centroids"))
    products = centroids @ centroids.T
    np.fill_diagonal(products, -np.inf)
    nearest = products.argmax(axis=1)[semdedup.cluster]
    around = semdedup.own | (nearest[:, None] == semdedup.cluster[None])
    run = open_run(str(finished.url))
    again = make_report(run, [])["steps"][1]["eta"]
    assert again["duplicates"] == (alive & (semdedup.near & around).any(axis=1)).sum()
    assert again["found"] == eta["found"]


def test_a_threshold_among_what_chance_makes_is_said_to_be_so(finished, semdedup, monkeypatch):
    # Six clusters that are small enough to be drawn whole: the oracle has the same pool.
    found = finished.report["steps"][1]["chance"]
    assert 0 < found["similarity"] < 1 and (found["quantile"], found["clusters"]) == (0.95, 6)
    assert found["threshold_below"] == (finished.report["steps"][1]["threshold"] <= found["similarity"])
    report = json.loads(json.dumps(finished.report))
    lot = {"similarity": 0.7312, "quantile": 0.95, "documents": 200, "clusters": 6}
    line = "from 0.7312 down these are not duplicates"
    for below in (True, False):
        report["steps"][1]["chance"] = lot | {"threshold_below": below}
        assert (line in shown(summary(report), width=500)) == below


def test_less_work_looks_at_less_and_says_so(copy_of, finished, monkeypatch):
    monkeypatch.setattr(probes, "MOST_PAIRS", 4000)
    found = make_report(open_run(str(copy_of())), [])["steps"][1]
    assert found["coverage"]["estimate"]
    assert 0 < found["coverage"]["clusters_checked"] < 6
    assert 0 < found["eta"]["documents_checked"] < finished.report["steps"][1]["eta"]["documents_checked"]


def test_clusterings_are_described_before_and_after(finished):
    first, second = finished.report["clusterings"]
    assert [first["step"], second["step"]] == STEPS[1:]
    for found in (first, second):
        clusters = whole(finished.url, f"steps/{found['step']}/clusters")
        sizes = np.bincount(clusters["cluster"].drop_null().to_numpy(), minlength=6)
        assert (found["clusters"], found["documents"]) == (6, sizes.sum())
        assert found["sizes"]["max"] == sizes.max()
        similarity = clusters["similarity"].drop_null().to_numpy() / COARSE**2
        assert found["similarity"] == pytest.approx(similarity.mean())
        assert len(found["training"]["objective"]) == found["training"]["iterations"]
    statistics = load_array(artifact(finished.url, "steps/02-semdedup/clusters"), "statistics")
    assert first["representatives"] == statistics[1].sum() < first["documents"]


def test_lengths_are_those_of_the_texts(finished, table):
    found = finished.report["length"]
    lengths = np.array([len(row["text"]) for row in finished.rows])
    kept = np.array([row["fate"] == "kept" for row in table])
    assert (found["unit"], found["sample"]) == ("characters", 300)
    assert found["kept"]["mean"] == pytest.approx(lengths[kept].mean())
    assert found["removed"]["median"] == np.median(lengths[~kept])
    assert sum(row["documents_kept"] for row in found["deciles"]) == kept.sum()
    assert found["steps"][2]["spearman"] is not None


def test_largest_groups_are_what_the_neighbour_links_join(finished, table):
    link = {(row["unit"], row["row"]): (row["neighbour_unit"], row["neighbour_row"]) for row in table}
    fate = {(row["unit"], row["row"]): row["fate"] for row in table}
    groups: Counter = Counter()
    for start in link:
        at = start
        while fate[at] != "kept" and link[at][1] is not None:
            at = link[at]
        groups[at] += 1
    expected = sorted((size for size in groups.values() if size > 1), reverse=True)[:20]
    found = finished.report["largest_groups"]
    assert [group["size"] for group in found] == expected
    by_place = {(row["unit"], row["row"]): source for row, source in zip(table, finished.rows, strict=True)}
    for group in found:
        first = group["members"][0]
        assert groups[first["unit"], first["row"]] == group["size"]
        assert len(group["members"]) == min(group["size"], 3)
        for member in group["members"]:
            source = by_place[member["unit"], member["row"]]
            assert (member["id"], member["text"]) == (source["id"], source["text"][:200])
            assert member["fate"] == fate[member["unit"], member["row"]]


def test_examples_stand_beside_what_they_resemble(finished, table):
    place = {(row["unit"], row["row"]): row for row in table}
    examples = finished.report["examples"]
    assert {example["step"] for example in examples} == set(STEPS)
    for example in examples:
        row = place[example["unit"], example["row"]]
        assert (row["fate"], row["id"], row["score"]) == (example["step"], example["id"], example["score"])
        if example["neighbour"]:
            shown = example["neighbour"]["unit"], example["neighbour"]["row"]
            assert shown == (row["neighbour_unit"], row["neighbour_row"])
    assert sum(example["neighbour"] is not None for example in examples) == 4


def test_the_summary_shows_the_counts_and_obeys_no_text(finished):
    page = shown(summary(finished.report))
    assert "= kept" in page and " 150 " in page and "50.0%" in page
    assert "[bold red]markup[/]" in page and "\\x1b[31m" in page and ":smile:" in page
    assert {c for c in page if unicodedata.category(c) in ("Cc", "Cf", "Cs")} == {"\n"}
    # On a terminal there are styles, but none from a document.
    assert "\x1b[31m" not in shown(summary(finished.report), force_terminal=True, color_system="standard")


# Accounts that do not add up ------------------------------------------------------------------------------------


def flipped(column: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        at = values.index(True)
        values[at] = False
        return table.set_column(table.column_names.index(column), column, pa.array(values))

    return change


def another_fate(table: pa.Table) -> pa.Table:
    fates = table["fate"].to_pylist()
    fates[fates.index("kept")] = "03-prototypes"
    return table.set_column(table.column_names.index("fate"), "fate", pa.array(fates))


def fewer_tokens(table: pa.Table) -> pa.Table:
    tokens = table["tokens"].to_pylist()
    return table.set_column(
        table.column_names.index("tokens"), "tokens", pa.array([tokens[0] - 1, *tokens[1:]], pa.uint32())
    )


def say(run: Path, folder: str, name: str, by: int) -> None:
    place = run / folder / "manifest.json"
    manifest = json.loads(place.read_text())
    manifest["totals"][name] += by
    write_manifest(str(place.parent), manifest)


def one_more(table: pa.Table) -> pa.Table:
    return table.set_column(1, "documents", pa.array([table["documents"][0].as_py() + 1]))


TAMPERED = {
    "a document less in a mask": lambda run: rewrite(run, "steps/03-prototypes/keep", flipped("keep")),
    "another fate": lambda run: rewrite(run, "decisions", another_fate),
    "a row less in decisions": lambda run: rewrite(run, "decisions", lambda table: table.slice(1)),
    "a row less in scores": lambda run: rewrite(run, "steps/02-semdedup/scores", lambda table: table.slice(1)),
    "a token less": lambda run: rewrite(run, "documents", fewer_tokens),
    "a document more in the corpus": lambda run: rewrite(run, "corpus/_parts", one_more),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_unit_that_does_not_add_up_is_named(tamper, copy_of):
    run = copy_of()
    (run / "report.json").unlink()
    tamper(run)
    with pytest.raises(AccountingError, match=r"unit 1: .*\d"):
        make_report(open_run(str(run)), [])
    assert not (run / "report.json").exists()


@pytest.mark.parametrize(
    ("folder", "name", "by"),
    [
        ("documents", "records", 1),
        ("documents", "rejected", -1),
        ("documents", "tokens", 5),
        ("corpus/_parts", "kept", 1),
    ],
)
def test_totals_that_do_not_add_up_are_noticed(folder, name, by, copy_of):
    run = copy_of()
    say(run, folder, name, by)
    with pytest.raises(AccountingError, match="in total"):
        make_report(open_run(str(run)), [])


def test_a_corpus_file_that_is_cut_short_is_noticed(copy_of):
    run = copy_of()
    file = sorted((run / "corpus").glob("part-*.jsonl"))[0]
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(AccountingError, match=file.name):
        make_report(open_run(str(run)), [])


def test_a_damaged_part_is_noticed(copy_of):
    run = copy_of()
    file = sorted((run / "decisions").glob("part-*.parquet"))[0]
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match="checksum"):
        make_report(open_run(str(run)), [])


def test_an_unfinished_run_has_no_report(copy_of):
    run = copy_of()
    (run / "decisions" / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"decisions .* not finished"):
        make_report(open_run(str(run)), [])


# Another recipe -------------------------------------------------------------------------------------------------


def test_vectors_alone_cut_at_a_threshold_with_clusters_that_are_split(finished, tmp_path):
    rows = [{"embedding": row["embedding"]} for row in finished.rows[:80]]
    source = write_jsonl(tmp_path / "corpus", rows, files=1)
    # A record has 44 bytes at 12 dimensions: no cluster may have more than 14.
    step = {"step": "semdedup", "cut": {"threshold": "0.97"}, "bin_bytes": 44 * 14}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"steps": [step]}))
    options = {"recipe": str(tmp_path / "recipe.yaml"), "text": "none", "clusters": "4"}
    report = run_d4(source, tmp_path / "run", id=None, tokens=None, keep=None, **options)
    totals, step, clustering = report["totals"], report["steps"][0], report["clusterings"][0]
    assert (totals["characters"], totals["tokens"], report["duplicate_ids"], report["length"]) == (0, None, None, None)
    assert step["threshold"] == pytest.approx(0.97, abs=1e-6)
    assert [stage["stage"] for stage in status(str(tmp_path / "run"))["stages"]] == list(report["artifacts"])
    split = sorted((tmp_path / "run/steps/01-semdedup").glob("split-*"))[-1].name
    assert (clustering["split"]["clusters"] > 0, clustering["sizes"]["max"] <= 14) == (True, True)
    assert clustering["non_empty"] <= 4 - clustering["split"]["clusters"] + clustering["split"]["parts"]
    # Above a threshold means above it: the limit that coverage and eta use is the cut's own.
    found = Semdedup(tmp_path / "run", 0.97 * COARSE**2, name="01-semdedup", clusters=f"{split}/clusters")
    removed = found.removed & found.representative
    assert step["coverage"]["removed_checked"] == removed.sum() > 0
    assert step["coverage"]["without_kept_neighbour"] == (removed & ~found.covered).sum()
    assert step["eta"]["found"] == (found.representative & (found.near & found.own).any(axis=1)).sum()
    example = report["examples"][0]
    assert example["text"] is None
    assert example["id"].startswith("shard-0.jsonl@")
    page = shown(summary(report))
    assert "(no text)" in page
    assert "were split into" in page
