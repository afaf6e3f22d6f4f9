"""As much of the Dataflow service as Beam's own runner needs to submit a job: it takes jobs, and says they are done."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow import dataflow_runner
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
from apache_beam.runners.portability.stager import Stager

JOBS = re.compile(r"/v1b3/projects/([\w-]+)/locations/([\w-]+)/jobs(?:/([\w-]+)(?:/\w+)?)?$")


@dataclass
class Submitted:
    """A job as it was asked for: the request's body, and the graph that it names."""

    request: dict[str, Any]
    graph: bytes

    @property
    def proto(self) -> beam_runner_api_pb2.Pipeline:
        return beam_runner_api_pb2.Pipeline.FromString(self.graph)

    @property
    def pool(self) -> dict[str, Any]:
        """The one worker pool that every job has."""
        (pool,) = self.request["environment"]["workerPools"]
        return pool

    @property
    def options(self) -> dict[str, Any]:
        """What workers get to see of the pipeline's options."""
        return self.request["environment"]["sdkPipelineOptions"]["options"]


@dataclass
class Service:
    """requests: what was posted, in order; staged: files by URL, as a bucket would hold them."""

    endpoint: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    staged: dict[str, bytes] = field(default_factory=dict)

    @property
    def last(self) -> Submitted:
        return self._submitted(self.requests[-1])

    def prepared(self, template_location: str) -> Submitted:
        """The job that a template's launcher left for the service to start."""
        return self._submitted(json.loads(self.staged[template_location]))

    def _submitted(self, request: dict[str, Any]) -> Submitted:
        url = request["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        return Submitted(request, self.staged[url])

    def stage_file(self, folder: str, name: str, stream: BinaryIO) -> None:
        self.staged[f"{folder.rstrip('/')}/{name}"] = stream.read()


@contextmanager
def dataflow_service() -> Iterator[Service]:
    """A service on this machine; until the end Beam's Dataflow client stages files into it."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = JOBS.match(self.path.partition("?")[0])
            assert found, self.path
            service.requests.append({**body, "region": found[2]})
            self._answer({**body, "id": f"job-{len(service.requests)}", "currentState": "JOB_STATE_RUNNING"})

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = JOBS.match(path)
            if found is None or path.endswith(("/messages", "/metrics")):
                return self._answer({})
            request = service.requests[int(found[3].removeprefix("job-")) - 1]
            return self._answer({"id": found[3], "name": request["name"], "currentState": "JOB_STATE_DONE"})

        def _answer(self, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    service.endpoint = f"http://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            DataflowApplicationClient,
            "stage_file",
            lambda self, folder, name, stream, *args, **options: service.stage_file(folder, name, stream),
        )
        # The launcher's package list, for the service's log: a `pip freeze`, a second a job.
        patch.setattr(Stager, "_create_stage_submission_env_dependencies", staticmethod(lambda folder: []))
        # Waiting for a job means asking every few seconds.
        quick = SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(seconds / 1000))
        patch.setattr(dataflow_runner, "time", quick)
        patch.setenv("NO_PROXY", "localhost")
        yield service
    server.shutdown()
    server.server_close()
