"""Dataflow's request: what launches a stage's template, and on which machines."""

import hashlib
import re
from typing import Any

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
            "containerSpecGcsPath": f"{template_folder(stage, params)}/sluice-{template}.json",
            "parameters": parameters,
            "environment": environment(stage, params),
        }
    }


def template_folder(stage: str, params: Any) -> str:
    """The folder of the image's templates; a stage on an accelerator needs the image that has its libraries."""
    if stage == "embeddings" and params["embedding_accelerator"]:
        return params["accelerator_templates"] or f"{params['templates']}-gpu"
    return params["templates"]


def job_name(stage: str, context: Any) -> str:
    """Unique for each try of each run, and the same if Airflow asks twice: Dataflow then refuses the second."""
    ti = context["ti"]
    digest = hashlib.blake2b(f"{ti.dag_id} {ti.run_id}".encode(), digest_size=5).hexdigest()
    return f"sluice-{re.sub('[^a-z0-9]+', '-', stage)[:40]}-{digest}-{ti.try_number}"


def environment(stage: str, params: Any) -> dict[str, Any]:
    """The machines of a stage, as docs/launch/dataflow.md advises; which image they run, the template says."""
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
