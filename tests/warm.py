"""A Python that has Sluice loaded already: what a stage takes is its job, not four seconds of imports each time.

`warm_python` gives the path of a script that takes the arguments of an interpreter, as Airflow's Beam operator passes
them. It hands them, and its own standard output and error, to a server that forks for each call.
"""

import contextlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

CLIENT = """\
#!{python} -IS
import json, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [json.dumps(sys.argv[1:]).encode()], [1, 2])
sys.exit(int(server.recv(16) or b"70"))
"""


@contextlib.contextmanager
def warm_python(folder: Path) -> Iterator[str]:
    """A script in `folder` that takes `-c CODE`, `-m MODULE` or `FILE` with arguments; it works until the end."""
    address, script = str(folder / "warm"), folder / "python"
    script.write_text(CLIENT.format(python=sys.executable, address=address))
    script.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, address])
    try:
        while not os.path.exists(address):
            assert server.poll() is None, "the warm interpreter did not start"
            time.sleep(0.05)
        yield str(script)
    finally:
        server.kill()
        server.wait()


def serve(address: str) -> None:
    """Loads Sluice, then forks for each call until it is killed. No thread may be running when it forks."""
    import sluice.pipelines.launch.stage  # noqa: F401

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address + ".new")
    listening.listen()
    os.rename(address + ".new", address)
    while True:
        call, _ = listening.accept()
        if os.fork() == 0:
            code = 70
            try:
                arguments, streams, _, _ = socket.recv_fds(call, 1 << 20, 2)
                for number, stream in enumerate(streams, start=1):
                    os.dup2(stream, number)
                code = run(json.loads(arguments))
            except Exception:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                call.sendall(str(code).encode())
                os._exit(0)
        call.close()


def run(arguments: list[str]) -> int:
    """The exit code of an interpreter with these arguments."""
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            with tempfile.NamedTemporaryFile("w", suffix=".py") as code:
                code.write(arguments[1])
                code.flush()
                sys.argv = ["-c", *arguments[2:]]
                runpy.run_path(code.name, run_name="__main__")
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
