"""Stages submitted to Dataflow from a run directory in a bucket, staged there by Beam's own client.

The service is a stand-in: it fetches each job's graph from the bucket and runs it here, as its workers would.
"""

import gc
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from sluice.pipelines.main import main
from sluice.transforms import storage
from sluice.transforms.storage import committing, listing
from tests.cloud.proxy import DROP, LOSE, REFUSE, Proxy
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


def dataflow(service: Service, root: str) -> list[str]:
    """Beam's options for jobs that are staged below `root`."""
    return [
        "--runner=DataflowRunner",
        "--project=a-project",
        "--region=europe-west1",
        "--no_auth",
        f"--temp_location={root}/temporary",
        "--sdk_container_image=europe-docker.pkg.dev/a-project/images/sluice:1",
        f"--dataflow_endpoint={service.endpoint}",
    ]


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


class PatientClock:
    """Time that passes only while somebody waits."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def command(
    service: Service, store: Proxy, place: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """The first stage of a run in a bucket, to be done on Dataflow; nobody waits between tries."""
    from apache_beam.utils import retry
    from google.api_core.retry import retry_base, retry_unary

    clock = PatientClock()
    monkeypatch.setattr(retry.Clock, "sleep", lambda self, seconds: clock.sleep(seconds))
    for module in (retry_base, retry_unary):
        monkeypatch.setattr(module, "time", clock)
    source, root = write_jsonl(tmp_path / "in", make_rows(4)), place()
    run = ["--run", f"{root}/run"]
    assert main(["curate", "--input", source, "--id=id", *run, "--recipe=random", "--keep=0.5", "--prepare"]) == 0
    yield ["stage", "inventory", *run, *dataflow(service, root)]
    store.reset()
    # Uploads that were given up are tried once more as they are collected.
    gc.collect()


def folder_of(command: list[str]) -> str:
    """Where its jobs are staged, as the store names it."""
    (location,) = (arg.partition("=")[2] for arg in command if arg.startswith("--temp_location="))
    return location.removeprefix("gs://").partition("/")[2]


@pytest.mark.parametrize("fault", [REFUSE, DROP, LOSE])
@pytest.mark.parametrize("kind", ["start", "chunk"])
def test_a_staging_request_that_fails_once_is_tried_again(kind, fault, command, service, store):
    store.reset(lambda request: fault if (request.kind, request.number) == (kind, 1) else None)
    assert main(command) == 0
    assert [request.kind for request in store.failed] == [kind]
    begun = [request.name for request in store.requests if request.kind == "start"]
    assert begun and all(name.startswith(folder_of(command)) and name.endswith("pipeline.pb") for name in begun)
    assert len(service.requests) == 1


@pytest.mark.parametrize(("kind", "fault", "told"), [("start", REFUSE, "503"), ("chunk", LOSE, "Connection aborted")])
def test_staging_that_keeps_failing_is_told_in_a_line_and_the_same_command_goes_on(
    kind, fault, told, command, service, store, capsys
):
    store.reset(lambda request: fault if request.kind == kind else None)
    assert main(command) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(rf"sluice: stage inventory: .*{folder_of(command)}: .*{told}.*\n", error), error
    assert len(store.failed) > 8 and not service.requests
    store.reset()
    assert main(command) == 0
    assert len(service.requests) == 1


def test_a_run_in_a_bucket_is_done_by_jobs_that_are_staged_there(service, bucket, place, store, tmp_path):
    source = write_jsonl(tmp_path / "in", make_rows(60), files=2)
    root = place()
    for name in ("shard-0.jsonl", "shard-1.jsonl"):
        committing.replace_bytes(f"{root}/in/{name}", storage.read_bytes(f"{source}/{name}"))
    recipe = ["--recipe=semdedup", "--id=id", "--text=none", "--vector=embedding", "--threshold=0.9", "--clusters=4"]
    run, options = ["--run", f"{root}/run"], dataflow(service, root)
    assert main(["curate", "--input", f"{root}/in/*.jsonl", *run, *recipe, "--prepare"]) == 0
    assert main(["stage", "inventory", *run, *options]) == 0
    assert main(["stage", "documents", *run, *options]) == 0
    assert main(["curate", "--input", f"{root}/in/*.jsonl", *run, *recipe, *options]) == 0
    assert len(service.requests) == 10
    staged = [file.path for file in listing.list_files(f"{root}/temporary")]
    assert sum(path.endswith("pipeline.pb") for path in staged) == 10
    run_d4(
        source, tmp_path / "run", recipe="semdedup", text="none", threshold="0.9", clusters="4", keep=None, tokens=None
    )
    assert decisions(f"{root}/run").equals(decisions(tmp_path / "run"))
