"""Every stage as the job that Beam's Dataflow runner submits: small, stateless, and asking for the workers it needs.

The service is a stand-in, so what it would do with a job is not tested here.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import execution

from sluice.models.embedders.load import EmbedderConfig
from sluice.pipelines.base.work import Stage
from sluice.pipelines.curate import run_recipe
from sluice.pipelines.launch import stage as template
from sluice.pipelines.launch.jobs import NothingToDo
from sluice.pipelines.launch.metadata import TEMPLATES, Template
from sluice.pipelines.main import main
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import stage_names
from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.run.resources import check_beam_args, check_resources
from sluice.pipelines.run.run import Run
from sluice.pipelines.run.runner import pipeline_options, run_stage, start_job
from sluice.transforms.corpus.inventory import SCHEMA, plan_units, units_to_table
from sluice.transforms.stages import memory
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.commit import commit
from sluice.transforms.stages.stage import StageTransform
from tests.pipelines.corpora import artifact, make_rows, run_d4, write_jsonl
from tests.pipelines.dataflow_service import Service, Submitted, dataflow_service

UNITS = 100_000
ARGS = [
    "--runner=DataflowRunner",
    "--project=a-project",
    "--region=europe-west1",
    "--temp_location=gs://bucket/temporary",
    "--no_auth",
    "--sdk_container_image=europe-docker.pkg.dev/a-project/images/sluice:1",
]
STEPS = [
    {"step": "exact"},
    {"step": "semdedup", "clusters": 4, "bin_bytes": 700, "cut": {"ratio": "0.9"}},
    {"step": "prototypes", "clusters": 4, "cut": {"ratio": "0.8"}},
    {"step": "prototypes", "clusters": 4, "scope": "cluster", "cut": {"tokens": 500}},
    {"step": "random", "cut": {"ratio": "0.1"}},
]
# The first stage of each kind; later ones of a kind differ in paths and numbers only.
STAGES = [
    "inventory",
    "documents",
    "01-exact/copies",
    "01-exact/scores",
    "01-exact/keep",
    "embeddings",
    "02-semdedup/centroids",
    "02-semdedup/clusters",
    "02-semdedup/split-1/centroids",
    "02-semdedup/scores",
    "02-semdedup/keep",
    "03-prototypes/scores",
    "04-prototypes/scores",
    "05-random/scores",
    "decisions",
    "corpus",
]
# All that a stage may be made of; what runners add is checked by name below.
URNS = {
    common_urns.primitives.PAR_DO.urn,
    common_urns.primitives.GROUP_BY_KEY.urn,
    common_urns.primitives.FLATTEN.urn,
    common_urns.primitives.IMPULSE.urn,
    common_urns.composites.RESHUFFLE.urn,
    common_urns.composites.COMBINE_PER_KEY.urn,
    common_urns.composites.COMBINE_GLOBALLY.urn,
}
BEAM_EXPERIMENTS = {
    "beam_fn_api",
    "use_unified_worker",
    "use_runner_v2",
    "use_portable_job_submission",
    "use_multiple_sdk_containers",
}


@dataclass(frozen=True)
class Job:
    """A stage whose transform reads an inventory of 100,000 units, and the job that was submitted for it."""

    stage: Stage
    submitted: Submitted


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("dataflow")
    source = write_jsonl(folder / "in", make_rows(80), files=2)
    given = {"id": "id", "vector": "embedding", "tokens": "column:tokens", "source": "source"}
    recipe = Recipe.model_validate({"input": {"paths": [source], **given}, "steps": STEPS})
    run_recipe(recipe, str(folder / "run"))
    return open_run(str(folder / "run"))


@pytest.fixture(scope="module")
def inventory(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("large")
    (folder / "corpus.jsonl").write_text("{}\n" * UNITS)
    units = plan_units([str(folder)], unit_bytes=3)
    found = Artifact(str(folder / "inventory"), "f" * 32)
    found.write(0, [units_to_table(units)], SCHEMA, {"units": len(units)})
    commit(found, parts=[found.describe(0)], config={})
    assert len(units) == UNITS
    return found


@pytest.fixture(scope="module")
def service() -> Any:
    with dataflow_service() as found:
        yield found


def enlarged(transform: Any, inventory: Artifact) -> Any:
    return replace(transform, inventory=inventory) if isinstance(transform, StageTransform) else transform


def submit(stage: Stage, run: Run, service: Service, *args: str) -> Submitted:
    """The job of a stage that is finished already: submitted, and waited for."""
    run_stage(stage, run, [*ARGS, f"--dataflow_endpoint={service.endpoint}", *args])
    return service.last


@pytest.fixture(scope="module")
def jobs(run, inventory, service) -> dict[str, Job]:
    found: dict[str, Job] = {}
    kinds = set()
    for stage in run.stages():
        transform = stage.transform
        kind = (type(transform), type(getattr(transform, "write", None)), getattr(transform, "most", None) is None)
        if kind not in kinds:
            kinds.add(kind)
            stage = replace(stage, transform=enlarged(transform, inventory))
            found[stage.name] = Job(stage, submit(stage, run, service))
    return found


def stage_of(run: Run, name: str) -> Stage:
    return next(stage for stage in run.stages() if stage.name == name)


def leaves(proto: beam_runner_api_pb2.Pipeline) -> list[beam_runner_api_pb2.PTransform]:
    """The transforms that workers or the runner execute; composites only hold others."""
    return [one for one in proto.components.transforms.values() if one.spec.urn and not one.subtransforms]


def hints(submitted: Submitted) -> dict[str, bytes]:
    """The resource hints of a job's one environment."""
    (environment,) = submitted.proto.components.environments.values()
    return {urn.rsplit(":", 2)[1]: value for urn, value in environment.resource_hints.items()}


