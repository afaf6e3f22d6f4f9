"""What Sluice's DAGs share: settings, the stages of each recipe, parameters, and a task for a stage.

Airflow's environment has neither Sluice nor its libraries: nothing here imports it, and nothing here reads the network
when Airflow reads the file. Settings are in the section [sluice] of airflow.cfg, or AIRFLOW__SLUICE__NAME.
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.sdk import Asset, AssetAlias, ObjectStoragePath, Param, chain, conf, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

Arguments = Callable[[Any], dict[str, str]]


def setting(name: str, default: str | None = None) -> str | None:
    return conf.get("sluice", name, fallback=default)


# Stages ---------------------------------------------------------------------------------------------------------
# What `sluice recipes --stages NAME` prints; tests compare the two.

SPLITS = 2
STAGES_OF_STEP = {
    "exact": ("copies", "scores", "keep"),
    "embedded": ("scores", "keep"),
    "semdedup": (
        *("copies", "centroids", "clusters"),
        *(f"split-{number}/{part}" for number in range(1, SPLITS + 1) for part in ("centroids", "clusters")),
        *("scores", "keep"),
    ),
    "prototypes": ("centroids", "clusters", "scores", "keep"),
    "density": ("centroids", "clusters", "scores", "keep"),
    "scip": ("centroids", "clusters", "scores", "keep"),
    "quality": ("weights", "scores", "keep"),
    "random": ("scores", "keep"),
    "reference": ("centroids", "run-1/clusters", "clusters", "scores", "keep"),
}
WITHOUT_VECTORS = {"exact", "quality", "random"}
PRESETS = {
    "d4": ("exact", "semdedup", "prototypes"),
    "semdedup": ("exact", "semdedup"),
    "density": ("exact", "semdedup", "density"),
    "code": ("exact", "scip"),
    "quality": ("exact", "quality"),
    "prototypes": ("prototypes",),
    "random": ("random",),
}


def stages_of(*steps: str) -> list[str]:
    """The stages of a recipe of these steps, in order."""
    stages = ["inventory", "documents"]
    embedded = False
    for number, step in enumerate(steps, start=1):
        if step not in WITHOUT_VECTORS and not embedded:
            embedded = True
            stages += ["embeddings", *(f"{number:02d}-embedded/{part}" for part in STAGES_OF_STEP["embedded"])]
        stages += [f"{number:02d}-{step}/{part}" for part in STAGES_OF_STEP[step]]
    return [*stages, "decisions", "corpus", "report"]


def recipes() -> dict[str, dict[str, Any]]:
    """{name: {recipe, stages}}: the presets, and your own from the file that the setting `recipes` names."""
    found = {name: {"recipe": name, "stages": stages_of(*steps)} for name, steps in PRESETS.items()}
    own = setting("recipes")
    return found | (json.loads(Path(own).read_text(encoding="utf-8")) if own else {})


# Parameters -----------------------------------------------------------------------------------------------------

# What has a parameter of its own comes first, the rest goes into `options`.
OPTIONS = ("id", "text", "vector", "tokens", "model", "keep", "keep_tokens", "threshold")
MORE_OPTIONS = (
    *("format", "source", "max_document_bytes", "max_reject_share", "unreadable", "unit_bytes"),
    *("max_tokens", "long_documents", "pooling", "dtype", "prompt", "prompt_name", "convention", "dimensions"),
    *("layers", "eps", "clusters", "trainer_bytes", "centroids", "order", "rule", "direction", "scope"),
    *("assignment", "seed"),
)
ANYWHERE = r"(/|[a-z][a-z0-9+.-]*://)[^,]*[^,/]"
ON_GCS = r"gs://[a-z0-9][a-z0-9._-]+/[^,]*[^,/]"


def optional(kind: str, description: str, default: Any = None, **rules: Any) -> Param:
    return Param(default, type=["null", kind], description=description, **rules)


def input_param(place: str) -> Param:
    return Param(
        type="string",
        pattern=f"^{place}(,{place})*$",
        description="files, folders or globs, separated by commas: absolute paths or URLs",
    )


def curation_params(place: str) -> dict[str, Param]:
    """The parameters of a curation whose input and run are at such places."""
    return {
        "input": input_param(place),
        "run": Param(type="string", pattern=f"^{place}$", description="run directory: a new one, or one to go on with"),
        **field_params(),
        "keep": optional("number", "share of the valid documents to keep", exclusiveMinimum=0, maximum=1),
        "keep_tokens": optional(
            "string", "tokens to keep at most, as 10B or 250M", pattern=r"^\d+(\.\d+)?\s*[KMBTkmbt]?$"
        ),
        "threshold": optional("number", "semdedup: more similar documents go", minimum=-1, maximum=1),
    }


def field_params() -> dict[str, Param]:
    """How records are read and embedded."""
    return {
        "id": optional("string", "field of the identity", minLength=1),
        "text": optional("string", "field of the text (default: text)", pattern="^(?!none$).+$"),
        "vector": optional("string", "field of ready-made embeddings; no model is run", minLength=1),
        "tokens": optional("string", "how tokens are counted: model, none, column:NAME or a tokenizer.json"),
        "model": optional("string", "Hugging Face model: a directory, a URL of one, or organisation/name"),
        "options": Param(
            {},
            type="object",
            propertyNames={"enum": list(MORE_OPTIONS)},
            additionalProperties={"type": "string"},
            description="further options of `sluice curate`, in snake_case, values as strings",
        ),
    }


def beam_params() -> dict[str, Param]:
    return {
        "runner": Param(
            "FnApiRunner",
            enum=["FnApiRunner", "FlinkRunner", "PortableRunner", "PrismRunner"],
            description="Beam's runner",
        ),
        "beam_options": Param(
            {},
            type="object",
            propertyNames={"pattern": "^[a-z][a-z0-9_]*$"},
            additionalProperties={"type": ["string", "number", "boolean"]},
            description='options of the runner, as {"flink_master": "host:8081", "parallelism": 8}',
        ),
    }


def dataflow_params() -> dict[str, Param]:
    machine = r"^[a-z][a-z0-9]*-[a-z0-9-]+$"
    return {
        "project": given("string", "project", "Google Cloud project", pattern="^[a-z][a-z0-9.:-]{4,}[a-z0-9]$"),
        "region": given("string", "region", "of the jobs", pattern=r"^[a-z]+-[a-z]+\d+$"),
        "templates": given("string", "templates", "folder with the templates' files", pattern=f"^{ON_GCS}$"),
        "temp_location": given("string", "temp_location", "folder for temporary files", pattern=f"^{ON_GCS}$"),
        "service_account": optional("string", "of the workers", setting("service_account"), pattern="^[^@]+@[^@]+$"),
        "subnetwork": optional(
            "string", "regions/REGION/subnetworks/NAME; workers then have no public address", setting("subnetwork")
        ),
        "max_workers": Param(100, type="integer", minimum=1, maximum=4000, description="of documents and corpus"),
        "machine_type": Param("n2-standard-4", type="string", pattern=machine),
        "embeddings_machine_type": Param("c3-standard-8", type="string", pattern=machine),
        "centroids_machine_type": Param("n2-highmem-16", type="string", pattern=machine),
        "clusters_machine_type": Param("c3-standard-8", type="string", pattern=machine),
        "embedding_accelerator": optional(
            "string",
            "as type:nvidia-l4;count:1;install-nvidia-driver, with a machine type that takes it",
            pattern=r"^type:[\w-]+(;[\w-]+(:[\w.-]+)?)*$",
        ),
        "flexrs": Param(False, type="boolean", description="FlexRS for documents and corpus: cheaper, hours later"),
    }


def given(kind: str, name: str, description: str, **rules: Any) -> Param:
    """A parameter whose default is a setting; required where the setting is not there."""
    default = setting(name)
    values = {} if default is None else {"default": default}
    return Param(**values, type=kind, description=description, **rules)


def curation(recipe: str) -> Arguments:
    """What the inventory stage is told: the recipe, and every parameter that was given."""

    def arguments(context: Any) -> dict[str, str]:
        params = context["params"]
        return {"run": params["run"], "recipe": recipe, "input": params["input"], **named_options(params)}

    return arguments


def named_options(params: Any) -> dict[str, str]:
    """The options that were given, as strings."""
    return {name: str(params[name]) for name in OPTIONS if params.get(name) is not None} | params["options"]


def of_stage(stage: str, arguments: dict[str, str]) -> dict[str, str]:
    """Only the inventory needs to be told what the curation is; it writes recipe.yaml."""
    return arguments if stage == "inventory" else {"run": arguments["run"]}


# Tasks ----------------------------------------------------------------------------------------------------------

# Every retry is safe: finished stages are skipped, and inside a stage finished units. A deferred task whose job was
# cancelled by hand would wait for ever without a limit.
DEFAULTS = {"retries": 2, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(days=2)}


class BeamStage(BeamRunPythonPipelineOperator):
    """A stage by templates/stage.py. What was asked for wrongly (exit code 2) is not tried again."""

    def execute(self, context: Any) -> Any:
        try:
            return super().execute(context)
        except AirflowException as error:
            if str(error).endswith("return code 2"):
                raise AirflowFailException("Sluice cannot do what it was asked for: the log says why") from error
            raise


def beam_stage(stage: str, arguments: Arguments) -> BeamStage:
    """The stage as a process of the interpreter that has Sluice."""

    def options(context: Any, jinja_env: Any) -> dict[str, Any]:
        return {"stage": stage, **of_stage(stage, arguments(context)), **context["params"]["beam_options"]}

    return BeamStage(
        task_id=stage.replace("/", "."),
        py_file=setting("stage_file", str(Path(__file__).resolve().parents[1] / "stage.py")),
        py_interpreter=setting("python", "python3"),
        runner="{{ params.runner }}",
        pipeline_options=options,
        # Deferred, the pipeline would run inside the triggerer.
        deferrable=False,
        pre_execute=skip_unless_needed(stage, arguments),
        trigger_rule="none_failed",
    )


def dataflow_stage(stage: str, arguments: Arguments) -> DataflowStartFlexTemplateOperator:
    """The stage as a job from its template, waited for."""
    deferrable = conf.getboolean("sluice", "deferrable", fallback=False)

    def body(context: Any, jinja_env: Any) -> dict[str, Any]:
        return launch_body(stage, of_stage(stage, arguments(context)), context)

    return DataflowStartFlexTemplateOperator(
        task_id=stage.replace("/", "."),
        body=body,
        location="{{ params.region }}",
        project_id="{{ params.project }}",
        gcp_conn_id=setting("gcp_conn_id", "google_cloud_default"),
        deferrable=deferrable,
        wait_until_finished=None if deferrable else True,
        # The name tells tries apart already.
        append_job_name=False,
        poll_sleep=conf.getint("sluice", "poll_sleep", fallback=30),
        pre_execute=skip_unless_needed(stage, arguments),
        trigger_rule="none_failed",
    )


def chain_stages(stages: list[str], make: Callable[[str, Arguments], Any], arguments: Arguments, dag_id: str) -> Any:
    """One task for each stage in order, then an event for the corpus; returns the first task. Call it in a DAG."""

    @task(task_id="publish", outlets=[AssetAlias(dag_id)], trigger_rule="none_failed")
    def publish(**context: Any) -> str:
        told = arguments(context)
        corpus = f"{told['run']}/corpus"
        asset = Asset(corpus if "://" in corpus else f"file://{corpus}")
        context["outlet_events"][AssetAlias(dag_id)].add(asset, extra={"run": told["run"], "recipe": told["recipe"]})
        return corpus

    tasks = [make(stage, arguments) for stage in stages]
    chain(*tasks, publish())
    return tasks[0]


# Stages that only the data decide about --------------------------------------------------------------------------


def storage_path(url: str) -> ObjectStoragePath:
    """A file or folder; only tasks may look into it."""
    connection = setting("gcp_conn_id", "google_cloud_default") if url.startswith("gs://") else None
    return ObjectStoragePath(url if "://" in url else f"file://{url}", conn_id=connection)


def skip_unless_needed(stage: str, arguments: Arguments) -> Callable[[Any], None]:
    """A task's pre_execute: a stage that this run does not have is skipped without starting a job for it.

    To start one would do no harm: the job finds that there is nothing to do.
    """

    def check(context: Any) -> None:
        if not is_needed(stage, arguments(context)["run"]):
            raise AirflowSkipException(f"this run needs no stage {stage}")

    return check


def is_needed(stage: str, run: str) -> bool:
    """Whether a run whose earlier stages are finished has documents without a vector, or clusters to split."""
    step, _, rest = stage.partition("/")
    if step.endswith("-embedded"):
        return bool(_totals(f"{run}/embeddings").get("without_vector"))
    split = re.match(r"split-(\d+)/", rest)
    if split is None:
        return True
    options = yaml.safe_load(storage_path(f"{run}/recipe.yaml").read_text())["steps"][int(step[:2]) - 1]
    folder = f"{run}/steps/{step}"
    for number in range(int(split[1])):
        before = folder if number == 0 else f"{folder}/split-{number}"
        # A vector of int16, and 20 bytes about its document.
        record = 2 * _totals(f"{folder}/centroids")["dimension"] + 20
        if _totals(f"{before}/clusters")["largest_representatives"] <= max(options["bin_bytes"] // record, 1):
            return False
    return True


def _totals(artifact: str) -> dict[str, Any]:
    return json.loads(storage_path(f"{artifact}/manifest.json").read_text())["totals"]


# Dataflow's request ----------------------------------------------------------------------------------------------

TEMPLATES = ("inventory", "documents", "embeddings", "decisions", "corpus", "report")
# Short stages: what they take is the start of workers.
FEW_WORKERS = 20
# FlexRS fits no machines to hints, so only stages that have none, and only those that are long enough to wait for.
FLEXRS = ("documents", "corpus")


def launch_body(stage: str, parameters: dict[str, str], context: Any) -> dict[str, Any]:
    """The request that launches a stage's template: projects.locations.flexTemplates.launch."""
    params = context["params"]
    parameters = {"stage": stage, **parameters}
    if stage == "embeddings" and params["embedding_accelerator"]:
        parameters["embedding_accelerator"] = params["embedding_accelerator"]
    template = stage if stage in TEMPLATES else "step"
    return {
        "launchParameter": {
            "jobName": job_name(stage, context),
            "containerSpecGcsPath": f"{params['templates']}/sluice-{template}.json",
            "parameters": parameters,
            "environment": environment(stage, params),
        }
    }


