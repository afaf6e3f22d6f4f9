"""New documents against earlier runs, and against the definition on the integer vectors."""

import json
from math import ceil

import numpy as np
import pytest
from pydantic import ValidationError

from sluice.models.arrays import vectors
from sluice.models.arrays.products import above, best_match
from sluice.pipelines.commands.explain.command import explain, render
from sluice.pipelines.status.status import status
from sluice.pipelines.steps.reference import Reference
from sluice.transforms.clusters.members import load_array
from sluice.transforms.stages.manifests import write_manifest
from tests.pipelines.corpora import artifact, decisions, kept_ids, make_rows, run_d4, write_jsonl
from tests.pipelines.oracle import Oracle
from tests.pipelines.reading_back import shown
from tests.pipelines.running import run_steps


@pytest.fixture(scope="module")
def old() -> list[dict]:
    return make_rows(260, seed=1)


@pytest.fixture(scope="module")
def new(old) -> list[dict]:
    """Of 150 new documents a third are near or exact copies of old ones."""
    rng = np.random.default_rng(8)
    rows = make_rows(150, seed=9)
    for number, row in enumerate(rows):
        row["id"] = f"new-{number}"
        if number % 3 == 0:
            copied = np.array(old[int(rng.integers(260))]["embedding"])
            row["embedding"] = (copied + 0.03 * (number % 2) * rng.normal(size=12)).tolist()
    return rows


