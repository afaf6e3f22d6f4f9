"""The same decisions and the same files, byte for byte, on every engine and with any number of workers."""

from pathlib import Path

import pytest

from tests.engines import fetch
from tests.engines.engines import ENGINES
from tests.engines.running import Contents, contents, curate, curate_on, differing
from tests.pipelines.corpora import make_rows, write_jsonl

OPTIONS = {"unit_bytes": 20_000}
# In this process; then with another process or a server. The rest start processes for each stage, or a cluster.
QUICK = {"every bundle twice", "4 threads", "portable, a thread here"}
SLOW = {"portable, threads in another process", "Prism"}


def marks(engine: str) -> list[pytest.MarkDecorator]:
    if engine in QUICK:
        return []
    return [pytest.mark.slow if engine in SLOW else pytest.mark.engines]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(200), files=5)


@pytest.fixture(scope="module")
def expected(source: str, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return contents(curate(source, tmp_path_factory.mktemp("expected") / "run", ["--runner=FnApiRunner"], OPTIONS))


@pytest.mark.parametrize(
    "engine",
    [pytest.param(name, marks=marks(name)) for name in ENGINES if name != "in memory"],
)
def test_every_engine_leaves_the_same_files(source: str, expected: Contents, tmp_path: Path, engine: str):
    try:
        outcome = curate_on(engine, source, tmp_path, OPTIONS)
    except fetch.Missing as reason:
        pytest.skip(str(reason))
    assert any(name.startswith("decisions/part-") for name in expected)
    assert differing(outcome.contents, expected) == []