def test_a_job_is_submitted_for_every_kind_of_stage(jobs):
    assert list(jobs) == STAGES
    assert [name for name, job in jobs.items() if not isinstance(job.stage.transform, StageTransform)] == ["inventory"]


def test_a_graph_is_small_whatever_the_number_of_units(jobs, run, service):
    for name, job in jobs.items():
        assert len(job.submitted.graph) < 100_000, name
        assert len(str(job.submitted.request)) < 100_000, name
    few = submit(stage_of(run, "documents"), run, service)
    # Paths and digests are of other lengths; units would be millions of bytes.
    assert abs(len(few.graph) - len(jobs["documents"].submitted.graph)) < 1000


def test_no_array_travels_inside_a_function(jobs):
    for name, job in jobs.items():
        sizes = [len(one.spec.payload) for one in job.submitted.proto.components.transforms.values()]
        assert max(sizes) < 20_000, name


def test_stages_are_made_of_stateless_functions_and_plain_shuffles(jobs):
    for name, job in jobs.items():
        for one in leaves(job.submitted.proto):
            assert one.spec.urn in URNS, (name, one.unique_name, one.spec.urn)
            assert not re.search("GroupIntoBatches|BatchElements|CoGroupByKey", one.unique_name), one.unique_name
            if one.spec.urn == common_urns.primitives.PAR_DO.urn:
                payload = beam_runner_api_pb2.ParDoPayload.FromString(one.spec.payload)
                assert not payload.state_specs and not payload.timer_family_specs, one.unique_name
                assert not payload.restriction_coder_id, one.unique_name


def test_side_inputs_are_single_values(jobs):
    found = set()
    for job in jobs.values():
        for one in leaves(job.submitted.proto):
            if one.spec.urn == common_urns.primitives.PAR_DO.urn:
                payload = beam_runner_api_pb2.ParDoPayload.FromString(one.spec.payload)
                found |= {one.unique_name for _ in payload.side_inputs}
    # The boundary of a cut, the one sum of all clusters' statistics, their most central documents, and for ranges of a
    # million documents where they begin and what the groups that cross them weigh.
    clusters = {"AssignClusters/Statistics/Add/InjectDefault", "AssignClusters/Central/Gather/InjectDefault"}
    ranges = {"RankWithinGroups/SendKeys", "RankWithinGroups/WriteRanks"}
    assert found == {"MakeCut/Keep"} | clusters | ranges


def test_no_text_and_no_vector_crosses_a_shuffle(tmp_path, monkeypatch):
    rows = make_rows(90)
    for row in rows:
        row["text"] += " unmistakable"
    shuffled = bytearray()
    for buffer in (execution.ListBuffer, execution.GroupingBuffer):
        append = buffer.append

        def spy(self, data, append=append):
            shuffled.extend(data)
            return append(self, data)

        monkeypatch.setattr(buffer, "append", spy)
    run_d4(write_jsonl(tmp_path / "in", rows), tmp_path / "run")
    assert b"shard-1.jsonl" in shuffled  # the spy sees what crosses: units do
    assert b"unmistakable" not in shuffled
    assert not any(row["id"].encode() in shuffled for row in rows)
    vectors = artifact(tmp_path / "run", "embeddings").read(0, ["vector"])["vector"]
    assert not any(vector.as_py() in shuffled for vector in vectors if vector.is_valid)


