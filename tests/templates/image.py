"""What a container file does, without a container engine: its COPY and pip lines in a folder and a virtual environment.

    python -m tests.templates.image

makes an empty environment, installs there what the CPU image installs, runs the entry from there, and resolves what the
GPU and TPU images add. It takes minutes and gigabytes, so it is a target of the Makefile and no test.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
CONTAINERS = ROOT / "templates" / "containers"


@dataclass(frozen=True)
class Copied:
    """A COPY out of the build context: files or folders of the repository, and where they go."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str
    stage: int


def instructions(path: Path) -> list[Instruction]:
    """Instructions in order, continuations joined, comments dropped; `stage` counts the FROM lines."""
    found, stage = [], 0
    for one in DockerfileParser(path=str(path), env_replace=False).structure:
        if one["instruction"] == "COMMENT":
            continue
        stage += one["instruction"] == "FROM"
        found.append(Instruction(one["instruction"], one["value"], stage))
    return found


def last_stage(path: Path) -> list[Instruction]:
    """What the image itself is made of; earlier stages only lend files."""
    found = instructions(path)
    return [one for one in found if one.stage == found[-1].stage]


def copies(path: Path) -> Iterator[Copied]:
    for one in instructions(path):
        if one.name == "COPY" and "--from" not in one.value:
            *sources, target = one.value.split()
            yield Copied(tuple(sources), target)


@dataclass
class Image:
    """An environment and a folder that stands for the root of an image's files."""

    folder: Path
    workdir: str = "/"
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def build(self, path: Path) -> None:
        """Do what a container file does with files and pip; users and system folders are left out."""
        for one in last_stage(path):
            if one.name == "ARG":
                name, _, default = one.value.partition("=")
                self.arguments.setdefault(name, default)
            elif one.name == "WORKDIR":
                self.workdir = one.value
                self.at(one.value).mkdir(parents=True, exist_ok=True)
            elif one.name == "COPY" and "--from" not in one.value:
                *sources, target = one.value.split()
                self._copy(sources, target)
            elif one.name == "RUN" and "pip " in one.value:
                self._run(one.value)

    def at(self, path: str) -> Path:
        return self.folder / "root" / path.lstrip("/")

    def _copy(self, sources: list[str], target: str) -> None:
        place = self.at(self.workdir) / target
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)

    def _run(self, command: str) -> None:
        print(f"+ {command}", flush=True)
        began = time.monotonic()
        subprocess.run(["bash", "-c", command], cwd=self.at(self.workdir), env=self._environment(), check=True)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)

    def _environment(self) -> dict[str, str]:
        path = f"{self.folder / 'shim'}:{self.python.parent}:{os.environ['PATH']}"
        keep = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        return keep | self.arguments | {"PATH": path, "VIRTUAL_ENV": str(self.folder / "venv")}


def empty_image(folder: Path) -> Image:
    """An image with Python and pip alone; installs go through uv, which takes the same arguments and is faster."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    shim = folder / "shim" / "pip"
    shim.parent.mkdir()
    pip = folder / "venv" / "bin" / "pip"
    shim.write_text(f'#!/bin/sh\n[ "$1" = install ] && exec {_uv()} pip "$@"\nexec {pip} "$@"\n')
    shim.chmod(0o755)
    return Image(folder)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"


def curate_a_little(image: Image) -> None:
    """The entry from inside the image, as the launcher starts it: every value a string, from another folder."""
    source, run = image.folder / "corpus.jsonl", image.folder / "run"
    source.write_text("".join(json.dumps({"text": f"text number {number}"}) + "\n" for number in range(40)))
    entry = [str(image.python), str(image.at("/template/stage.py")), f"--run={run}"]
    stages = ["documents", "embeddings", "01-prototypes/centroids"]
    for stage in ["--stage=inventory", *(f"--stage={stage}" for stage in stages)]:
        options = [f"--input={source}", "--recipe=prototypes", "--keep=0.5"] if stage.endswith("inventory") else []
        subprocess.run([*entry, stage, *options], cwd=image.folder, check=True)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        image = empty_image(Path(folder))
        image.build(CONTAINERS / "cpu.Dockerfile")
        curate_a_little(image)
        for kind in ("gpu", "tpu"):
            requirements = CONTAINERS / "requirements" / f"{kind}.txt"
            image._run(f"pip install --dry-run --require-hashes --requirement {requirements}")
    print("the images' requirements install, fit together, and run the entry")
    return 0


if __name__ == "__main__":
    sys.exit(main())
