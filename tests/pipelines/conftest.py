"""One finished run with something of everything, made once; tests that change it get a copy."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipelines.corpora import make_rows, run_d4, write_jsonl

HOSTILE = "[bold red]markup[/] \x1b[31mred\x1b[0m \x07bell ‮backwards [link=file:///etc]x[/link] :smile:"


@dataclass(frozen=True)
class Made:
    """A finished run: its directory, its valid rows in order of place, and the report that it returned."""

    url: Path
    rows: list[dict]
    report: dict


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Made:
    rows = make_rows(300, seed=4)
    # Two pairs and one triple of documents that share their ids.
    for row, other in ((10, 11), (150, 20), (250, 40), (260, 40)):
        rows[row]["id"] = rows[other]["id"]
    for row in range(0, 300, 3):
        rows[row]["text"] += " " + HOSTILE
    source = Path(write_jsonl(tmp_path_factory.mktemp("corpus"), rows))
    with open(source / "shard-1.jsonl", "a") as file:
        file.write("this is not JSON\n" + json.dumps({"id": "no text", "embedding": rows[0]["embedding"]}) + "\n")
    run = tmp_path_factory.mktemp("runs") / "run"
    report = run_d4(str(source), run, unit_bytes=40_000, max_reject_share=0.05)
    return Made(run, rows, report)


@pytest.fixture
def copy_of(finished: Made, tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of the finished run that may be changed."""

    def copy() -> Path:
        return Path(shutil.copytree(finished.url, tmp_path / "copy"))

    return copy
