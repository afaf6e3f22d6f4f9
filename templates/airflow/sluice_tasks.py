"""Tasks for the stages: processes of Beam's runners, or jobs on Dataflow."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.sdk import Asset, AssetAlias, chain, conf, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from sluice_common import is_needed, setting
from sluice_launch import launch_body
from sluice_params import Arguments

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


def of_stage(stage: str, arguments: dict[str, str]) -> dict[str, str]:
    """Only the inventory needs to be told what the curation is; it writes recipe.yaml."""
    return arguments if stage == "inventory" else {"run": arguments["run"]}


def skip_unless_needed(stage: str, arguments: Arguments) -> Callable[[Any], None]:
    """A task's pre_execute: a stage that this run does not have is skipped without starting a job for it.

    To start one would do no harm: the job finds that there is nothing to do.
    """

    def check(context: Any) -> None:
        if not is_needed(stage, arguments(context)["run"]):
            raise AirflowSkipException(f"this run needs no stage {stage}")

    return check