def job_name(stage: str, context: Any) -> str:
    """Unique for each try of each run, and the same if Airflow asks twice: Dataflow then refuses the second."""
    ti = context["ti"]
    digest = hashlib.blake2b(f"{ti.dag_id} {ti.run_id}".encode(), digest_size=5).hexdigest()
    return f"sluice-{re.sub('[^a-z0-9]+', '-', stage)[:40]}-{digest}-{ti.try_number}"


def environment(stage: str, params: Any) -> dict[str, Any]:
    """The machines of a stage, as docs/dataflow.md advises."""
    part = stage.rsplit("/", 1)[-1]
    wide = stage in ("documents", "embeddings", "corpus") or part == "clusters" or "-semdedup/scores" in stage
    found: dict[str, Any] = {
        "tempLocation": params["temp_location"],
        "maxWorkers": params["max_workers"] if wide else min(params["max_workers"], FEW_WORKERS),
        "machineType": params["machine_type"],
    }
    if part in ("embeddings", "centroids", "clusters"):
        found["machineType"] = params[f"{part}_machine_type"]
    if part == "centroids" or (stage == "embeddings" and params["embedding_accelerator"]):
        # One process a machine: one trains with all cores, or holds the device.
        found["additionalExperiments"] = ["no_use_multiple_sdk_containers"]
    if params["service_account"]:
        found["serviceAccountEmail"] = params["service_account"]
    if params["subnetwork"]:
        found |= {"subnetwork": params["subnetwork"], "ipConfiguration": "WORKER_IP_PRIVATE"}
    if params["flexrs"] and stage in FLEXRS:
        found["flexrsGoal"] = "FLEXRS_COST_OPTIMIZED"
    return found
