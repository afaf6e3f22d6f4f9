"""The DAGs in a real Airflow: they parse, know their recipes' stages, check parameters, and ask Dataflow rightly."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3.types import LaunchFlexTemplateParameter

from sluice.pipelines.recipe.options import OPTIONS, build_recipe
from sluice.pipelines.recipe.presets import PRESETS
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import stage_names
from tests.airflow.environment import ROOT, make_airflow

pytestmark = pytest.mark.slow

SPLITS = 2
OWN = ["inventory", "documents", "01-length/scores", "01-length/keep", "decisions", "corpus", "report"]
# Everything that a curation on Dataflow can be told.
CURATION = {"input": "gs://bucket/corpus/*.jsonl,gs://other/corpus", "run": "gs://bucket/runs/first", "keep": 0.5}
MORE = {
    "id": "id",
    "text": "body",
    "tokens": "column:tokens",
    "model": "gs://bucket/model",
    "options": {"clusters": "100", "unit_bytes": "67108864", "max_reject_share": "0.02", "order": "easy"},
}
ACCELERATOR = "type:nvidia-l4;count:1;install-nvidia-driver"
WORKERS = {
    "service_account": "workers@a-project.iam.gserviceaccount.com",
    "subnetwork": "regions/europe-west1/subnetworks/inside",
    "embedding_accelerator": ACCELERATOR,
    "embeddings_machine_type": "g2-standard-8",
    "flexrs": True,
    "max_workers": 300,
}
CLOUD = {
    "project": "a-project",
    "region": "europe-west1",
    "templates": "gs://bucket/templates",
    "temp_location": "gs://bucket/tmp",
}
DAY = {"run": "gs://bucket/daily/2026-01-02", "recipe": "gs://bucket/daily/2026-01-02/request.yaml"}
BEAM = {"input": "/data/corpus,s3://bucket/more/*.parquet", "run": "/data/runs/first", "keep_tokens": "1.5B"}
FLINK = {"runner": "FlinkRunner", "beam_options": {"flink_master": "host:8081", "parallelism": 8}}

# DAG, configuration, what is wrong with which parameter (None: nothing).
CASES: list[tuple[str, dict[str, Any], str | None]] = [
    ("sluice_beam_d4", BEAM, None),
    ("sluice_beam_d4", BEAM | FLINK | {"text": "body", "threshold": None, "keep": 1}, None),
    ("sluice_beam_d4", BEAM | {"runner": "DirectRunner"}, None),
    ("sluice_beam_d4", {"run": "/data/runs/first"}, "input: No value passed"),
    ("sluice_beam_d4", {"input": "/data/corpus"}, "run: No value passed"),
    ("sluice_beam_d4", BEAM | {"run": "runs/first"}, "run: 'runs/first' does not match"),
    ("sluice_beam_d4", BEAM | {"run": "/data/a,/data/b"}, "run: '/data/a,/data/b' does not match"),
    ("sluice_beam_d4", BEAM | {"input": "/data/corpus,,/more"}, "input: '/data/corpus,,/more' does not match"),
    ("sluice_beam_d4", BEAM | {"keep": 0}, "keep: 0 is less than or equal to the minimum"),
    ("sluice_beam_d4", BEAM | {"keep": 1.5}, "keep: 1.5 is greater than the maximum"),
    ("sluice_beam_d4", BEAM | {"keep": "half"}, "keep: 'half' is not of type"),
    ("sluice_beam_d4", BEAM | {"keep_tokens": "many"}, "keep_tokens: 'many' does not match"),
    ("sluice_beam_d4", BEAM | {"threshold": 2}, "threshold: 2 is greater than the maximum"),
    # Without text the recipe has other stages.
    ("sluice_beam_d4", BEAM | {"text": "none"}, "text: 'none' does not match"),
    ("sluice_beam_d4", BEAM | {"runner": "rm -rf"}, "runner: 'rm -rf' is not one of"),
    ("sluice_beam_d4", BEAM | {"options": {"refine": "2"}}, "options: 'refine' is not one of"),
    ("sluice_beam_d4", BEAM | {"options": {"pooling": 1}}, "options: 1 is not of type 'string'"),
    ("sluice_beam_d4", BEAM | {"beam_options": {"--x": "1"}}, "beam_options: '--x' does not match"),
    ("sluice_dataflow_d4", CURATION | MORE | CLOUD | WORKERS, None),
    ("sluice_dataflow_d4", CURATION, "project: No value passed"),
    ("sluice_dataflow_d4", CURATION | CLOUD | {"run": "/data/runs/first"}, "run: '/data/runs/first' does not match"),
    (
        "sluice_dataflow_d4",
        CURATION | CLOUD | {"input": "s3://bucket/corpus"},
        "input: 's3://bucket/corpus' does not match",
    ),
    ("sluice_dataflow_d4", CURATION | CLOUD | {"max_workers": 0}, "max_workers: 0 is less than the minimum"),
    (
        "sluice_dataflow_d4",
        CURATION | CLOUD | {"max_workers": 100000},
        "max_workers: 100000 is greater than the maximum",
    ),
    ("sluice_dataflow_d4", CURATION | CLOUD | {"machine_type": "large"}, "machine_type: 'large' does not match"),
    (
        "sluice_dataflow_d4",
        CURATION | CLOUD | {"embedding_accelerator": "l4"},
        "embedding_accelerator: 'l4' does not match",
    ),
    (
        "sluice_dataflow_d4",
        CURATION | CLOUD | {"accelerator_templates": "/t"},
        "accelerator_templates: '/t' does not match",
    ),
    ("sluice_dataflow_d4", CURATION | CLOUD | {"region": "Europe"}, "region: 'Europe' does not match"),
    ("sluice_daily", {"input": "/in/%Y/%m/%d", "runs": "/daily", "base": "/runs/base"}, None),
    ("sluice_daily", {"input": "/in/%Y/%m/%d", "runs": "/daily"}, "base: No value passed"),
    ("sluice_daily", {"input": "in", "runs": "/daily", "base": "/runs/base"}, "input: 'in' does not match"),
    (
        "sluice_daily",
        {"input": "/in", "runs": "/daily", "base": "/b", "duplicate_threshold": 1.1},
        "duplicate_threshold: 1.1 is greater than the maximum",
    ),
]


def storage(folder: Path) -> str:
    """What a run of semdedup on Dataflow would leave for the next tasks to look at; nothing has to be split."""
    run = folder / "bucket" / "runs" / "first"
    steps = [{"step": "exact"}, {"step": "semdedup", "bin_bytes": 1 << 20}]
    totals = {
        "embeddings": {"without_vector": 3},
        "steps/02-semdedup/centroids": {"dimension": 384},
        "steps/02-semdedup/clusters": {"largest_representatives": 20},
    }
    for name, value in totals.items():
        (run / name).mkdir(parents=True)
        (run / name / "manifest.json").write_text(json.dumps({"totals": value}))
    (run / "recipe.yaml").write_text(json.dumps({"steps": steps}))
    return str(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, Any]:
    """Answers under no settings but the interpreter; jobs are waited for in the task."""
    folder = tmp_path_factory.mktemp("plain")
    airflow = make_airflow(tmp_path_factory, folder / "home", poll_sleep="0")
    told = CURATION | CLOUD
    runs = [
        {"dag": "sluice_dataflow_semdedup", "conf": told, "date": "2026-02-01", "fail": {"documents": 1}},
        {"dag": "sluice_dataflow_semdedup", "conf": told, "date": "2026-02-02", "fail": {"documents": 3}},
    ]
    place = storage(folder)
    return airflow.ask(
        describe=None,
        validate=[[name, conf] for name, conf, _ in CASES],
        render=[
            ["sluice_dataflow_d4", CURATION | MORE | CLOUD | WORKERS, None],
            ["sluice_dataflow_quality", CURATION | CLOUD, None],
            ["sluice_beam_d4", BEAM | MORE | FLINK, None],
            ["sluice_dataflow_d4", CURATION | CLOUD, None],
            ["sluice_dataflow_d4", CURATION | CLOUD | WORKERS | {"accelerator_templates": "gs://bucket/l4"}, None],
            ["sluice_beam_random", BEAM | {"runner": "DirectRunner"}, None],
        ],
        run=[one | {"storage": place} for one in runs],
    )


@pytest.fixture(scope="module")
def configured(tmp_path_factory) -> dict[str, Any]:
    """Answers where all is set: the daily DAG on Dataflow with a schedule, deferred tasks, a recipe of one's own."""
    folder = tmp_path_factory.mktemp("configured")
    own = folder / "recipes.json"
    own.write_text(json.dumps({"short": {"recipe": "gs://bucket/short.yaml", "stages": OWN}}))
    daily = {
        "daily_input": "gs://bucket/in/%Y/%m/%d/*",
        "daily_runs": "gs://bucket/daily",
        "daily_base": "gs://bucket/base",
    }
    daily |= {"daily_on": "dataflow", "daily_catchup": "true"}
    settings = CLOUD | daily | {"deferrable": "true", "accelerator_templates": "gs://bucket/templates-tpu"}
    airflow = make_airflow(tmp_path_factory, folder / "home", poll_sleep="0", recipes=str(own), **settings)
    run = {"dag": "sluice_dataflow_short", "conf": CURATION, "storage": storage(folder)}
    return airflow.ask(
        describe=None,
        render=[
            [
                "sluice_daily",
                {"id": "id", "embedding_accelerator": ACCELERATOR},
                DAY | {"input": "gs://bucket/in/x", "id": "id"},
            ]
        ],
        run=[run | {"date": "2026-02-01", "fail": {"corpus": 1}}, run | {"date": "2026-02-02", "fail": {"corpus": 3}}],
    )


