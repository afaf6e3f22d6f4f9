"""Drives the DAGs inside Airflow's own environment: python drive.py OUTPUT, with {command: argument} as JSON on stdin.

Nothing of Sluice is installed there. What only Google's service could answer is answered by FakeDataflow.
"""

import contextlib
import copy
import functools
import json
import os
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]


def refuse_network(*address: Any) -> None:
    raise AssertionError(f"a DAG file reads the network while it is parsed: {address[1:]}")


@functools.cache
def load() -> Any:
    """The DAGs, as Airflow's own processor loads them, with no network."""
    import airflow.providers_manager
    from airflow.dag_processing.dagbag import BundleDagBag

    airflow.providers_manager.ProvidersManager().initialize_providers_hooks()
    with mock.patch.object(socket.socket, "connect", refuse_network):
        return BundleDagBag(dag_folder=DAGS, bundle_path=Path(DAGS), bundle_name="dags-folder")


def describe(_: Any) -> dict[str, Any]:
    bag = load()
    import sluice_params

    found: dict[str, Any] = {"import_errors": bag.import_errors, "dags": {}, "options": _options(sluice_params)}
    if "sluice_daily" in bag.dags:
        import sluice_daily

        found["daily_steps"] = sluice_daily.steps("/base", [], 0.95)
    for name, dag in bag.dags.items():
        found["dags"][name] = {
            "tasks": [task.task_id for task in dag.topological_sort()],
            "upstream": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
            "kinds": {task.task_id: type(task).__name__ for task in dag.tasks},
            "retries": sorted({task.retries for task in dag.tasks}),
            "outlets": {task.task_id: [one.name for one in task.outlets] for task in dag.tasks if task.outlets},
            "deferrable": sorted({task.deferrable for task in dag.tasks if hasattr(task, "deferrable")}),
            "schedule": type(dag.timetable).__name__,
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "params": list(dag.params),
        }
    return found


def _options(params: Any) -> list[str]:
    return ["input", *params.OPTIONS, *params.MORE_OPTIONS]


def validate(cases: list[Any]) -> list[str | None]:
    """[[dag, conf], ...] -> for each what Airflow says against the parameters, or null."""
    bag = load()
    answers: list[str | None] = []
    for name, conf in cases:
        params = copy.deepcopy(bag.dags[name].params)
        try:
            params.update(conf)
            params.validate()
            answers.append(None)
        except Exception as error:
            answers.append(f"{type(error).__name__}: {error}")
    return answers


def render(cases: list[Any]) -> list[dict[str, Any]]:
    """[[dag, conf, planned], ...] -> for each {task: its rendered template fields}."""
    bag = load()
    found = []
    for name, conf, planned in cases:
        dag = bag.dags[name]
        params = copy.deepcopy(dag.params)
        params.update(conf)
        ti = SimpleNamespace(
            dag_id=name, run_id="manual__1", try_number=1, xcom_pull=lambda planned=planned, **_: planned
        )
        context = {"params": params.validate(), "ti": ti}
        rendered = {}
        for task in dag.tasks:
            if task.task_id not in ("plan", "publish"):
                task = copy.copy(task)
                task.render_template_fields(context)
                rendered[task.task_id] = {field: getattr(task, field) for field in task.template_fields}
        found.append(rendered)
    return found


def needed(arguments: dict[str, Any]) -> dict[str, bool]:
    """{run, stages} -> which of the stages the run needs, by its manifests."""
    load()
    import sluice_common

    return {stage: sluice_common.is_needed(stage, arguments["run"]) for stage in arguments["stages"]}


# Runs -----------------------------------------------------------------------------------------------------------