def test_transforms_keep_their_names(jobs, run, service):
    for name in ("02-semdedup/scores", "02-semdedup/keep", "corpus"):
        again = submit(stage_of(run, name), run, service)
        assert names(again) == names(jobs[name].submitted)
    for job in jobs.values():
        found = names(job.submitted)
        assert len(found) == len(set(found))
        ours = [name for name in found if "<lambda at core.py" not in name]  # Beam's own
        assert not any(re.search(r"[0-9a-f]{10}|lambda", name) for name in ours), ours


def names(submitted: Submitted) -> list[str]:
    return sorted(one.unique_name for one in submitted.proto.components.transforms.values())


def test_the_stages_of_a_run_are_named_before_it_begins(run):
    made, named = [stage.name for stage in run.stages()], stage_names(run.recipe)
    assert "02-semdedup/split-1/clusters" in made
    assert [name for name in named if name in made] == made
    conditional = {name for name in named if name not in made} - {"report"}
    assert all(re.search(r"-embedded/|/split-\d/", name) for name in conditional)


def test_job_names_are_valid_and_differ(jobs):
    found = [job.submitted.request["name"] for job in jobs.values()]
    assert len(set(found)) == len(found)
    for name in found:
        assert re.fullmatch(PipelineOptionsValidator.JOB_PATTERN, name) and len(name) <= 63, name
    assert found[8].startswith("sluice-02-semdedup-split-1-centroids-")


def test_a_given_job_name_begins_the_name_of_each_stage_and_is_that_of_a_single_one(run):
    given = [*ARGS, "--job_name=nightly"]
    assert pipeline_options(given, "02-semdedup/keep").get_all_options()["job_name"] == "nightly-02-semdedup-keep"
    assert pipeline_options(given, "02-semdedup/keep", alone=True).get_all_options()["job_name"] == "nightly"


def test_jobs_are_batch_jobs_and_experiments_are_left_alone(jobs, run, service):
    for job in jobs.values():
        environment = job.submitted.request["environment"]
        assert job.submitted.request["type"] in (1, "JOB_TYPE_BATCH")
        assert environment["version"]["job_type"] == "FNAPI_BATCH"
        assert set(environment["experiments"]) == BEAM_EXPERIMENTS
        assert job.submitted.options["streaming"] is False
    given = submit(stage_of(run, "decisions"), run, service, "--experiments=no_use_multiple_sdk_containers")
    asked = {"no_use_multiple_sdk_containers"}
    assert (
        set(given.request["environment"]["experiments"]) == BEAM_EXPERIMENTS - {"use_multiple_sdk_containers"} | asked
    )


def test_worker_options_reach_the_service(run, service):
    args = [
        "--machine_type=n2-highmem-4",
        "--num_workers=3",
        "--max_num_workers=50",
        "--disk_size_gb=100",
        "--no_use_public_ips",
        "--subnetwork=regions/europe-west1/subnetworks/inner",
        "--service_account_email=sluice@a-project.iam.gserviceaccount.com",
        "--number_of_worker_harness_threads=2",
        "--labels=team=data",
        "--enable_hot_key_logging",
    ]
    check_beam_args([*ARGS, *args])
    found = submit(stage_of(run, "02-semdedup/scores"), run, service, *args)
    environment = found.request["environment"]
    assert found.request["region"] == "europe-west1"
    assert found.request["labels"] == {"team": "data"}
    assert environment["serviceAccountEmail"] == "sluice@a-project.iam.gserviceaccount.com"
    assert environment["debugOptions"] == {"enableHotKeyLogging": True}
    assert {name: found.pool[name] for name in ("machineType", "numWorkers", "diskSizeGb", "numThreadsPerWorker")} == {
        "machineType": "n2-highmem-4",
        "numWorkers": 3,
        "diskSizeGb": 100,
        "numThreadsPerWorker": 2,
    }
    assert found.pool["autoscalingSettings"]["maxNumWorkers"] == 50
    assert found.pool["subnetwork"] == "regions/europe-west1/subnetworks/inner"
    assert found.pool["ipConfiguration"] in (2, "WORKER_IP_PRIVATE")


