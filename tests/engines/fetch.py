"""Where engines come from: a path that is given, or build/engines, which this command fills from package registries:

    python -m tests.engines.fetch

    engine              given by                    otherwise fetched by
    Prism               SLUICE_PRISM                go install, of Beam's Go module
    Flink               SLUICE_FLINK_LIB            pip download, of the wheel apache-flink-libraries
    Beam's job server   SLUICE_FLINK_JOB_SERVER     mvn dependency:get, of its jar

Tests only look: they skip what is not there, and never wait for a network.
"""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / "build" / "engines"
BEAM = version("apache-beam")
# The newest Flink that Beam 2.77 has a job server for; a cluster's minor version must be the job server's.
FLINK = "2.2.1"
JOB_SERVER = f"beam-runners-flink-{FLINK.rpartition('.')[0]}-job-server"
# What a session cluster runs from; the rest of the wheel is Flink's tables and SQL, which no Beam job uses.
FLINK_JARS = ("flink-dist-", "log4j-")


class Missing(RuntimeError):
    """An engine is not on this machine; the message says how to get it."""


def prism() -> Path:
    """The Prism binary. Raises Missing."""
    return _find("SLUICE_PRISM", CACHE / f"prism-{BEAM}" / "prism")


def flink_jars() -> list[Path]:
    """The jars that Flink's job manager and task managers run from. Raises Missing."""
    return sorted(_find("SLUICE_FLINK_LIB", CACHE / f"flink-{FLINK}").glob("*.jar"))


def job_server() -> Path:
    """The jar of Beam's Flink job server. Raises Missing."""
    return _find("SLUICE_FLINK_JOB_SERVER", CACHE / f"{JOB_SERVER}-{BEAM}.jar")


def java() -> str:
    """The Java that runs Flink. Raises Missing."""
    found = shutil.which("java")
    if found is None:
        raise Missing("there is no java on PATH; Flink 2 needs Java 11 or newer")
    return found


def _find(variable: str, cached: Path) -> Path:
    given = os.environ.get(variable)
    place = Path(given) if given else cached
    if not place.exists():
        raise Missing(f"{place} is not there; `make engines` fetches it, or {variable} names another")
    return place.resolve()


def fetch_prism() -> None:
    """Build Prism from its Go module: minutes the first time, seconds once Go has it in its cache."""
    module = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM}"
    _run("go", "install", module, env={"GOBIN": str(CACHE / f"prism-{BEAM}")})


def fetch_flink() -> None:
    """Take a cluster's jars out of the wheel that carries a whole Flink distribution."""
    wheels, place = CACHE / "wheels", CACHE / f"flink-{FLINK}"
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels))
    _run(*pip, f"apache-flink-libraries=={FLINK}")
    partial = place.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with zipfile.ZipFile(next(wheels.glob(f"apache_flink_libraries-{FLINK}-*.whl"))) as archive:
        for entry in archive.infolist():
            name = Path(entry.filename).name
            if "/lib/" in entry.filename and name.startswith(FLINK_JARS):
                with archive.open(entry) as source, (partial / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    partial.rename(place)
    shutil.rmtree(wheels)


def fetch_job_server() -> None:
    """Copy the job server's jar out of Maven's own cache, which it is fetched into."""
    get_jar(f"org.apache.beam:{JOB_SERVER}:{BEAM}", CACHE / f"{JOB_SERVER}-{BEAM}.jar")


def get_jar(coordinates: str, target: Path) -> None:
    """group:artifact:version -> its jar, without what it depends on. Raises Missing."""
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"
    maven = ("mvn", "--batch-mode", "--quiet", "--update-snapshots", plugin, "-Dtransitive=false")
    _run(*maven, f"-Dartifact={coordinates}", f"-Ddest={target}")


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a package client to its end. Raises Missing with what it said."""
    if shutil.which(command[0]) is None:
        raise Missing(f"there is no {command[0]} on PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, cwd=CACHE, env={**os.environ, **(env or {})})
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reasons = [line for line in lines if "ould not" in line or "rror:" in line] or lines[-1:]
        raise Missing(f"{Path(command[0]).name}: {' '.join(reasons[:1])[-400:]}")


ENGINES: dict[str, tuple[Callable[[], object], Callable[[], None]]] = {
    "Prism": (prism, fetch_prism),
    "Flink": (flink_jars, fetch_flink),
    "Beam's Flink job server": (job_server, fetch_job_server),
}


def main() -> None:
    """Fetch what is not there yet, and say for each engine where it is or why it cannot be had."""
    for name, (find, get) in ENGINES.items():
        started = time.monotonic()
        try:
            try:
                find()
            except Missing:
                get()
                find()
            print(f"{name}: ready ({time.monotonic() - started:.0f} s)")
        except Missing as reason:
            print(f"{name}: MISSING, its tests will be skipped: {reason}")


if __name__ == "__main__":
    main()