def test_every_file_parses_without_errors_or_network(plain, configured):
    assert plain["describe"]["import_errors"] == configured["describe"]["import_errors"] == {}
    expected = {f"sluice_{kind}_{name}" for kind in ("beam", "dataflow") for name in PRESETS} | {"sluice_daily"}
    assert set(plain["describe"]["dags"]) == expected
    assert set(configured["describe"]["dags"]) == expected | {"sluice_beam_short", "sluice_dataflow_short"}


@pytest.mark.parametrize("kind", ["beam", "dataflow"])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_one_task_for_each_of_its_stages_in_order(plain, kind, name):
    stages = stage_names(build_recipe(recipe=name, inputs=("input",)), repeats=SPLITS)
    check_chain(plain["describe"]["dags"][f"sluice_{kind}_{name}"], [*stages, "publish"])


def check_chain(dag: dict[str, Any], stages: list[str]) -> None:
    tasks = [stage.replace("/", ".") for stage in stages]
    assert dag["tasks"] == tasks
    assert dag["upstream"] == {task: tasks[number - 1 : number] if number else [] for number, task in enumerate(tasks)}


def test_a_day_has_the_stages_of_its_recipe(plain):
    steps = plain["describe"]["daily_steps"]
    recipe = Recipe.model_validate({"input": {"paths": ["x"]}, "steps": stated(steps)})
    check_chain(plain["describe"]["dags"]["sluice_daily"], ["plan", *stage_names(recipe, repeats=SPLITS), "publish"])