def test_workers_run_the_given_container_and_nothing_of_the_launching_process(jobs, service):
    for job in jobs.values():
        assert job.submitted.pool["workerHarnessContainerImage"] == ARGS[-1].partition("=")[2]
        assert job.submitted.options["save_main_session"] is False
    assert {url.rsplit("/", 1)[-1] for url in service.staged} == {"pipeline.pb"}


def test_only_stages_that_hold_much_ask_for_memory_and_whole_jobs_do(jobs):
    asked = {name: hints(job.submitted) for name, job in jobs.items()}
    expected = {
        name: {"min_ram_bytes": b"%d" % job.stage.transform.worker_memory}
        for name, job in jobs.items()
        if hasattr(type(job.stage.transform), "worker_memory")
    }
    assert {name: found for name, found in asked.items() if found} == expected
    assert set(expected) == {
        "embeddings",
        "02-semdedup/centroids",
        "02-semdedup/clusters",
        "02-semdedup/scores",
    }


def test_memory_follows_the_documented_formulas():
    # A model of 91 MB; a bin of 256 MB of 384 numbers, 788 bytes a record; a million such vectors and 3,906 centroids.
    assert memory.embedding(weights=91_000_000, window_characters=32_000_000) == 3_469_354_560
    assert memory.scoring(bin_bytes=256 << 20, record_bytes=788, point_bytes=4, dimension=384) == 2_688_441_992
    assert memory.training(sample=1_000_000, dimension=384, k=3906) == 5_550_610_432
    # 100,000 centroids, and runs of 64 MB.
    assert memory.assignment(k=100_000, dimension=384, run_bytes=64 << 20) == 2_205_539_328


@pytest.fixture
def with_model(run, tmp_path) -> Stage:
    """The embeddings stage as it is where a model runs, of 5,000 bytes."""
    (tmp_path / "model.safetensors").write_bytes(bytes(5000))
    stage = stage_of(run, "embeddings")
    return replace(stage, transform=replace(stage.transform, embedder=EmbedderConfig(str(tmp_path))))


def test_an_accelerator_is_asked_for_by_the_stage_that_embeds_alone(run, service, with_model):
    accelerator = "type:nvidia-l4;count:1;install-nvidia-driver"
    found = hints(submit(with_model, run, service, f"--embedding_accelerator={accelerator}"))
    assert found["accelerator"] == accelerator.encode()
    without = stage_of(run, "embeddings").transform.worker_memory
    assert int(found["min_ram_bytes"]) == without + memory.MODEL_RUNTIME + 3 * 5000
    # One process of one thread for an accelerator, unless it is asked otherwise.
    asked = [f"--embedding_accelerator={accelerator}"]
    again = replace(with_model, transform=replace(with_model.transform))
    job = submit(again, run, service, *asked)
    assert job.options["number_of_worker_harness_threads"] == 1
    assert "no_use_multiple_sdk_containers" in job.request["environment"]["experiments"]
    again = replace(with_model, transform=replace(with_model.transform))
    job = submit(
        again,
        run,
        service,
        *asked,
        "--experiments=use_multiple_sdk_containers",
        "--number_of_worker_harness_threads=4",
    )
    assert job.options["number_of_worker_harness_threads"] == 4
    assert "no_use_multiple_sdk_containers" not in job.request["environment"]["experiments"]
    other = submit(stage_of(run, "02-semdedup/scores"), run, service, f"--embedding_accelerator={accelerator}")
    assert set(hints(other)) == {"min_ram_bytes"}
    assert "no_use_multiple_sdk_containers" not in other.request["environment"]["experiments"]


@pytest.mark.parametrize("option", ["--resource_hints=accelerator", "--dataflow_service_options=worker_accelerator"])
def test_one_process_has_an_accelerator_that_all_stages_get(run, service, with_model, option):
    job = submit(with_model, run, service, f"{option}=type:nvidia-l4;count:1")
    assert job.options["number_of_worker_harness_threads"] == 1
    assert "no_use_multiple_sdk_containers" in job.request["environment"]["experiments"]
    assert with_model.transform.accelerator
    other = submit(stage_of(run, "02-semdedup/scores"), run, service, f"{option}=type:nvidia-l4;count:1")
    assert "no_use_multiple_sdk_containers" not in other.request["environment"]["experiments"]


