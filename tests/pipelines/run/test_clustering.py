"""How steps get their centroids: in two levels, refined over everything, or from another run."""

import json
import shutil
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from sluice.models.arrays import hashing, vectors
from sluice.models.clustering import kmeans, two_level
from sluice.models.clustering.two_level import plan_levels
from sluice.pipelines.commands.clusters import clusters, render
from sluice.pipelines.curate import run_recipe
from sluice.pipelines.main import main
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.adopting import find_centroids
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.run.run import Run
from sluice.pipelines.status.status import status
from sluice.transforms.clusters.members import load_array
from sluice.transforms.storage import sealed
from tests.pipelines.corpora import artifact, decisions, fates, make_rows, write_jsonl
from tests.pipelines.reading_back import shown

DIMENSION = 12
SMALL = 70_000  # bytes: about 30 centroids of 10 vectors each


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows(1000, dimension=DIMENSION, seed=3)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), rows, files=4)


def recipe(source: str, *steps: dict, unit_bytes: int = 120_000, **settings) -> Recipe:
    given = {"paths": [source], "text": None, "id": "id", "vector": "embedding", "unit_bytes": unit_bytes}
    return Recipe.model_validate({"input": given, "steps": list(steps), **settings})


def prototypes(**options) -> dict:
    return {"step": "prototypes", "cut": {"ratio": "0.5"}, **options}


def semdedup(**options) -> dict:
    return {"step": "semdedup", "cut": {"threshold": "0.97"}, **options}


def points_of(rows: list[dict]) -> np.ndarray:
    """float32 [n, d] in the order of the rows."""
    return vectors.coarse(vectors.quantise(np.array([row["embedding"] for row in rows], np.float32)))


def sample_order(rows: list[dict], purpose: str) -> np.ndarray:
    hashes = np.frombuffer(b"".join(hashing.id_hash(row["id"]) for row in rows), "V16")
    return np.argsort(hashing.seeded(hashes, 0, f"sample:{purpose}"), kind="stable")


def centroids(run: Path, folder: str = "steps/01-prototypes/centroids") -> np.ndarray:
    return load_array(artifact(run, folder), "centroids").astype(np.float32)


# Two levels -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_two_levels(source, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "two"
    run_recipe(recipe(source, prototypes(clusters=100, sample_per_cluster=10, trainer_bytes=SMALL)), str(run))
    return run


def test_two_levels_of_workers_find_what_one_does_with_everything(in_two_levels, rows):
    levels = plan_levels(k=100, sample=1000, dimension=DIMENSION, trainer_bytes=SMALL)
    assert levels is not None
    expected = two_level.train(points_of(rows)[sample_order(rows, "prototypes")], 100, levels)
    assert np.array_equal(centroids(in_two_levels), expected.centroids)
    totals = artifact(in_two_levels, "steps/01-prototypes/centroids").manifest["totals"]
    assert totals["k"] == len(expected.centroids) == 100
    assert totals["objective"] == pytest.approx(expected.objective)
    assert totals["imbalance_of_sample"] == pytest.approx(expected.imbalance)
    assert totals["levels"]["first"] == levels.first
    assert totals["levels"]["largest_share"] <= levels.most


def test_units_orders_and_workers_change_nothing(in_two_levels, rows, source, tmp_path):
    other = write_jsonl(tmp_path / "turned", rows[::-1], files=2)
    step = prototypes(clusters=100, sample_per_cluster=10, trainer_bytes=SMALL)
    workers = ["--direct_num_workers=3", "--direct_running_mode=multi_threading"]
    run_recipe(recipe(other, step, unit_bytes=60_000), str(tmp_path / "run"), workers)
    assert np.array_equal(centroids(tmp_path / "run"), centroids(in_two_levels))
    assert fates(tmp_path / "run") == fates(in_two_levels)
    central = [
        [
            [one["id"] for one in cluster["central"]]
            for cluster in clusters(str(run), sample=0)["clusterings"][0]["largest"]
        ]
        for run in (tmp_path / "run", in_two_levels)
    ]
    assert central[0] == central[1] and len(central[0][0]) == 3