def stated(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a recipe file says, as it is read: numbers of cuts are decimal."""
    return [step | ({"cut": {k: str(v) for k, v in step["cut"].items()}} if "cut" in step else {}) for step in steps]


def test_a_recipe_of_ones_own_has_the_stages_that_are_named(configured):
    check_chain(configured["describe"]["dags"]["sluice_dataflow_short"], [*OWN, "publish"])


def test_every_option_can_be_given_but_those_that_change_the_stages(plain):
    assert sorted(plain["describe"]["options"]) == sorted({option.name for option in OPTIONS} - {"refine"})


def test_tasks_retry_and_the_corpus_is_an_asset(plain):
    for name, dag in plain["describe"]["dags"].items():
        assert dag["retries"] == [2]
        assert dag["outlets"] == {"publish": [name]}
        assert dag["deferrable"] == [False]


def test_days_are_scheduled_one_after_another_once_they_are_configured(plain, configured):
    unset, set_up = (found["describe"]["dags"]["sluice_daily"] for found in (plain, configured))
    assert (unset["schedule"], set_up["schedule"]) == ("NullTimetable", "CronDataIntervalTimetable")
    assert (unset["catchup"], set_up["catchup"]) == (False, True)
    assert unset["max_active_runs"] == set_up["max_active_runs"] == 1


def test_parameters_are_checked(plain):
    for (name, conf, problem), said in zip(CASES, plain["validate"], strict=True):
        if problem is None:
            assert said is None, (name, conf, said)
        else:
            assert said is not None and f"Invalid input for param {problem}" in said, (name, conf, said)


# What Dataflow is asked for -------------------------------------------------------------------------------------


def template(name: str) -> dict[str, dict[str, Any]]:
    """A template's parameters by name."""
    file = ROOT / "templates" / "flex" / f"{name}.metadata.json"
    return {one["name"]: one for one in json.loads(file.read_text(encoding="utf-8"))["parameters"]}


def check_body(body: dict[str, Any]) -> dict[str, Any]:
    """The launch parameters, once Google's own types and the template's description take them."""
    told = body["launchParameter"]
    assert list(body) == ["launchParameter"]
    LaunchFlexTemplateParameter.from_json(json.dumps(told), ignore_unknown_fields=False)
    assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", told["jobName"])
    known = template(Path(told["containerSpecGcsPath"]).stem)
    required = {name for name, one in known.items() if not one.get("isOptional")}
    assert required <= set(told["parameters"]) <= set(known)
    for name, value in told["parameters"].items():
        assert isinstance(value, str)
        for regex in known[name].get("regexes", []):
            assert re.fullmatch(regex, value), (name, value, regex)
    # The template names the image of launcher and workers; no parameter of a template does.
    assert "sdkContainerImage" not in told["environment"]
    return told


def bodies(rendered: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {task.replace(".", "/"): check_body(fields["body"]) for task, fields in rendered.items()}
    for fields in rendered.values():
        assert (fields["project_id"], fields["location"]) == ("a-project", "europe-west1")
    return found


def test_bodies_carry_what_templates_require_and_nothing_they_do_not_know(plain, configured):
    full, short, daily = *map(bodies, plain["render"][:2]), bodies(configured["render"][0])
    assert full["inventory"]["parameters"] == {
        "stage": "inventory",
        "run": "gs://bucket/runs/first",
        "recipe": "d4",
        "input": "gs://bucket/corpus/*.jsonl,gs://other/corpus",
        "keep": "0.5",
        "id": "id",
        "text": "body",
        "tokens": "column:tokens",
        "model": "gs://bucket/model",
        **MORE["options"],
    }
    assert full["02-semdedup/split-1/clusters"]["containerSpecGcsPath"].endswith("/sluice-step.json")
    assert full["02-semdedup/scores"]["parameters"] == {"stage": "02-semdedup/scores", "run": "gs://bucket/runs/first"}
    assert full["embeddings"]["parameters"]["embedding_accelerator"] == ACCELERATOR
    assert short["inventory"]["parameters"] == {
        "stage": "inventory",
        "run": "gs://bucket/runs/first",
        "recipe": "quality",
        "input": CURATION["input"],
        "keep": "0.5",
    }
    assert daily["inventory"]["parameters"] == DAY | {"stage": "inventory", "input": "gs://bucket/in/x", "id": "id"}
    assert {told["parameters"]["run"] for told in daily.values()} == {DAY["run"]}
    for found in (full, short, daily):
        assert len({told["jobName"] for told in found.values()}) == len(found)


def folders(rendered: dict[str, Any]) -> dict[str, str]:
    """Where each stage's template is."""
    return {stage: told["containerSpecGcsPath"].rpartition("/")[0] for stage, told in bodies(rendered).items()}


def test_embeddings_on_an_accelerator_are_launched_from_the_templates_of_its_image(plain, configured):
    usual, cpu, gpu = "gs://bucket/templates", *map(folders, (plain["render"][3], plain["render"][0]))
    assert "embeddings" in cpu and set(cpu.values()) == {usual}
    assert gpu == cpu | {"embeddings": f"{usual}-gpu"}
    assert folders(plain["render"][4]) == cpu | {"embeddings": "gs://bucket/l4"}
    daily = folders(configured["render"][0])
    assert daily["embeddings"] == f"{usual}-tpu"
    assert {folder for stage, folder in daily.items() if stage != "embeddings"} == {usual}


def test_every_stage_has_machines_that_fit_it(plain):
    full, short = (
        {stage: told["environment"] for stage, told in bodies(rendered).items()} for rendered in plain["render"][:2]
    )
    assert short["documents"] == {"tempLocation": "gs://bucket/tmp", "maxWorkers": 100, "machineType": "n2-standard-4"}
    assert short["02-quality/keep"]["maxWorkers"] == 20
    assert full["embeddings"]["machineType"] == "g2-standard-8"
    assert full["embeddings"]["additionalExperiments"] == ["no_use_multiple_sdk_containers"]
    assert full["02-semdedup/centroids"]["machineType"] == "n2-highmem-16"
    assert full["03-prototypes/clusters"]["machineType"] == "c3-standard-8"
    assert full["02-semdedup/scores"]["maxWorkers"] == full["corpus"]["maxWorkers"] == 300
    # FlexRS gives no machines that hints ask for.
    assert {stage for stage, found in full.items() if "flexrsGoal" in found} == {"documents", "corpus"}
    for found in full.values():
        assert found["serviceAccountEmail"] == WORKERS["service_account"]
        assert (found["subnetwork"], found["ipConfiguration"]) == (WORKERS["subnetwork"], "WORKER_IP_PRIVATE")


def test_the_beam_operator_gets_the_stage_as_options(plain):
    rendered = plain["render"][2]
    assert {fields["runner"] for fields in rendered.values()} == {"FlinkRunner"}
    assert {fields["py_file"] for fields in rendered.values()} == {str(ROOT / "templates" / "stage.py")}
    options = {task: fields["pipeline_options"] for task, fields in rendered.items()}
    assert options["inventory"] == {
        "stage": "inventory",
        "recipe": "d4",
        **{name: value for name, value in (BEAM | MORE).items() if name != "options"},
        **MORE["options"],
        **FLINK["beam_options"],
    }
    assert options["02-semdedup.split-2.clusters"] == {
        "stage": "02-semdedup/split-2/clusters",
        "run": "/data/runs/first",
        **FLINK["beam_options"],
    }


def test_the_runner_that_people_type_is_handed_on(plain):
    assert {fields["runner"] for fields in plain["render"][5].values()} == {"DirectRunner"}


# Runs against a stand-in for Dataflow's service -----------------------------------------------------------------


def launched(run: dict[str, Any]) -> list[str]:
    return [check_body(one["body"])["parameters"]["stage"] for one in run["launches"]]


def test_a_job_that_fails_is_launched_again_under_another_name_and_the_run_goes_on(plain):
    run = plain["run"][0]
    assert run["state"] == "success", run
    stages = stage_names(build_recipe(recipe="semdedup", inputs=("input",)), repeats=0)
    # Three documents have no vector, so that step is needed; no cluster has to be split.
    assert launched(run) == ["inventory", "documents", "documents", *stages[2:]]
    assert run["tries"]["documents"] == 2
    names = [one["body"]["launchParameter"]["jobName"] for one in run["launches"]]
    assert len(set(names)) == len(names)
    skipped = {task for task, state in run["tasks"].items() if state == "skipped"}
    assert skipped == {f"02-semdedup.split-{n}.{part}" for n in (1, 2) for part in ("centroids", "clusters")}
    assert run["assets"] == [
        {
            "uri": "gs://bucket/runs/first/corpus",
            "extra": {"run": "gs://bucket/runs/first", "recipe": "semdedup"} | run["assets"][0]["extra"],
            "aliases": ["sluice_dataflow_semdedup"],
        }
    ]


def test_a_job_that_keeps_failing_fails_the_run_and_nothing_after_it_starts(plain):
    run = plain["run"][1]
    assert run["state"] == "failed"
    assert launched(run) == ["inventory", "documents", "documents", "documents"]
    assert run["tasks"]["documents"] == "failed"
    assert {run["tasks"][task] for task in ("01-exact.copies", "report", "publish")} == {"upstream_failed"}
    assert run["assets"] == []


def test_deferred_tasks_wait_for_their_jobs_too(configured):
    done, failed = configured["run"]
    assert configured["describe"]["dags"]["sluice_dataflow_short"]["deferrable"] == [True]
    assert done["state"] == "success", done
    assert launched(done) == [*OWN[:-1], "corpus", "report"]
    assert failed["state"] == "failed"
    assert launched(failed) == [*OWN[:-1], "corpus", "corpus"]
    assert failed["tasks"]["report"] == "upstream_failed"
