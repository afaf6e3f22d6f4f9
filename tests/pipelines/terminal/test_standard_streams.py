"""Streams that are closed, full or without a reader, locales of few characters, names that a terminal would obey."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.pipelines.main import main

EVIL = "\x1b[2Ja\x9b1m\u202eb[red]c"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    """A finished run whose ids, sources and folder hold what terminals obey."""
    place = tmp_path_factory.mktemp("evil")
    folder = place / EVIL.replace("[", "")
    folder.mkdir()
    ids = ["-dQw4w9W", "--help", EVIL, "4", "5", "6"]
    rows = [{"id": name, "text": f"a text of {n}", "source": f"{EVIL}{n % 2}"} for n, name in enumerate(ids)]
    (folder / "a.jsonl").write_text("".join(map("{}\n".format, map(json.dumps, rows))))
    run = str(place / f"run{EVIL}")
    options = ["--id", "id", "--source", "source", "--recipe", "random", "--keep", "0.5"]
    assert main(["curate", "--input", f"{place}/?*/a.jsonl", "--run", run, *options]) == 0
    return run


def obeyed(text: str) -> set[str]:
    return {character for character in text if not character.isprintable()} - {"\n"}


COMMANDS = {
    "status": ["status", "RUN"],
    "explain": ["explain", "RUN", EVIL],
    "an id that is not there": ["explain", "RUN", EVIL + "?"],
    "explain as JSON": ["explain", "RUN", EVIL, "--json"],
    "preview": ["preview", "RUN"],
    "the same run again": [
        "curate",
        "--input",
        "RUN/../?*/a.jsonl",
        "--run",
        "RUN",
        "--id",
        "id",
        "--recipe",
        "random",
    ],
    "a recipe that is not there": ["curate", "--input", "x", "--run", "RUN2", "--recipe", EVIL + "\nsluice: done"],
    "an option that does not exist": ["status", "RUN", f"--{EVIL}"],
    "a command that does not exist": [EVIL],
    "no run": ["status", EVIL],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_nothing_that_is_printed_is_obeyed_by_a_terminal(run, command, capfd):
    try:
        main([part.replace("RUN", run) for part in command])
    except SystemExit as stopped:
        assert stopped.code == 2
    printed = capfd.readouterr()
    assert printed.out + printed.err
    assert not obeyed(printed.out + printed.err)


@pytest.mark.parametrize("command", [["-dQw4w9W"], ["--", "--help"], ["--full", "--", "-dQw4w9W"]])
def test_an_id_may_begin_with_a_dash(run, command, capsys):
    assert main(["explain", run, *command]) == 0
    assert command[-1] in capsys.readouterr().out


def test_explain_without_a_document_says_what_is_missing(run, capsys):
    assert main(["explain", run]) == 2
    assert "explain needs a DOCUMENT" in capsys.readouterr().err


def shell(command: str, **environment: str) -> subprocess.CompletedProcess:
    line = command.replace("SLUICE", f"{sys.executable} -m sluice.pipelines.main")
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, env={**os.environ, **environment}, timeout=120, check=False
    )


def test_closed_streams_stop_no_command(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"id": "{n}", "text": "text {n}"}}\n' for n in range(6)))
    options = f"curate --input {tmp_path}/a.jsonl --id id --recipe random --keep 0.5"
    ended = shell(f"SLUICE {options} --run {tmp_path}/run <&- >&- 2>&-")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert json.loads((Path(tmp_path) / "run" / "report.json").read_text())["totals"]["kept"] == 3


def test_a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one_line(run):
    place = f"'{run}'"
    ended = shell(f"SLUICE status {place} --json | true; echo ${{PIPESTATUS[0]}}; SLUICE recipes > /dev/full")
    assert (ended.returncode, ended.stdout) == (1, b"0\n")
    full = b"sluice: the results cannot be written to standard output: No space left on device\n"
    assert ended.stderr == full


def test_an_encoding_of_few_characters_prints_what_it_lacks_as_numbers(run):
    few = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    ended = shell("SLUICE status .; SLUICE plan --print-prices; SLUICE recipes", **few)
    assert ended.returncode == 0
    assert ended.stderr.startswith(b"sluice: . is not a run directory")
    assert ended.stdout.isascii()
