"""What is built can be installed and run away from the repository, as a worker does it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("models", "transforms", "pipelines")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
# Settings of the person who runs the tests must not redirect the builds.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHONPATH"))}


def execute(*arguments: str, cwd: Path, **environment: str) -> str:
    """Standard output of this Python run with `arguments`; on failure the test shows what it printed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that building leaves nothing in the repository."""
    copy = tmp_path_factory.mktemp("copy")
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, copy / layer, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def dist(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel made of that sdist."""
    out = tmp_path_factory.mktemp("dist")
    execute("-m", "build", "--no-isolation", "--outdir", str(out), str(copy), cwd=out)
    return out


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel."""
    target = tmp_path_factory.mktemp("installed")
    (wheel,) = dist.glob("*.whl")
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(target))
    execute("-m", "pip", "install", *options, str(wheel), cwd=dist)
    return target


def source_files(root: Path) -> list[Path]:
    """Every module and data file of the three folders."""
    data = [path for kind in ("*.yaml", "*.json") for path in (root / "pipelines" / "plan").glob(kind)]
    data += (root / "pipelines" / "report" / "html" / "assets").iterdir()
    return [*data, *(path for layer in LAYERS for path in (root / layer).rglob("*.py"))]


def modules(root: Path) -> set[str]:
    """The source files as the wheel should name them."""
    names = (path.relative_to(root).as_posix() for path in source_files(root))
    # What stands in pipelines/front is installed as sluice itself.
    return {f"sluice/{name.removeprefix('pipelines/front/')}" for name in names}


def test_the_wheel_holds_every_module_the_licence_and_nothing_else(copy: Path, dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == modules(copy)
    assert {Path(name).name for name in names if ".dist-info/" in name} >= {"LICENSE", "NOTICE", "entry_points.txt"}


def test_the_sdist_holds_what_building_needs(copy: Path, dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {*FILES, *(path.relative_to(copy).as_posix() for path in source_files(copy))}


def test_every_mapped_folder_is_a_package() -> None:
    folders = {path.parent for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_installed_wheel_imports_from_its_own_folder(installed: Path, tmp_path: Path) -> None:
    program = "import sluice.transforms.storage as s, sluice.models as m; print(s.__file__); print(m.__file__)"
    found = execute("-c", program, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert found == [
        str(installed / "sluice" / "transforms" / "storage" / "__init__.py"),
        str(installed / "sluice" / "models" / "__init__.py"),
    ]


def test_the_installed_command_line_shows_its_help(installed: Path, tmp_path: Path) -> None:
    text = execute("-m", "sluice.pipelines.main", "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert "curate" in text
    assert "sample-corpus" in text


def test_the_installed_script_starts_the_command_line(installed: Path, tmp_path: Path) -> None:
    text = execute(str(installed / "bin" / "sluice"), "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert "curate" in text
