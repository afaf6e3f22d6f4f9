"""The container files, without a container engine: what they copy is there, what they install is what is tested."""

import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

pytest.importorskip("dockerfile_parse")

from tests.templates.image import CONTAINERS, ROOT, copies, instructions, last_stage

FILES = sorted(CONTAINERS.glob("*.Dockerfile"))
REQUIREMENTS = sorted((CONTAINERS / "requirements").glob("*.txt"))
PIN = re.compile(r"([a-z0-9][a-z0-9.-]*)==(\S+) \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
# What constraints.txt leaves to others, and what only accelerators need.
UNCONSTRAINED = re.compile(r"setuptools|httpx2|httpcore2|truststore|nvidia-.*|jax-cuda12-.*|libtpu")


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


def constraints() -> dict[str, str]:
    return dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


def test_there_is_an_image_for_each_kind_of_machine():
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "gpu.Dockerfile", "tpu.Dockerfile"]
    assert [path.stem for path in REQUIREMENTS] == ["cpu", "gpu", "model", "tpu"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_linter_finds_nothing(path):
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_copied_is_there_and_reaches_the_build(path):
    allowed = {Path(line[1:]) for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [Path(source) for copied in copies(path) for source in copied.sources]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert allowed & {source, *source.parents}, source


def test_nothing_but_what_is_copied_reaches_the_build():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {source for path in FILES for one in copies(path) for source in one.sources}
    assert "*" in lines and "**/__pycache__" in lines
    assert all(any(Path(name) in (Path(source), *Path(source).parents) for source in copied) for name in allowed)


def test_the_image_holds_all_that_the_package_is_made_of():
    copied = {source for one in copies(CONTAINERS / "cpu.Dockerfile") for source in one.sources}
    assert copied >= {"models", "transforms", "pipelines", "setup.py", "pyproject.toml", "LICENSE", "NOTICE"}
    # setup.py reads the long description from it.
    assert "README.md" in copied


def test_launcher_and_workers_are_the_same_image_with_the_tested_beam():
    cpu = instructions(CONTAINERS / "cpu.Dockerfile")
    beam = next(one.value for one in cpu if one.name == "FROM" and one.value.startswith("apache/beam"))
    assert beam == f"apache/beam_python3.11_sdk:{constraints()['apache-beam']} AS beam"
    lent = [one.value for one in cpu if one.name == "COPY" and "--from" in one.value]
    assert lent == [
        "--from=beam /opt/apache/beam /opt/apache/beam",
        "--from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher",
    ]
    final = {one.name: one.value for one in last_stage(CONTAINERS / "cpu.Dockerfile")}
    assert final["FROM"] == "python:3.11-slim-bookworm"
    assert final["ENTRYPOINT"] == '["/opt/apache/beam/boot"]'


def test_the_launcher_starts_the_entry_which_is_alone_in_its_folder():
    final = last_stage(CONTAINERS / "cpu.Dockerfile")
    (entry,) = [
        one.value for one in final if one.name == "ENV" and one.value.startswith("FLEX_TEMPLATE_PYTHON_PY_FILE")
    ]
    assert entry == "FLEX_TEMPLATE_PYTHON_PY_FILE=/template/stage.py"
    place = [one.name for one in final].index("COPY", [one.value for one in final].index("/template"))
    assert final[place].value == "templates/stage.py ./"
    assert "WORKDIR" not in [one.name for one in final[place:]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_images_end_as_a_user_that_is_not_root_and_installs_are_hashed(path):
    final = last_stage(path)
    assert [one.value for one in final if one.name == "USER"][-1] == "${RUN_AS}"
    assert "1000" in [one.value.removeprefix("RUN_AS=") for one in final if one.name == "ARG"]
    installs = [part for one in final if one.name == "RUN" for part in re.findall(r"pip install[^&;]*", one.value)]
    assert installs
    for install in installs:
        assert "--no-cache-dir" in install
        assert "--require-hashes" in install or "--no-deps --no-build-isolation ." in install, install
    assert any("pip check" in one.value for one in final if one.name == "RUN")


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_are_pins_with_hashes_and_nothing_else(path):
    for line in path.read_text().splitlines():
        assert PIN.fullmatch(line) or HASH.fullmatch(line), line


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_are_the_versions_that_are_tested(path):
    found, known = pins(path), constraints()
    assert {name: version for name, version in found.items() if known.get(name, version) != version} == {}
    assert [name for name in found if name not in known and not UNCONSTRAINED.fullmatch(name)] == []


def test_the_cpu_image_installs_what_the_package_requires():
    found = pins(CONTAINERS / "requirements" / "cpu.txt")
    required = [
        re.split(r"[\[<>=!; ]", line)[0] for line in distribution("sluice").requires or () if "extra ==" not in line
    ]
    assert required and not {name.lower().replace("_", "-") for name in required} - found.keys()


def test_accelerator_images_add_no_other_version_of_anything():
    cpu = pins(CONTAINERS / "requirements" / "cpu.txt")
    for kind in ("gpu", "tpu"):
        found = pins(CONTAINERS / "requirements" / f"{kind}.txt")
        assert {name for name in found.keys() & cpu.keys() if found[name] != cpu[name]} == set()
    assert "jax-cuda12-plugin" in pins(CONTAINERS / "requirements" / "gpu.txt")
    assert "libtpu" in pins(CONTAINERS / "requirements" / "tpu.txt")


def test_cloud_build_builds_the_files_that_are_there_with_arguments_that_they_take():
    steps = yaml.safe_load((CONTAINERS / "cloudbuild.yaml").read_text())["steps"]
    built = []
    for step in steps:
        flags = dict(arg.removeprefix("--").split("=", 1) for arg in step["args"] if arg.startswith("--file"))
        path = ROOT / flags["file"]
        built.append(path)
        known = {one.value.partition("=")[0] for one in instructions(path) if one.name == "ARG"}
        asked = {arg.split("=")[1] for arg in step["args"] if arg.startswith("--build-arg")}
        assert asked <= known
    assert built == FILES