def test_the_larger_of_two_memory_hints_counts(run, service):
    stage = stage_of(run, "02-semdedup/scores")
    assert hints(submit(stage, run, service, "--resource_hints=min_ram=64GB")) == {"min_ram_bytes": b"64000000000"}
    stage = stage_of(run, "02-semdedup/scores")
    needed = b"%d" % stage.transform.worker_memory
    assert hints(submit(stage, run, service, "--resource_hints=min_ram=1MB")) == {"min_ram_bytes": needed}


@pytest.mark.parametrize(
    "option", ["--flexrs_goal=COST_OPTIMIZED", "--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1"]
)
def test_jobs_have_no_hints_where_dataflow_fits_no_machines_to_them(run, service, option):
    found = submit(stage_of(run, "02-semdedup/scores"), run, service, option)
    assert hints(found) == {}
    environment = found.request["environment"]
    assert ("flexResourceSchedulingGoal" in environment) == option.startswith("--flexrs")
    assert environment.get("serviceOptions", []) == ([] if "flexrs" in option else [option.partition("=")[2]])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--resource_hints=min_ram=8GB", "--flexrs_goal=COST_OPTIMIZED"], "--flexrs_goal=COST_OPTIMIZED exclude"),
        (["--embedding_accelerator=type:nvidia-l4;count:1", "--flexrs_goal=COST_OPTIMIZED"], "exclude each other"),
        (
            ["--embedding_accelerator=type:t;count:1", "--dataflow_service_options=worker_accelerator=type:t;count:1"],
            "exclude each other",
        ),
        (["--embedding_accelerator=nvidia-l4"], "not of the form type:"),
        (["--streaming"], "batch job"),
    ],
)
def test_options_that_contradict_one_another_are_refused(args, message, tmp_path):
    recipe = build_recipe(inputs=[str(tmp_path)], keep="0.5")
    check_resources(pipeline_options(ARGS, ""), recipe)
    with pytest.raises(ValueError, match=message):
        check_resources(pipeline_options([*ARGS, *args], ""), recipe)


def test_an_accelerator_for_a_recipe_that_runs_no_model_is_refused_before_any_job(run, service, capsys):
    before = len(service.requests)
    asked = ["--embedding_accelerator=type:nvidia-l4;count:1", f"--dataflow_endpoint={service.endpoint}"]
    assert main(["stage", "decisions", "--run", run.url, *ARGS, *asked]) == 2
    assert "runs no model" in capsys.readouterr().err
    assert len(service.requests) == before


# Templates ------------------------------------------------------------------------------------------------------
# The launcher of a template adds --template_location: the job is left there, and the service starts it.

LOCATION = "gs://bucket/template_launches/2026-11-21/job_object"
LAUNCHED = [*ARGS, f"--template_location={LOCATION}", "--job_name=asked-for", '--labels={"team": "data"}']


@dataclass(frozen=True)
class Unfinished(Stage):
    """A stage as it is before its job has run."""

    @property
    def finished(self) -> bool:
        return False


@pytest.fixture
def launch(run, inventory, service, monkeypatch) -> Callable[..., Submitted]:
    """Does what a launcher does for a stage; the run is finished, so the stage asked for is made to look as if it were
    not, with the units of a large corpus.
    """

    stages = Run.stages

    def launch(name: str, *args: str, as_it_is: bool = False) -> Submitted:
        def unfinished(self: Run) -> Any:
            for stage in stages(self):
                if stage.name == name and not as_it_is:
                    stage = Unfinished(stage.name, stage.artifacts, enlarged(stage.transform, inventory))
                yield stage

        monkeypatch.setattr(Run, "stages", unfinished)
        endpoint = f"--dataflow_endpoint={service.endpoint}"
        service.staged.clear()
        before = len(service.requests)
        assert template.main([f"--stage={name}", f"--run={run.url}", *LAUNCHED, endpoint, *args]) == 0
        assert len(service.requests) == before
        # One job and its graph: a launcher that leaves more than one job is not one that the service can follow.
        assert sorted(url.rsplit("/", 1)[1] for url in service.staged) == ["job_object", "pipeline.pb"]
        return service.prepared(LOCATION)

    return launch


