"""Worker pools that Beam does not have: python tests/engines/worker_pool.py threads|shared PORT.

Beam's own pool starts a process for each job, which imports everything anew: seconds for each of a run's stages.
`threads` imports once, so that a test of "workers in another process" takes as long as the work.

`shared` is for several task managers of one machine. Every task manager numbers its workers alike (1-1, 1-2, ...), and
Beam's pool knows a worker by that alone: one task manager that is done ends the workers of another, whose job then
fails or waits for ever. Here workers end by themselves, when the task manager that they work for closes the connection.
"""

import sys
import threading
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


class Shared(BeamFnExternalWorkerPoolServicer):
    def StopWorker(self, request: Any, context: Any) -> Any:
        return beam_fn_api_pb2.StopWorkerResponse()


def main(kind: str, port: int) -> None:
    """Serve until killed."""
    pool = {"threads": BeamFnExternalWorkerPoolServicer, "shared": Shared}[kind]
    _, server = pool.start(use_process=kind == "shared", port=port)
    threading.Event().wait()
    server.stop(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
