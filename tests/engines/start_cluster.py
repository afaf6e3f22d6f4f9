"""What Flink's bin/start-cluster.sh does, which the package of its jars lacks: python start_cluster.py FLINK

Starts a job manager and a task manager by FLINK/conf/config.yaml, with the memory that Flink's own tool makes of it,
and returns; their process ids are in FLINK/pids, their output in FLINK/log.
"""

import subprocess
import sys
from pathlib import Path

from tests.engines import fetch
from tests.engines.flink import OPENS

RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"
PARTS = {
    "JM": "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
    "TM": "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
}


def parameters(part: str, conf: str, classpath: str) -> tuple[list[str], list[str]]:
    """Flags of Java and settings of Flink for a part's memory."""
    tool = "org.apache.flink.runtime.util.bash.BashJavaUtils"
    command = [fetch.java(), "-classpath", classpath, tool, f"GET_{part}_RESOURCE_PARAMS", "--configDir", conf]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    jvm, settings = (line.removeprefix(RESULT) for line in done.stdout.splitlines() if line.startswith(RESULT))
    return jvm.split(), settings.split()


def main(flink: Path) -> None:
    conf, jars = str(flink / "conf"), ":".join(map(str, fetch.flink_jars()))
    (flink / "log").mkdir(exist_ok=True)
    for part, entry in PARTS.items():
        jvm, settings = parameters(part, conf, f"{fetch.flink_tools()}:{jars}")
        command = [fetch.java(), *jvm, *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENS)]
        command += ["-classpath", jars, entry, "--configDir", conf, *settings]
        with (flink / "log" / part).open("wb") as log:
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        with (flink / "pids").open("a") as file:
            file.write(f"{started.pid}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