def test_a_sample_is_thinned_to_what_a_worker_holds(rows, source, tmp_path):
    # Half of the documents are equal, and not all are sampled.
    mixed = [row | {"embedding": rows[0]["embedding"]} if number % 2 else row for number, row in enumerate(rows)]
    step = prototypes(clusters=80, sample_per_cluster=9, trainer_bytes=34_000)
    run_recipe(recipe(write_jsonl(tmp_path / "in", mixed), step), str(tmp_path / "run"))
    levels = plan_levels(k=80, sample=720, dimension=DIMENSION, trainer_bytes=34_000)
    assert levels is not None
    hashes = np.frombuffer(b"".join(hashing.id_hash(row["id"]) for row in mixed), "V16")
    tickets = hashing.seeded(hashes, 0, "sample:prototypes")
    order = sample_order(mixed, "prototypes")
    order = order[tickets[order] < np.uint64(int(720 / 1000 * 2**64))]
    expected = two_level.train(points_of(mixed)[order], 80, levels)
    totals = artifact(tmp_path / "run", "steps/01-prototypes/centroids").manifest["totals"]
    assert totals["levels"]["thinned"] >= 1
    assert totals["k"] == 80
    assert np.array_equal(centroids(tmp_path / "run"), expected.centroids)


def test_a_broken_off_training_goes_on_from_its_files(in_two_levels, source, tmp_path):
    run = Path(shutil.copytree(in_two_levels, tmp_path / "run"))
    folder = run / "steps/01-prototypes/centroids"
    for file in [folder / "manifest.json", *folder.glob("centroids-*"), next(folder.glob("bins/bin-*"))]:
        file.unlink()
    shutil.rmtree(run / "steps/01-prototypes/clusters")
    shutil.rmtree(run / "decisions")
    step = prototypes(clusters=100, sample_per_cluster=10, trainer_bytes=SMALL)
    run_recipe(recipe(source, step), str(run))
    assert np.array_equal(centroids(run), centroids(in_two_levels))
    assert decisions(run).equals(decisions(in_two_levels))


def test_too_little_memory_for_two_levels_is_refused(source, tmp_path):
    step = prototypes(clusters=100, sample_per_cluster=10, trainer_bytes=5000)
    with pytest.raises(ValueError, match=r"trainer_bytes 5000 is too little for 100 clusters .* is enough"):
        run_recipe(recipe(source, step), str(tmp_path / "run"))


# Refinement -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refined(source, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "refined"
    steps = semdedup(clusters=30, refine=1, bin_bytes=2000), prototypes(clusters=300, sample_per_cluster=2, refine=2)
    run_recipe(recipe(source, *steps), str(run))
    return run


def test_refinement_is_an_iteration_over_all_members(refined, rows):
    gone = fates(refined)
    left = [row for row in rows if gone[row["id"]] != "01-semdedup"]
    found = centroids(refined, "steps/02-prototypes/centroids")
    objectives = []
    for number in (1, 2):
        found, objective = kmeans.lloyd(points_of(left), found)
        objectives.append(objective)
        assert np.array_equal(found, centroids(refined, f"steps/02-prototypes/refine-{number}/centroids"))
    totals = artifact(refined, "steps/02-prototypes/refine-2/centroids").manifest["totals"]
    assert totals["refined"] == objectives
    products = points_of(left) @ found.T
    sums = load_array(artifact(refined, "steps/02-prototypes/clusters"), "statistics")
    assert np.array_equal(sums[0], np.bincount(products.argmax(axis=1), minlength=300))


def test_equal_vectors_count_once_where_copies_are_known(refined, rows):
    unique = {row.tobytes(): index for index, row in reversed(list(enumerate(points_of(rows))))}
    distinct = points_of(rows)[sorted(unique.values())]
    expected, _ = kmeans.lloyd(distinct, centroids(refined, "steps/01-semdedup/centroids"))
    assert np.array_equal(expected, centroids(refined, "steps/01-semdedup/refine-1/centroids"))


