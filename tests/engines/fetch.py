"""Where engines come from: a path that is given, or build/engines, which this command fills from package registries:

    python -m tests.engines.fetch

    engine              given by                    otherwise fetched by
    Prism               SLUICE_PRISM                go install, of Beam's Go module
    Flink               SLUICE_FLINK_LIB            pip download, of the package apache-flink-libraries
                        SLUICE_FLINK_TOOLS          (bash-java-utils.jar; else in bin, beside lib)
    Beam's job server   SLUICE_FLINK_JOB_SERVER     mvn dependency:get, of its jar; or mvn package (job_server/pom.xml)

Tests only look: they skip what is not there, and never wait for a network.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

CACHE = Path(__file__).resolve().parents[2] / "build" / "engines"
BEAM = version("apache-beam")
FLINK = CACHE / "flink"
# What a session cluster runs from; the rest of the wheel is Flink's tables and SQL, which no Beam job uses.
FLINK_JARS = ("flink-dist-", "log4j-")
# What Flink's scripts ask for the memory of a process; the scripts themselves are not in the package.
TOOLS = "bash-java-utils.jar"


class Pair(NamedTuple):
    """A Flink, and the Beam whose job server submits to it: their minor versions of Flink must be the same."""

    flink: str
    beam: str

    @property
    def minor(self) -> str:
        return self.flink.rpartition(".")[0]


# The newest Flink that Beam has a job server for; and the newest runner of which Maven Central had every artifact where
# it did not have that job server.
NEWEST, COMPLETE = Pair("2.2.1", BEAM), Pair("1.19.3", "2.62.0")


class Missing(RuntimeError):
    """An engine is not on this machine; the message says how to get it."""


def prism() -> Path:
    """The Prism binary. Raises Missing."""
    return _find("SLUICE_PRISM", CACHE / f"prism-{BEAM}" / "prism")


def flink_jars() -> list[Path]:
    """The jars that Flink's job manager and task managers run from. Raises Missing."""
    return sorted(_find("SLUICE_FLINK_LIB", FLINK / "lib").glob("*.jar"))


def flink_tools() -> Path:
    """The jar that tells the memory of Flink's processes. Raises Missing."""
    return _find("SLUICE_FLINK_TOOLS", flink_jars()[0].parents[1] / "bin" / TOOLS)


def job_server() -> Path:
    """The jar of Beam's Flink job server. Raises Missing."""
    return _find("SLUICE_FLINK_JOB_SERVER", FLINK / "job-server.jar")


def java() -> str:
    """The Java that runs Flink. Raises Missing."""
    found = shutil.which("java")
    if found is None:
        raise Missing("there is no java on PATH; Flink needs Java 11 or newer")
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
    """Beam's job server, and the Flink that it fits."""
    partial = FLINK.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        coordinates = f"org.apache.beam:beam-runners-flink-{NEWEST.minor}-job-server:{NEWEST.beam}"
        get_jar(coordinates, partial / "job-server.jar")
        chosen = NEWEST
    except Missing:
        build_job_server(COMPLETE, partial)
        chosen = COMPLETE
    get_cluster(chosen.flink, partial)
    (partial / "versions").write_text(f"Flink {chosen.flink}, job server of Beam {chosen.beam}\n")
    shutil.rmtree(FLINK, ignore_errors=True)
    partial.rename(FLINK)


def get_cluster(flink: str, folder: Path) -> None:
    """Take a cluster's jars, into folder/lib and folder/bin, out of the package that carries most of a distribution."""
    (folder / "lib").mkdir()
    (folder / "bin").mkdir()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", place)
        _run(*pip, f"apache-flink-libraries=={flink}")
        (package,) = Path(place).iterdir()
        shutil.unpack_archive(package, place, "zip" if package.suffix == ".whl" else "gztar")
        for jar in Path(place).glob("*/**/lib/*.jar"):
            if jar.name.startswith(FLINK_JARS):
                jar.rename(folder / "lib" / jar.name)
        for jar in Path(place).glob(f"*/**/bin/{TOOLS}"):
            jar.rename(folder / "bin" / TOOLS)


def build_job_server(pair: Pair, folder: Path) -> None:
    """Put the job server together, as folder/job-server.jar, from the artifacts of Beam's runner. Raises Missing."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        pom = Path(__file__).with_name("job_server") / "pom.xml"
        told = (f"-Dflink={pair.minor}", f"-Dbeam={pair.beam}", f"-Doutput={place}")
        _run("mvn", "--batch-mode", "--quiet", "--file", str(pom), *told, "package")
        (Path(place) / "job-server-1.jar").rename(folder / "job-server.jar")


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
    "Flink": (job_server, fetch_flink),
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
