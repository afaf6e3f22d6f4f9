"""The sequence in docs/launch/dataflow.md works as it stands: images, templates, a job a stage, over the emulator.

docker and gcloud are stand-ins: no image is built, and a job runs on this machine.
"""

import pytest

from sluice.pipelines.status.status import status
from sluice.transforms.storage import listing
from tests.docs.pages import ROOT, play
from tests.warm import warm_python

DOCKER = """\
#!/usr/bin/env bash
# Checks what it is given; a stand-in for building takes no time.
set -eu
[ $1 = push ] && exit
[ $1 = build ] && [ $2 = --file ] && [ -f $3 ] && [ -f "${@: -1}/setup.py" ]
"""


@pytest.fixture
def programs(bucket, tmp_path, monkeypatch):
    """A clone's folder with sluice, python, gcloud and docker first on PATH. They all share one loaded interpreter."""
    for name in ("templates", "setup.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with warm_python(folder) as python:
        scripts = {
            "docker": DOCKER,
            "gcloud": f'#!/bin/sh\nexec {python} {ROOT}/tests/cloud/gcloud.py "$@"\n',
            "sluice": f'#!/bin/sh\nexec {python} -c "from sluice.pipelines.main import main; exit(main())" "$@"\n',
        }
        for name, text in scripts.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        yield


@pytest.mark.slow
def test_the_sequence_of_the_page_runs_from_top_to_bottom(programs, bucket):
    assert play(ROOT / "docs" / "launch" / "dataflow.md", {"gs://bucket": bucket}) == 3
    found = status(f"{bucket}/runs/first")
    assert (found["state"], found["recipe"]) == ("finished", "d4")
    assert listing.list_files(f"{bucket}/runs/first/corpus")
