"""The same decisions on every engine, with any number of workers."""

import sys

import pytest

from tests.pipelines.corpora import artifact, decisions, make_rows, run_d4, write_jsonl

RUNNERS = {
    "in memory": ["--runner=FnApiRunner"],
    "two processes": [
        "--runner=FnApiRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    ],
    "two threads": ["--runner=FnApiRunner", "--direct_running_mode=multi_threading", "--direct_num_workers=2"],
    "every bundle twice": ["--runner=FnApiRunner", "--direct_runner_bundle_repeat=1"],
    "a worker in another process": [
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        "--environment_type=beam:env:harness_subprocess_python:v1",
        f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main",
    ],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(200), files=5)


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    run = tmp_path_factory.mktemp("expected") / "run"
    run_d4(source, run, unit_bytes=20_000)
    return decisions(run), artifact(run, "corpus/_parts").digest


@pytest.mark.parametrize("name", list(RUNNERS))
def test_every_engine_decides_the_same_and_writes_the_same_bytes(source, expected, tmp_path, name):
    run_d4(source, tmp_path / "run", unit_bytes=20_000, beam_args=RUNNERS[name])
    assert decisions(tmp_path / "run").equals(expected[0])
    assert artifact(tmp_path / "run", "corpus/_parts").digest == expected[1]