@pytest.mark.parametrize("kind", TEMPLATES, ids=lambda kind: kind.name)
def test_a_launcher_leaves_one_small_job_and_waits_for_nothing(kind: Template, launch):
    job = launch(kind.example)
    assert job.request["name"] == "asked-for"
    assert len(job.graph) < 100_000 and len(json.dumps(job.request)) < 100_000
    transforms = job.proto.components.transforms.values()
    assert max(len(one.spec.payload) for one in transforms) < 20_000
    assert {one.spec.urn for one in leaves(job.proto)} <= URNS
    assert "NothingToDo" not in {one.unique_name for one in transforms}
    assert job.pool["workerHarnessContainerImage"] == ARGS[-1].partition("=")[2]
    assert set(job.request["environment"]["experiments"]) == BEAM_EXPERIMENTS
    assert (job.options["save_main_session"], job.options["streaming"]) == (False, False)


def test_the_embedding_template_takes_an_accelerator_and_others_leave_it(service, tmp_path):
    source = write_jsonl(tmp_path / "in", make_rows(20))
    given = [f"--run={tmp_path / 'run'}", f"--input={source}", "--recipe=prototypes", "--model=tests/data/bert"]
    assert template.main(["--stage=inventory", *given]) == 0
    assert template.main(["--stage=documents", given[0]]) == 0
    accelerator = "type:nvidia-l4;count:1;install-nvidia-driver"
    args = [given[0], *LAUNCHED, f"--dataflow_endpoint={service.endpoint}", f"--embedding_accelerator={accelerator}"]
    assert template.main(["--stage=embeddings", *args]) == 0
    assert hints(service.prepared(LOCATION))["accelerator"] == accelerator.encode()
    assert template.main(["--stage=documents", *args]) == 0
    assert hints(service.prepared(LOCATION)) == {}


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("documents", "documents: finished before"),
        ("02-embedded/scores", "02-embedded/scores: this run has no such stage"),
        ("02-semdedup/split-6/clusters", "02-semdedup/split-6/clusters: this run has no such stage"),
    ],
)
def test_a_launcher_with_nothing_to_do_leaves_a_job_of_one_element_that_says_so(launch, stage, reason, caplog):
    caplog.set_level("INFO", logger="sluice")
    job = launch(stage, as_it_is=True)
    assert "NothingToDo" in {one.unique_name for one in job.proto.components.transforms.values()}
    assert len(leaves(job.proto)) <= 4
    assert caplog.messages.count(f"nothing to do: {reason}") == 1  # the launcher's log; a worker's has it as well
    start_job(NothingToDo(reason), stage).wait_until_finish()
    assert caplog.messages.count(f"nothing to do: {reason}") == 2


def test_without_a_job_name_the_name_says_that_there_is_nothing_to_do(run, service):
    args = [arg for arg in LAUNCHED if not arg.startswith("--job_name")]
    endpoint = f"--dataflow_endpoint={service.endpoint}"
    assert template.main(["--stage=documents", f"--run={run.url}", endpoint, *args]) == 0
    assert service.prepared(LOCATION).request["name"].startswith("sluice-nothing-to-do-documents-")


def test_an_entry_without_a_launcher_waits_for_its_job_and_starts_none_for_a_finished_stage(run, service):
    before = len(service.requests)
    args = [f"--run={run.url}", *ARGS, f"--dataflow_endpoint={service.endpoint}"]
    for stage in ("documents", "02-embedded/scores", "corpus"):
        assert template.main([f"--stage={stage}", *args]) == 0
    assert len(service.requests) == before
    assert template.main(["--stage=report", *args]) == 0
    assert len(service.requests) == before + 1
    assert "MakeReport" in names(service.last)


def test_a_job_whose_workers_would_have_no_sluice_is_refused(run, service, capsys):
    before = len(service.requests)
    args = [arg for arg in LAUNCHED if not arg.startswith("--sdk_container_image")]
    assert template.main(["--stage=documents", f"--run={run.url}", *args]) == 2
    assert "--sdk_container_image" in capsys.readouterr().err
    assert len(service.requests) == before


def test_a_flag_that_only_the_launcher_knows_is_passed_over_and_a_misspelt_one_is_not(launch, run, capsys, caplog):
    launch("documents", "--brand_new_flag_of_the_service=1")
    assert "unknown option --brand_new_flag_of_the_service: passed over" in caplog.messages
    assert template.main(["--stage=documents", f"--run={run.url}", *LAUNCHED, "--machine_typ=n2-standard-4"]) == 2
    assert "did you mean --machine_type?" in capsys.readouterr().err
    assert template.main(["--stage=documents", f"--run={run.url}", "--brand_new_flag_of_the_service=1"]) == 2
