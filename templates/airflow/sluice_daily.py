"""sluice_daily: every day's documents against all that was kept before, each day in a run directory of its own.

A day's recipe is in `steps`: copies within the day go, then what resembles a document that `base` (a finished run over
the corpus so far, with a step over clusters) or an earlier day kept, then near-duplicates within the day. Days go one
after another, and a day refuses to start while the one before it has failed. It is scheduled once `[sluice]
daily_input`, `daily_runs` and `daily_base` are set (docs/launch/airflow.md).
"""

import json
import re
from datetime import datetime
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, conf, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from sluice_common import setting, stages_of, storage_path
from sluice_params import ANYWHERE, ON_GCS, beam_params, dataflow_params, field_params, given, named_options
from sluice_tasks import DEFAULTS, beam_stage, chain_stages, dataflow_stage


def steps(base: str, days: list[str], threshold: float) -> list[dict[str, Any]]:
    """A day's steps; whoever changes them changes STAGES too."""
    return [
        {"step": "exact"},
        {"step": "reference", "runs": [base, *days], "cut": {"threshold": threshold}},
        {"step": "semdedup", "cut": {"threshold": threshold}},
    ]


STAGES = stages_of("exact", "reference", "semdedup")
ON_DATAFLOW = setting("daily_on", "beam") == "dataflow"
PLACE = ON_GCS if ON_DATAFLOW else ANYWHERE
SCHEDULED = all(setting(name) for name in ("daily_input", "daily_runs", "daily_base"))


def finished_days(runs: str) -> list[str]:
    """The days whose runs are finished, oldest first."""
    folder = storage_path(runs)
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    days = [name for name in names if re.fullmatch(r"\d{4}-\d\d-\d\d", name)]
    return [day for day in days if storage_path(f"{runs}/{day}/report.json").exists()]


def days_before(runs: str, day: str) -> list[str]:
    """The runs that a day is compared with. Raises for a first run of a day that later days were not compared with."""
    finished = finished_days(runs)
    later = [one for one in finished if one > day]
    if later and day not in finished:
        raise AirflowFailException(
            f"{later[0]} is finished and was not compared with {day}: remove the run directories of the days after it, "
            "and clear them with it"
        )
    return [f"{runs}/{one}" for one in finished if one < day]


def check_day_before(ti: Any) -> None:
    """Raises while the run before this one is not done.

    depends_on_past would wait instead, for the same task only, and hold the one place among active runs: the day that
    failed could not be cleared.
    """
    before = ti.get_previous_dagrun()
    if before is None or before.state == "success":
        return
    if before.state == "failed":
        raise AirflowFailException(f"{before.run_id} failed: clear it first, then this run")
    raise AirflowException(f"{before.run_id} is {before.state}")


@task(task_id="plan")
def plan(**context: Any) -> dict[str, str]:
    """Writes the day's recipe; returns what its inventory stage is told."""
    # Of a scheduled run it is the start of its interval, of one that is triggered by hand what was asked for.
    params, start = context["params"], context.get("logical_date")
    if start is None:
        raise AirflowFailException("a day is told by the logical date: trigger with --logical-date")
    check_day_before(context["ti"])
    day = start.strftime("%Y-%m-%d")
    run = f"{params['runs']}/{day}"
    listed = steps(params["base"], days_before(params["runs"], day), params["duplicate_threshold"])
    folder = storage_path(run)
    folder.mkdir(parents=True, exist_ok=True)
    request = f"{run}/request.yaml"
    # JSON is YAML.
    storage_path(request).write_text(json.dumps({"name": "daily", "steps": listed}, indent=1))
    return {"run": run, "recipe": request, "input": start.strftime(params["input"]), **named_options(params)}


def planned(context: Any) -> dict[str, str]:
    return context["ti"].xcom_pull(task_ids="plan")


with DAG(
    "sluice_daily",
    description="Each day's documents against all that was kept before",
    # Runs for the day that is over, at midnight after it.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC") if SCHEDULED else None,
    start_date=datetime.fromisoformat(setting("daily_start", "2026-01-01T00:00:00+00:00")),
    catchup=conf.getboolean("sluice", "daily_catchup", fallback=False),
    max_active_runs=1,
    params={
        "input": given(
            "string", "daily_input", "a day's documents, with %Y, %m and %d", pattern=f"^{PLACE}(,{PLACE})*$"
        ),
        "runs": given("string", "daily_runs", "folder of the days' run directories", pattern=f"^{PLACE}$"),
        "base": given("string", "daily_base", "finished run over the corpus so far", pattern=f"^{PLACE}$"),
        "duplicate_threshold": Param(0.95, type="number", minimum=-1, maximum=1, description="more similar ones go"),
        **field_params(),
        **(dataflow_params() if ON_DATAFLOW else beam_params()),
    },
    default_args=DEFAULTS,
    doc_md=__doc__,
    tags=["sluice", "daily"],
) as dag:
    first = chain_stages(STAGES, dataflow_stage if ON_DATAFLOW else beam_stage, planned, dag.dag_id)
    plan() >> first
