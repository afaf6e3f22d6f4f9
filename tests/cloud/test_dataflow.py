"""Stages submitted to Dataflow from a run directory in a bucket, staged there by Beam's own client.

The service is a stand-in: it fetches each job's graph from the bucket and runs it here, as its workers would.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from sluice.pipelines.main import main
from sluice.transforms import committing, storage
from tests.pipelines.corpora import decisions, make_rows, run_d4, write_jsonl
from tests.pipelines.dataflow_service import Service, dataflow_service


class Jobs(list):
    """The jobs that were asked for; each is done as it comes, from what was staged for it."""

    def append(self, request: dict[str, Any]) -> None:
        super().append(request)
        options = request["environment"]["sdkPipelineOptions"]["options"]
        graph = beam_runner_api_pb2.Pipeline.FromString(storage.read_bytes(options["pipelineUrl"]))
        for environment in graph.components.environments.values():
            environment.urn, environment.payload = "beam:env:embedded_python:v1", b""
            del environment.dependencies[:]
        FnApiRunner().run_via_runner_api(graph, PipelineOptions([])).wait_until_finish()


@pytest.fixture
def service(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    from apache_beam.internal.gcp import auth

    # Without it Beam looks for credentials on the network for half a minute, finds none and goes on.
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    own = DataflowApplicationClient.stage_file
    with dataflow_service() as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataflowApplicationClient, "stage_file", own)
        found.requests = Jobs()
        yield found


def test_a_run_in_a_bucket_is_done_by_jobs_that_are_staged_there(service, bucket, place, store, tmp_path):
    source = write_jsonl(tmp_path / "in", make_rows(60), files=2)
    root = place()
    for name in ("shard-0.jsonl", "shard-1.jsonl"):
        committing.replace_bytes(f"{root}/in/{name}", storage.read_bytes(f"{source}/{name}"))
    dataflow = [
        "--runner=DataflowRunner",
        "--project=a-project",
        "--region=europe-west1",
        "--no_auth",
        f"--temp_location={root}/temporary",
        "--sdk_container_image=europe-docker.pkg.dev/a-project/images/sluice:1",
        f"--dataflow_endpoint={service.endpoint}",
    ]
    recipe = ["--recipe=semdedup", "--id=id", "--text=none", "--vector=embedding", "--threshold=0.9", "--clusters=4"]
    run = ["--run", f"{root}/run"]
    assert main(["curate", "--input", f"{root}/in/*.jsonl", *run, *recipe, "--prepare"]) == 0
    assert main(["stage", "inventory", *run, *dataflow]) == 0
    assert main(["stage", "documents", *run, *dataflow]) == 0
    assert main(["curate", "--input", f"{root}/in/*.jsonl", *run, *recipe, *dataflow]) == 0
    assert len(service.requests) == 10
    staged = [file.path for file in storage.list_files(f"{root}/temporary")]
    assert sum(path.endswith("pipeline.pb") for path in staged) == 10
    run_d4(
        source, tmp_path / "run", recipe="semdedup", text="none", threshold="0.9", clusters="4", keep=None, tokens=None
    )
    assert decisions(f"{root}/run").equals(decisions(tmp_path / "run"))
