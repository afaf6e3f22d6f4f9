"""The reliability command counts what it says: verdicts of damage, kinds of files."""

import os
import random
from pathlib import Path

import pytest

from benchmarks.reliability import damage
from benchmarks.reliability.launching import Launcher


@pytest.mark.parametrize(
    ("stage", "inner", "kind"),
    [
        ("documents", "part-00000-0123456789.parquet", "documents/part.parquet"),
        ("documents", "manifest.json", "documents/manifest.json"),
        ("steps/02-semdedup/clusters", "part-00003-0123456789.records", "semdedup/clusters/part.records"),
        ("steps/02-semdedup/scores", "bins/bin-00000-0123456789.npy", "semdedup/scores/bins/bin.npy"),
        ("steps/03-prototypes/centroids", "centroids-0123456789.npy", "prototypes/centroids/centroids.npy"),
    ],
)
def test_files_are_counted_by_what_they_are(stage, inner, kind):
    assert damage.kind_of(stage, Path(inner)) == kind


@pytest.mark.parametrize("name", damage.DAMAGES)
def test_damage_changes_a_file(name, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(1, 256)) * 40)
    before = file.read_bytes()
    damage.DAMAGES[name](file, random.Random(1))
    assert not file.exists() or file.read_bytes() != before


def test_a_command_is_run_in_a_child_with_its_code_and_its_last_line(tmp_path):
    ended = Launcher(tmp_path).run(["status", str(tmp_path / "nothing")])
    assert ended.code == 2 and ended.message.startswith("sluice:") and "recipe.yaml" in ended.message
    assert os.listdir(tmp_path) == []