def test_status_and_finished_know_the_refinements(refined):
    found = status(str(refined))
    names = [stage["stage"] for stage in found["stages"]]
    assert {stage["state"] for stage in found["stages"]} == {"finished"}
    at = names.index("01-semdedup/centroids")
    assert names[at : at + 4] == [
        "01-semdedup/centroids",
        "01-semdedup/refine-1/centroids",
        "01-semdedup/clusters",
        "01-semdedup/split-1/centroids",
    ]
    assert names[names.index("02-prototypes/centroids") + 2] == "02-prototypes/refine-2/centroids"
    run = Finished(str(refined))
    assert run.step("02-prototypes").centroids == artifact(refined, "steps/02-prototypes/refine-2/centroids")
    assert "split-" in run.step("01-semdedup").centroids.url


def test_a_refinement_that_is_lost_is_made_again_and_nothing_before_it(refined, source, tmp_path):
    run = Path(shutil.copytree(refined, tmp_path / "run"))
    folder = run / "steps/02-prototypes/refine-1/centroids"
    for file in [folder / "manifest.json", *folder.glob("centroids-*"), next(folder.glob("part-*"))]:
        file.unlink()
    steps = semdedup(clusters=30, refine=1, bin_bytes=2000), prototypes(clusters=300, sample_per_cluster=2, refine=2)
    _, timings = run_recipe(recipe(source, *steps), str(run))
    assert [timing.stage for timing in timings if not timing.skipped] == ["02-prototypes/refine-1/centroids"]
    assert np.array_equal(
        centroids(run, "steps/02-prototypes/refine-1/centroids"),
        centroids(refined, "steps/02-prototypes/refine-1/centroids"),
    )


# Centroids of another run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("others"), make_rows(400, dimension=DIMENSION, seed=8))


def test_a_run_takes_the_centroids_of_another(refined, others, tmp_path):
    report, _ = run_recipe(recipe(others, prototypes(centroids=str(refined))), str(tmp_path / "run"))
    assert np.array_equal(centroids(tmp_path / "run"), centroids(refined, "steps/02-prototypes/refine-2/centroids"))
    assert report["clusterings"][0]["clusters"] == 300
    assert {stage["state"] for stage in status(str(tmp_path / "run"))["stages"]} == {"finished"}


@pytest.mark.parametrize("place", ["", "/", "/steps/02-prototypes", "/steps/02-prototypes/refine-2/centroids"])
def test_centroids_are_found_by_run_step_or_folder(refined, place):
    found = find_centroids(f"{refined}{place}", "prototypes")
    assert found == artifact(refined, "steps/02-prototypes/refine-2/centroids")


