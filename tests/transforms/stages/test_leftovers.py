"""What killed processes leave goes; what a process that lives is writing stays."""

import os
import time

from sluice.transforms.stages.leftovers import remove_leftovers
from sluice.transforms.stages.manifests import write_manifest
from sluice.transforms.storage import committing, processes

HEX = "0123456789abcdef" * 2


def test_temporary_files_of_dead_processes_go_wherever_they_are(tmp_path):
    machine, number, _ = processes.this_process().split("-")
    dead = f".{machine}-{number}-1.{HEX}.tmp"
    for folder in ("corpus/sub", "steps/02-semdedup/scores/bins", "embeddings/windows-00000-0123456789"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / dead).write_bytes(b"half")
        (tmp_path / folder / "kept.tmp").write_bytes(b"a user's")
    assert remove_leftovers(str(tmp_path)) == 3
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"kept.tmp"}


def test_what_is_being_written_stays(tmp_path):
    with committing.create(str(tmp_path / "part")) as path:
        assert remove_leftovers(str(tmp_path)) == 0
        with open(path, "wb") as file:
            file.write(b"whole")
    assert (tmp_path / "part").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_files_of_other_machines_and_older_releases_go_when_they_are_a_day_old(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / f".00000000-1-1.{HEX}.tmp").write_bytes(b"")
        (folder / f".part-00000-0123456789.parquet.{HEX}.tmp").write_bytes(b"")
    for path in old.iterdir():
        os.utime(path, (time.time() - 100_000,) * 2)
    assert remove_leftovers(str(tmp_path)) == 2
    assert len(list(new.iterdir())) == 2


def test_windows_of_a_finished_stage_go_and_those_of_other_settings_stay(tmp_path):
    folder = tmp_path / "embeddings"
    for name in ("windows-00000-0123456789", "windows-00001-9876543210"):
        (folder / name).mkdir(parents=True)
        (folder / name / "part-00000-0123456789.parquet").write_bytes(b"")
    assert remove_leftovers(str(tmp_path)) == 0
    manifest = dict.fromkeys(("digest", "config", "rows", "totals", "parts"), None)
    write_manifest(str(folder), manifest | {"key": "0123456789abcdef"})
    assert remove_leftovers(str(tmp_path)) == 1
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["windows-00001-9876543210"]