@pytest.fixture(scope="module")
def earlier(old, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("earlier")
    run_d4(write_jsonl(folder / "in", old), folder / "run", keep="0.6", unit_bytes=20_000)
    return str(folder / "run")


@pytest.fixture(scope="module")
def source(new, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("new"), new)


def expected(new: list[dict], old: list[dict], earlier: str) -> tuple[list[int | None], list[set[str]]]:
    """For each new document the largest product with a kept old one of its cluster, and which ones have it."""
    centroids = load_array(artifact(earlier, "steps/03-prototypes/centroids"), "centroids").astype(np.int64)
    kept = kept_ids(earlier)
    held = [row for row in old if row["id"] in kept]
    own, theirs = Oracle(new).points, Oracle(held).points
    cluster, other = ((points @ centroids.T).argmax(axis=1) for points in (own, theirs))
    scores: list[int | None] = []
    names = []
    for number in range(len(new)):
        inside = np.flatnonzero(other == cluster[number])
        dots = theirs[inside] @ own[number]
        scores.append(int(dots.max()) if len(inside) else None)
        names.append({held[at]["id"] for at in inside[dots == dots.max()]} if len(inside) else set())
    return scores, names


@pytest.mark.parametrize(("bin_bytes", "unit_bytes"), [(1, 1 << 20), (48 * 20, 3000), (1 << 28, 1 << 20)])
def test_scores_equal_the_definition_whatever_the_pieces(old, new, earlier, source, tmp_path, bin_bytes, unit_bytes):
    step = {"step": "reference", "runs": [earlier], "bin_bytes": bin_bytes, "cut": {"threshold": "0.97"}}
    run_steps(source, [step], tmp_path / "run", unit_bytes=unit_bytes)
    scores, _ = expected(new, old, earlier)
    found = {row["id"]: row["score"] for row in decisions(tmp_path / "run").to_pylist()}
    for row, score in zip(new, scores):
        assert found[row["id"]] == (None if score is None else score / vectors.COARSE**2)
    limit = int(0.97 * vectors.COARSE**2)
    assert kept_ids(tmp_path / "run") == {
        row["id"] for row, score in zip(new, scores) if score is None or score <= limit
    }
    assert 30 < len(new) - len(kept_ids(tmp_path / "run")) < 60


def test_the_match_in_the_other_run_is_named(old, new, earlier, source, tmp_path):
    step = {"step": "reference", "runs": [earlier], "cut": {"threshold": "0.97"}}
    run_steps(source, [step], tmp_path / "run")
    _, names = expected(new, old, earlier)
    kept = kept_ids(tmp_path / "run")
    texts = {row["id"]: row["text"] for row in old}
    gone = [number for number, row in enumerate(new) if row["id"] not in kept]
    for number in gone[::8]:
        found = explain(str(tmp_path / "run"), new[number]["id"])
        match = found["steps"][0]["match"]
        assert match["where"] == earlier and match["id"] in names[number]
        assert match["text"] == texts[match["id"]]
        page = shown(render(found))
        assert match["id"] in page and texts[match["id"]] in page


def test_documents_that_are_compared_with_none_are_told(old, new, source, tmp_path):
    earlier = str(tmp_path / "earlier")
    run_steps(
        write_jsonl(tmp_path / "in", old[:40]),
        [{"step": "prototypes", "clusters": 8, "cut": {"ratio": "0.1"}}],
        earlier,
    )
    report = run_steps(source, [reference(earlier)], tmp_path / "run")
    alone = [row["score"] for row in decisions(tmp_path / "run").to_pylist()].count(None)
    assert 0 < alone < len(new)
    told = f"{alone} documents were compared with none: the earlier runs kept nothing in their clusters."
    assert told in report["steps"][0]["notes"]


def test_full_scale_thresholds_a_ratio_and_several_runs(old, new, earlier, source, tmp_path):
    second = write_jsonl(tmp_path / "in", make_rows(80, seed=20))
    run_d4(second, tmp_path / "second", recipe="random", clusters=None, keep="1")
    with pytest.raises(FileNotFoundError, match="embeddings"):
        run_steps(source, [reference(earlier, str(tmp_path / "second"))], tmp_path / "run")
    run_d4(second, tmp_path / "second", recipe="prototypes", clusters="3", keep="1")
    step = reference(earlier, str(tmp_path / "second"))
    run_steps(source, [step | {"cut": {"ratio": "0.5"}}], tmp_path / "run")
    assert len(kept_ids(tmp_path / "run")) == ceil(0.5 * len(new))
    runs = {row["reference_run"] for row in table(tmp_path / "run")}
    assert {0, 1} <= runs
    run_steps(source, [step | {"cut": {"threshold": "0.9999"}}], tmp_path / "exact")
    copies = {row["id"] for row in new} - kept_ids(tmp_path / "exact")
    stored = {row.tobytes() for row in Oracle(old).vectors}
    own = Oracle(new).vectors
    # Copies of documents that the earlier run removed are not held by it.
    assert copies and copies <= {row["id"] for row, vector in zip(new, own) if vector.tobytes() in stored}


def reference(*runs: str) -> dict:
    return {"step": "reference", "runs": list(runs), "cut": {"threshold": "0.97"}}


def table(run) -> list[dict]:
    scores = artifact(run, "steps/01-reference/scores")
    return [row for part in scores.manifest["parts"] for row in scores.read(part["unit"]).to_pylist()]


def test_it_composes_and_its_stages_are_known(earlier, source, new, tmp_path):
    steps = [{"step": "exact"}, reference(earlier), {"step": "semdedup", "clusters": 4, "cut": {"threshold": "0.95"}}]
    run_steps(source, steps, tmp_path / "run")
    found = status(str(tmp_path / "run"))
    assert found["state"] == "finished"
    names = [stage["stage"] for stage in found["stages"]]
    assert "02-reference/run-1/clusters" in names and "02-reference/scores" in names
    run_steps(source, [reference(earlier)], tmp_path / "again")
    run_steps(source, [reference(str(tmp_path / "again"))], tmp_path / "nothing")
    assert not kept_ids(tmp_path / "nothing") & kept_ids(tmp_path / "again")


@pytest.mark.parametrize("base_is_listed", [True, False])
def test_earlier_runs_are_assigned_once_in_a_chain_and_scores_stay_the_same(
    earlier, source, new, tmp_path, monkeypatch, base_is_listed
):
    """The first new run assigns the base, the second one reads that, and the first one's own, less what it removed."""
    first = tmp_path / "first"
    run_steps(source, [reference(earlier), {"step": "random", "cut": {"ratio": "0.4"}}], first, unit_bytes=3000)
    # Copies of what the first one kept, of what it removed, and others; a bad line, so that rows are no positions.
    rows = [{**row, "id": f"again-{number}"} for number, row in enumerate(new)] + make_rows(40, seed=31)
    second = write_jsonl(tmp_path / "in", rows)
    for file in (tmp_path / "in").iterdir():
        file.write_text("{\n" + file.read_text())
    runs = [earlier, str(first)] if base_is_listed else [str(first)]
    limits = {"unit_bytes": 4000, "max_reject_share": 0.1}
    run_steps(second, [reference(*runs)], tmp_path / "chained", **limits)
    assert not list((tmp_path / "chained" / "steps" / "01-reference").glob("run-*"))
    found = status(str(tmp_path / "chained"))
    assert found["state"] == "finished" and not [one for one in found["stages"] if "/run-" in one["stage"]]

    monkeypatch.setattr("sluice.pipelines.run.run.find_assigned", lambda *args, **options: None)
    run_steps(second, [reference(*runs)], tmp_path / "assigned", **limits)
    assert len(list((tmp_path / "assigned" / "steps" / "01-reference").glob("run-*"))) == len(runs)
    assert table(tmp_path / "chained") == table(tmp_path / "assigned")
    assert {row["reference_run"] for row in table(tmp_path / "chained")} >= set(range(len(runs)))
    assert 30 < len(kept_ids(tmp_path / "chained")) < len(rows) - 30


def test_an_assignment_from_before_its_run_changed_is_not_used(earlier, source, tmp_path):
    first, rows = tmp_path / "first", make_rows(40, seed=31)
    second = write_jsonl(tmp_path / "in", rows)
    run_steps(source, [reference(earlier)], first)
    run_steps(second, [reference(earlier, str(first))], tmp_path / "second")
    assert not (tmp_path / "second" / "steps" / "01-reference" / "run-2").exists()
    # Its documents are others now, and its reference step was not done again.
    clusters = artifact(first, "steps/01-reference/clusters")
    write_manifest(clusters.url, clusters.manifest | {"key": "0" * 32})
    run_steps(second, [reference(earlier, str(first))], tmp_path / "third")
    assert (tmp_path / "third" / "steps" / "01-reference" / "run-2").exists()
    assert table(tmp_path / "second") == table(tmp_path / "third")


def test_vectors_of_another_kind_are_refused_before_any_work(earlier, new, tmp_path):
    rows = [{**row, "other": row["embedding"]} for row in new]
    source = write_jsonl(tmp_path / "in", rows)
    with pytest.raises(ValueError, match=r"vectors of another kind.*embedding"):
        run_steps(source, [reference(earlier)], tmp_path / "run", vector="other")
    assert not (tmp_path / "run" / "inventory").exists()
    shorter = write_jsonl(tmp_path / "short", [{**row, "embedding": row["embedding"][:9]} for row in new])
    with pytest.raises(ValueError, match="9 dimensions"):
        run_steps(shorter, [reference(earlier)], tmp_path / "run")


def test_runs_that_cannot_be_compared_with_are_refused(earlier, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="this run itself"):
        run_steps(source, [reference("run")], "run")
    with pytest.raises(FileNotFoundError, match="not a run directory"):
        run_steps(source, [reference(str(tmp_path))], tmp_path / "run")
    with pytest.raises(ValueError, match="this run itself"):
        run_steps(source, [reference(str(tmp_path / "run"))], tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"runs": []}, "at least 1 item"),
        ({"runs": [""]}, "empty path"),
        ({"runs": ["/a", "/a/"]}, "names one twice"),
        ({"runs": ["/a"], "cut": {"threshold": 2}}, "cosine from -1 to 1"),
        ({"runs": ["/a"], "bin_bytes": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, why):
    with pytest.raises(ValidationError, match=why):
        Reference.model_validate(json.loads(json.dumps({"cut": {"ratio": 0.5}} | options)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matches_equal_all_products(dtype):
    rng = np.random.default_rng(0)
    points, others = (rng.integers(-3, 4, (size, 3)).astype(dtype) for size in (700, 5000))
    products = points @ others.T
    dots, where = best_match(points, others)
    assert (dots == products.max(axis=1)).all() and (where == products.argmax(axis=1)).all()
    row, column, dot = above(points, others, 25)
    assert np.array_equal(np.stack([row, column]), np.stack(np.nonzero(products > 25)))
    assert (dot == products[row, column]).all()