def run(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """[{dag, conf, date, fail, storage}, ...] -> for each its state, its tasks' states and tries, launches and assets.

    fail: {stage: how many of its jobs fail}; storage: the folder that stands for gs://; both only of Dataflow.
    """
    from airflow.models import DagRun
    from airflow.settings import Session

    bag = load()
    found = []
    for wanted in runs:
        dag = bag.dags[wanted["dag"]]
        for task in dag.tasks:
            task.retry_delay = timedelta(0)
        date = datetime.fromisoformat(wanted["date"]).replace(tzinfo=UTC)
        fake = FakeDataflow(wanted.get("fail", {}), wanted.get("storage"))
        # What follows a failure is marked one task a round, with a second of rest in each.
        rest = mock.patch("time.sleep", lambda _, sleep=time.sleep: sleep(0.01))
        with fake.patched(), read_once(), rest:
            ended: DagRun = dag.test(logical_date=date, run_conf=wanted["conf"])
        session = Session()
        instances = ended.get_task_instances(session=session)
        found.append(
            {
                "state": str(ended.state),
                "tasks": {one.task_id: str(one.state) for one in instances},
                "tries": {one.task_id: one.try_number for one in instances},
                "launches": fake.launches,
                "assets": _assets(session, ended),
            }
        )
        session.close()
    return found


_written: set[str] = set()


@contextlib.contextmanager
def read_once() -> Any:
    """Airflow reads all DAGs and writes them into its database before each run; in one process they stay the same."""
    from airflow.dag_processing import dagbag

    write = dagbag.sync_bag_to_db

    def write_once(bag: Any, bundle: str, version: Any) -> None:
        if bundle not in _written:
            write(bag, bundle, version)
            _written.add(bundle)

    with (
        mock.patch.object(dagbag, "BundleDagBag", lambda **_: load()),
        mock.patch.object(dagbag, "sync_bag_to_db", write_once),
    ):
        yield


def _assets(session: Any, ended: Any) -> list[dict[str, Any]]:
    from airflow.models.asset import AssetEvent

    events = session.query(AssetEvent).filter_by(source_dag_id=ended.dag_id, source_run_id=ended.run_id)
    return [
        {"uri": event.uri, "extra": event.extra, "aliases": [a.name for a in event.source_aliases]} for event in events
    ]


class FakeDataflow:
    """Answers the hook as Google's service does: a job is queued, runs, and is done or has failed."""

    STATES = ("JOB_STATE_QUEUED", "JOB_STATE_RUNNING")

    def __init__(self, fail: dict[str, int], storage: str | None):
        self.fail, self.storage = dict(fail), storage
        self.launches: list[dict[str, Any]] = []
        self.jobs: dict[str, dict[str, Any]] = {}

    def launch(self, *, projectId: str, location: str, body: dict[str, Any]) -> dict[str, Any]:
        told = body["launchParameter"]
        active = {job["name"] for job in self.jobs.values() if not job["ended"]}
        if told["jobName"] in active:
            raise RuntimeError(f"409: there is an active job of the name {told['jobName']}")
        stage = told["parameters"]["stage"]
        failing = self.fail.get(stage, 0) > 0
        self.fail[stage] = self.fail.get(stage, 0) - 1
        job = {"id": f"job-{len(self.jobs)}", "name": told["jobName"], "projectId": projectId, "location": location}
        self.jobs[job["id"]] = {**job, "failing": failing, "asked": 0, "ended": False}
        self.launches.append({"project": projectId, "location": location, "body": copy.deepcopy(body)})
        return {"job": {**job, "currentState": "JOB_STATE_QUEUED"}}

    def get(self, *, jobId: str, **_: Any) -> dict[str, Any]:
        job = self.jobs[jobId]
        asked, job["asked"] = job["asked"], job["asked"] + 1
        state = self.STATES[asked] if asked < len(self.STATES) else "JOB_STATE_DONE"
        if job["failing"] and state == "JOB_STATE_DONE":
            state = "JOB_STATE_FAILED"
        job["ended"] = asked >= len(self.STATES)
        return {"id": jobId, "name": job["name"], "currentState": state, "type": "JOB_TYPE_BATCH"}

    @contextlib.contextmanager
    def patched(self) -> Any:
        """The service's answers, and a folder in the place of gs://."""
        if self.storage is None:
            yield
            return
        import sluice_common
        from airflow.providers.google.cloud.hooks import dataflow
        from airflow.sdk import ObjectStoragePath
        from google.cloud.dataflow_v1beta3 import JobState

        flex = SimpleNamespace(launch=lambda **told: _Request(lambda: self.launch(**told)))
        jobs = SimpleNamespace(get=lambda **told: _Request(lambda: self.get(**told)))
        locations = SimpleNamespace(flexTemplates=lambda: flex, jobs=lambda: jobs)
        service = SimpleNamespace(projects=lambda: SimpleNamespace(locations=lambda: locations))

        async def job_status(hook: Any, *, job_id: str, **_: Any) -> Any:
            return JobState[self.get(jobId=job_id)["currentState"]]

        def local(url: str, **_: Any) -> Any:
            return ObjectStoragePath(f"file://{self.storage}/{url.removeprefix('gs://')}")

        with (
            mock.patch.object(dataflow.DataflowHook, "get_conn", lambda hook: service),
            mock.patch.object(dataflow.AsyncDataflowHook, "get_job_status", job_status),
            mock.patch.object(sluice_common, "ObjectStoragePath", local),
        ):
            yield


class _Request:
    def __init__(self, answer: Any):
        self.answer = answer

    def execute(self, num_retries: int = 0) -> Any:
        return self.answer()


COMMANDS = {"describe": describe, "validate": validate, "render": render, "needed": needed, "run": run}

if __name__ == "__main__":
    answers = {command: COMMANDS[command](argument) for command, argument in json.load(sys.stdin).items()}
    Path(sys.argv[1]).write_text(json.dumps(answers, default=str), encoding="utf-8")
