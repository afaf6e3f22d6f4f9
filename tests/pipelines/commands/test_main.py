"""The command line: help that works, and one clear line for every misuse, before any work starts."""

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.pipelines.curate import curate
from sluice.pipelines.main import main
from sluice.pipelines.terminal.exits import is_news
from tests.pipelines.corpora import fates, kept_ids, make_rows, run_d4, write_jsonl


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(120))


@pytest.mark.parametrize("command", ["", "curate", "stage", "explain", "preview", "status", "sample-corpus"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    assert "usage: sluice" in capsys.readouterr().out


def test_the_command_line_does_what_the_function_does(source, tmp_path, capsys):
    options = ["--id", "id", "--vector", "embedding", "--tokens", "column:tokens", "--clusters", "6", "--keep", "0.5"]
    assert main(["curate", "--input", source, "--run", str(tmp_path / "run"), *options]) == 0
    shown = capsys.readouterr().out
    run_d4(source, tmp_path / "other")
    assert fates(tmp_path / "run") == fates(tmp_path / "other")
    assert "02-semdedup" in shown and "kept" in shown


def test_stages_one_by_one_end_like_the_whole(source, tmp_path):
    run = str(tmp_path / "run")
    options = ["--input", source, "--id", "id", "--recipe", "random", "--keep", "0.3"]
    assert main(["curate", *options, "--run", run, "--prepare"]) == 0
    assert main(["stage", "documents", "--run", run]) == 1  # the inventory comes first
    for stage in ("inventory", "documents", "01-random/scores", "01-random/keep", "decisions", "corpus", "report"):
        assert main(["stage", stage, "--run", run]) == 0
    assert len(kept_ids(run)) == 36
    assert json.loads((tmp_path / "run" / "report.json").read_text())["totals"]["kept"] == 36


MISUSES = [
    (["--keep", "1.5"], "--keep is a share above 0 and at most 1, not 1.5"),
    (["--keep", "half"], "--keep must be a number, not 'half'"),
    (["--keep", "0.5", "--keep-tokens", "10"], "give one of --keep, --keep-tokens"),
    (["--keep-tokens", "lots"], "--keep-tokens must be a number like 10B"),
    (["--eps", "0.1"], "recipe d4 takes --keep or --keep-tokens"),
    (["--recipe", "d5"], "recipe must be one of d4, semdedup"),
    (["--recipe", "missing.yaml"], "recipe missing.yaml"),
    (["--recipe", "semdedup", "--rule", "greedy"], "rule greedy takes a threshold or eps only"),
    (["--recipe", "random", "--keep-tokens", "10"], "nothing counts tokens"),
    (["--recipe", "random", "--model", "/nowhere"], "--model /nowhere has no model to act on"),
    (["--vector", "embedding", "--model", "/nowhere"], "--model /nowhere has no model to act on"),
    (["--model", ""], "--model is empty"),
    (["--recipe", "random", "--order", "easy"], "--order easy has no step to act on"),
    (["--recipe", "random", "--dtype", "bfloat16"], "--dtype bfloat16 has no model to act on: no step"),
    (["--vector", "embedding", "--max-tokens", "64"], "--max-tokens 64 has no model to act on: the vectors are given"),
    (["--clusters", "many"], "--clusters must be a whole number or auto, not 'many'"),
    (["--clusters", "0"], "clusters must be from 1"),
    (["--max-reject-share", "2"], "input.max_reject_share"),
    (["--text", "none"], "neither a text field nor a vector field"),
    (["--kepe", "0.5"], "unknown option --kepe; did you mean --keep?"),
    (["--runer", "FlinkRunner"], "unknown option --runer; did you mean --runner?"),
    (["--model", "/nowhere"], "/nowhere"),
    (["--format", "xml"], "xml"),
    (["--tokens", "tokenizer-that-is-not-there.json"], "tokenizer-that-is-not-there.json"),
]


@pytest.mark.parametrize(("options", "message"), MISUSES, ids=[" ".join(options) for options, _ in MISUSES])
def test_misuse_is_one_clear_line_and_leaves_nothing_behind(source, tmp_path, capsys, options, message):
    assert main(["curate", "--input", source, "--run", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_a_refusal_inside_a_job_is_told_in_one_line_and_with_its_traceback_where_asked(tmp_path):
    source = write_jsonl(tmp_path / "in", [*make_rows(4), {"id": "no text"}])
    command = ["-m", "sluice.pipelines.main", "curate", "--input", source, "--id=id", "--recipe=random", "--keep=0.5"]
    command += ["--run", str(tmp_path / "run"), "--max-reject-share=0.1"]
    plain, verbose = (
        subprocess.run([sys.executable, *command, *more], capture_output=True, text=True)
        for more in ([], ["--verbose"])
    )
    told = "sluice: stage documents: 1 of 5 records were rejected, more than --max-reject-share 0.1 allows: 1 x no text"
    told += " (the first of 'no text' in shard-2.jsonl, byte 0)"
    for ended in (plain, verbose):
        assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, told)
    assert "Traceback" not in plain.stderr and "apache_beam" not in plain.stderr
    assert "check_rejects" in verbose.stderr and verbose.stderr.count("Traceback") >= 2


def test_only_the_tracebacks_of_workers_and_stores_are_kept_from_the_log():
    def record(name: str, message: str, *, traced: bool = False) -> logging.LogRecord:
        error = (ValueError, ValueError("x"), None) if traced else None
        return logging.LogRecord(name, logging.ERROR, "", 0, message, None, error)

    assert not is_news(record("apache_beam.runners.common", "x", traced=True))
    assert not is_news(record("apache_beam.runners.direct.executor", "at\nTraceback (most recent call last):\n"))
    assert not is_news(record("gcsfs", "_request out of retries", traced=True))
    assert is_news(record("apache_beam.runners.common", "a worker says 100 %"))
    assert is_news(record("apache_beam.runners.dataflow.dataflow_runner", "Traceback (most recent call last):"))
    assert is_news(record("sluice", "stage failed", traced=True))


def test_an_input_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["curate", "--input", str(tmp_path / "nothing"), "--run", str(tmp_path / "run")]) == 2
    assert "nothing" in capsys.readouterr().err


def test_a_directory_that_is_no_run_is_named(tmp_path, capsys):
    assert main(["stage", "documents", "--run", str(tmp_path)]) == 2
    assert "is not a run directory" in capsys.readouterr().err


def test_another_commands_flags_are_refused(tmp_path, capsys):
    assert main(["status", str(tmp_path), "--keep", "0.5"]) == 2
    assert "does not take --keep 0.5" in capsys.readouterr().err


def test_a_path_alone_is_an_input(tmp_path):
    source = Path(write_jsonl(tmp_path / "in", make_rows(12)))
    for number, given in enumerate((str(source), source, [source])):
        report = curate(given, str(tmp_path / f"run-{number}"), recipe="random", id="id", tokens="none", keep="0.5")
        assert report["totals"]["kept"] == 6


def test_a_target_that_earlier_steps_left_too_few_for_is_said(tmp_path, capsys):
    rows = make_rows(10)
    source = write_jsonl(tmp_path / "in", [row | {"id": f"{copy}-{row['id']}"} for row in rows for copy in range(4)])
    recipe = tmp_path / "own.yaml"
    recipe.write_text("steps: [{step: exact}, {step: random, cut: {ratio: 0.5}}]")
    told = ["--input", source, "--id", "id", "--tokens", "none", "--run", str(tmp_path / "run")]
    assert main(["curate", "--recipe", str(recipe), *told]) == 0
    assert "the target is 20 documents, and 10 are kept" in " ".join(capsys.readouterr().out.split())


TERMINATED = """
import sys, tempfile, time
from sluice.pipelines.terminal.exits import exit_code

def work():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]):
        print("begun", flush=True)
        time.sleep(120)

sys.exit(exit_code(work, resumes=sys.argv[2] == "resumes"))
"""


@pytest.mark.parametrize(
    ("resumes", "said"), [("resumes", "stopped; the same command goes on from here"), ("", "stopped")]
)
def test_a_command_that_a_scheduler_terminates_clears_up(tmp_path, resumes, said):
    command = [sys.executable, "-c", TERMINATED, str(tmp_path), resumes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (130, f"sluice: {said}\n")
    assert not list(tmp_path.iterdir())
