"""A worker pool whose workers are threads of one process: python tests/engines/thread_pool.py PORT.

Beam's own pool starts a process for each job, which imports everything anew: seconds for each of a run's stages.
This one imports once, so that a test of "workers in another process" takes as long as the work.
"""

import sys
import threading

from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


def main(port: int) -> None:
    """Serve until killed."""
    _, server = BeamFnExternalWorkerPoolServicer.start(use_process=False, port=port)
    threading.Event().wait()
    server.stop(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
