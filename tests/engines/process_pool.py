"""A worker pool that several task managers of one machine can share: python tests/engines/process_pool.py PORT.

Every task manager numbers its workers alike (1-1, 1-2, ...), and Beam's own pool knows a worker by that alone: one task
manager that is done ends the workers of another, whose job then fails or waits for ever. Here workers end by
themselves, when the task manager that they work for closes their connection.
"""

import sys
import threading
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


class Shared(BeamFnExternalWorkerPoolServicer):
    def StopWorker(self, request: Any, context: Any) -> Any:
        return beam_fn_api_pb2.StopWorkerResponse()


def main(port: int) -> None:
    """Serve until killed."""
    _, server = Shared.start(use_process=True, port=port)
    threading.Event().wait()
    server.stop(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
