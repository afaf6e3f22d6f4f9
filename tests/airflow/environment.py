"""Airflow in an environment of its own, for tests: which Python that is, a migrated database, and the driver."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "templates" / "airflow"
HELPERS = ("sluice_common.py", "sluice_params.py", "sluice_tasks.py", "sluice_launch.py")
DRIVER = Path(__file__).with_name("drive.py")


def airflow_python() -> str:
    """SLUICE_AIRFLOW_PYTHON, or .venv-airflow's; skips the test where neither is there."""
    named = os.environ.get("SLUICE_AIRFLOW_PYTHON")
    python = named or str(ROOT / ".venv-airflow" / "bin" / "python")
    if not Path(python).exists():
        if named:
            raise FileNotFoundError(f"SLUICE_AIRFLOW_PYTHON={named} is not there")
        pytest.skip("no Airflow: `make airflow` installs it into .venv-airflow; SLUICE_AIRFLOW_PYTHON names another")
    return python


class Airflow:
    """An AIRFLOW_HOME and the settings of the DAGs in it; `settings` are those of the section [sluice].

    With `file`, only the DAGs of that file: Airflow writes all that there are into its database before each run.
    """

    def __init__(self, home: Path, settings: dict[str, str], file: str | None = None):
        self.home, self.python = home, airflow_python()
        dags = home / "dags" if file else DAGS
        for name in (*HELPERS, file) if file else ():
            dags.mkdir(exist_ok=True)
            (dags / name).symlink_to(DAGS / name)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        self.environment = clean | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": "google-cloud-platform://",
            "TZ": "UTC",
            **{f"AIRFLOW__SLUICE__{name.upper()}": value for name, value in settings.items()},
        }

    def ask(self, **commands: Any) -> dict[str, Any]:
        """{command: its answer} of drive.py, all in one process. Raises AssertionError with its output if it fails."""
        output = self.home / "answer.json"
        output.unlink(missing_ok=True)
        done = subprocess.run(
            [self.python, str(DRIVER), str(output)],
            input=json.dumps(commands),
            env=self.environment,
            capture_output=True,
            text=True,
        )
        self.log = done.stdout + done.stderr
        assert done.returncode == 0, self.log[-20000:]
        return json.loads(output.read_text(encoding="utf-8"))


def make_airflow(temporary: pytest.TempPathFactory, home: Path, *, file: str | None = None, **settings: str) -> Airflow:
    """An Airflow with a database of its own, a copy of one that is migrated once for all test processes."""
    home.mkdir(parents=True, exist_ok=True)
    base = temporary.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    found = Airflow(home, {"python": sys.executable} | settings, file)
    migrated = shared / "airflow" / "airflow.db"
    migrated.parent.mkdir(exist_ok=True)
    with open(shared / "airflow.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (migrated.parent / "done").exists():
            environment = found.environment | {"AIRFLOW_HOME": str(migrated.parent)}
            command = [found.python, "-m", "airflow", "db", "migrate"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            (migrated.parent / "done").touch()
    shutil.copy(migrated, home / "airflow.db")
    return found