def test_clusters_that_were_split_stay_split_and_where_the_source_lies_does_not_matter(refined, others, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    moved = shutil.copytree(refined, tmp_path / "moved")
    settings = semdedup(bin_bytes=2000)
    run_recipe(recipe(others, settings | {"centroids": f"{refined}/steps/01-semdedup"}), str(one))
    source = Finished(str(refined)).step("01-semdedup").centroids
    assert np.array_equal(
        load_array(artifact(one, "steps/01-semdedup/centroids"), "splits"), load_array(source, "splits")
    )
    # The folder that is copied knows the first place; from the other one nothing has to be done again.
    shutil.copytree(one, two)
    _, timings = run_recipe(recipe(others, settings | {"centroids": f"{moved}/steps/01-semdedup"}), str(two))
    assert all(timing.skipped for timing in timings)


def test_the_same_documents_and_centroids_give_the_same_decisions(refined, source, tmp_path):
    run = tmp_path / "run"
    steps = semdedup(bin_bytes=2000, centroids=f"{refined}/steps/01-semdedup"), prototypes(centroids=str(refined))
    run_recipe(recipe(source, *steps), str(run))
    assert decisions(run).equals(decisions(refined))


def test_a_step_may_take_those_of_an_earlier_step_and_refine_them(others, tmp_path):
    run = tmp_path / "run"
    later = prototypes(centroids=f"{run}/steps/01-semdedup", refine=1)
    run_recipe(recipe(others, semdedup(clusters=9), later), str(run))
    left = [row for row in make_rows(400, dimension=DIMENSION, seed=8) if fates(run)[row["id"]] != "01-semdedup"]
    expected, _ = kmeans.lloyd(points_of(left), centroids(run, "steps/01-semdedup/centroids"))
    assert np.array_equal(expected, centroids(run, "steps/02-prototypes/refine-1/centroids"))


def test_centroids_that_do_not_fit_are_refused_before_any_work(refined, others, source, tmp_path):
    narrow = write_jsonl(tmp_path / "narrow", make_rows(60, dimension=5))
    renamed = write_jsonl(
        tmp_path / "renamed", [{"id": row["id"], "v": row["embedding"]} for row in make_rows(60, dimension=DIMENSION)]
    )
    other_field = recipe(renamed, prototypes(centroids=str(refined))).model_dump()
    other_field["input"]["vector"] = "v"
    cases = [
        (Recipe.model_validate(other_field), "vectors of another kind: vector: 'embedding' there, 'v' here"),
        (recipe(others, prototypes(centroids=str(tmp_path / "nowhere"))), "no run, no step of one, and no centroids"),
        (recipe(others, prototypes(centroids=f"{refined}/steps/02-prototypes/scores")), "holds no centroids"),
        (recipe(others, prototypes(centroids=f"{refined}/steps/07-none")), "has no step 07-none"),
        (recipe(others, {"step": "prototypes", "cut": {"ratio": "0.5"}, "centroids": source}), "no run, no step"),
    ]
    for number, (wanted, complaint) in enumerate(cases):
        with pytest.raises(ValueError, match=complaint):
            run_recipe(wanted, str(tmp_path / f"run-{number}"))
        assert not (tmp_path / f"run-{number}").exists()
    with pytest.raises(ValueError, match="have 12 dimensions, the vectors here 5"):
        run_recipe(recipe(narrow, prototypes(centroids=str(refined))), str(tmp_path / "narrow-run"))


def test_damaged_centroids_are_refused(refined, others, tmp_path):
    moved = Path(shutil.copytree(refined, tmp_path / "moved"))
    file = next((moved / "steps/02-prototypes/refine-2/centroids").glob("centroids-*.npy"))
    for content in (file.read_bytes()[:200], b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"{file.name} is damaged: it has no checksum at its end"):
            run_recipe(recipe(others, prototypes(centroids=str(moved))), str(tmp_path / "run"))
    file.unlink()
    sealed.save_array(str(file), np.zeros((3, 12), np.float64))
    with pytest.raises(ValueError, match=r"is float64 \(3, 12\); its manifest says int16 \(300, 12\)"):
        run_recipe(recipe(others, prototypes(centroids=str(moved))), str(tmp_path / "run"))


def test_an_unfinished_run_has_no_centroids_to_give(refined, others, tmp_path):
    moved = Path(shutil.copytree(refined, tmp_path / "moved"))
    (moved / "steps/02-prototypes/keep/manifest.json").unlink()
    with pytest.raises(ValueError, match="02-prototypes/keep is not finished"):
        run_recipe(recipe(others, prototypes(centroids=str(moved))), str(tmp_path / "run"))


def test_options_that_training_alone_has_are_refused_beside_centroids():
    for name, value in (("clusters", 5), ("iterations", 3), ("trainer_bytes", 99)):
        with pytest.raises(ValueError, match=f"{name} has no meaning beside centroids"):
            recipe("somewhere", prototypes(centroids="other", **{name: value}))


def test_the_command_line_has_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = build_recipe(inputs=("in",), recipe="d4", text="none", vector="v", centroids="runs/a", refine=2)
    assert [(step.centroids, step.refine) for step in found.steps] == [(str(tmp_path / "runs/a"), 2)] * 2
    found = build_recipe(inputs=("in",), recipe="prototypes", vector="v", trainer_bytes=1000)
    assert found.steps[0].trainer_bytes == 1000


# Quality ----------------------------------------------------------------------------------------------------------


def test_quality_is_what_the_documents_clusters_say(refined, rows):
    found = clusters(str(refined), sample=600)
    assert [one["step"] for one in found["clusterings"]] == ["01-semdedup", "02-prototypes"]
    one = found["clusterings"][1]
    left = [row for row in rows if fates(refined)[row["id"]] != "01-semdedup"]
    products = points_of(left) @ centroids(refined, "steps/02-prototypes/refine-2/centroids").T
    sizes = np.bincount(products.argmax(axis=1))
    sizes = sizes[sizes > 0]
    assert one["documents"] == len(left)
    assert one["sizes"]["max"] == sizes.max()
    assert one["max_over_mean"] == pytest.approx(sizes.max() / sizes.mean())
    assert one["cv"] == pytest.approx(sizes.std() / sizes.mean())
    differences = np.abs(sizes[:, None] - sizes[None, :]).mean()
    assert one["gini"] == pytest.approx(differences / 2 / sizes.mean())
    assert one["similarity"] == pytest.approx(products.max(axis=1).mean() / vectors.COARSE**2)
    assert one["training"]["refined"][0] < one["training"]["refined"][1] <= one["similarity"] + 1e-3
    stable = one["stability"]
    assert 450 < stable["documents"] < 750
    assert stable["clusters"] == stable["documents"] // 20
    assert 0 < stable["agreement"] < 1


def test_the_page_says_how_centroids_were_made(in_two_levels, refined, capsys):
    page = shown(render(clusters(str(in_two_levels), sample=0)))
    assert "trained in two levels" in page and "agreement (" not in page
    page = shown(render(clusters(str(refined), sample=300)))
    assert "refined over all documents" in page and "agreement (adjusted Rand index) of two trainings" in page
    assert main(["clusters", str(refined), "--sample", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == clusters(str(refined), sample=0)
    assert main(["clusters", str(refined), "--sample", "-1"]) == 2


def test_the_report_has_the_training_and_its_evenness(refined):
    found = json.loads((refined / "report.json").read_text())["clusterings"][1]
    quality = clusters(str(refined), sample=0)["clusterings"][1]
    assert {name: found[name] for name in ("max_over_mean", "cv", "gini", "training")} == {
        name: quality[name] for name in ("max_over_mean", "cv", "gini", "training")
    }


# With an index, and as graphs -------------------------------------------------------------------------------------


def test_an_index_is_made_for_refined_centroids_and_travels_with_them(others, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run_recipe(recipe(others, prototypes(clusters=12, assignment="scann", refine=1)), str(one))
    run_recipe(recipe(others, prototypes(centroids=str(one), assignment="scann")), str(two))
    made = artifact(one, "steps/01-prototypes/refine-1/centroids")
    taken = artifact(two, "steps/01-prototypes/centroids")
    assert taken.manifest["totals"]["method"] == "scann"
    assert Path(taken.file("index", ".tar")).read_bytes() == Path(made.file("index", ".tar")).read_bytes()
    assert decisions(one).equals(decisions(two))


@pytest.mark.parametrize("kind", ["two levels", "refinement", "other centroids"])
def test_the_graphs_have_right_types_and_do_not_grow(kind, in_two_levels, source):
    step = prototypes(clusters=100, sample_per_cluster=10, trainer_bytes=SMALL)
    wanted = {"two levels": step, "refinement": step | {"refine": 1}, "other centroids": None}[kind]
    wanted = wanted or prototypes(centroids=str(in_two_levels))
    stages = Run(str(in_two_levels), recipe(source, wanted)).stages()
    name = "01-prototypes/refine-1/centroids" if kind == "refinement" else "01-prototypes/centroids"
    stage = next(stage for stage in stages if stage.name == name)
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"], pipeline_type_check=True))
    pipeline | stage.transform
    graph = pipeline.to_runner_api()
    assert len(graph.components.transforms) < 80
    assert graph.ByteSize() < 100_000
