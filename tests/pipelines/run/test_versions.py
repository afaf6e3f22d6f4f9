"""Keys of artifacts: runs of earlier releases go on, and a raised version touches only what depends on its stage."""

from pathlib import Path

import pytest

from sluice.pipelines.run import run as run_module
from sluice.transforms.clusters.centroids import MakeCentroids
from sluice.transforms.documents import inventory
from sluice.transforms.outcome.decisions import Decide
from sluice.transforms.scores.simple import PrototypeScores
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import find_manifest
from tests.pipelines.corpora import make_rows, run_d4, write_jsonl

# In the order of the stages. Without the names of files and the contents of parts, which differ between machines.
KEYS = {
    "inventory": "91d345e0cd",
    "rejected": "e995952780",
    "documents": "e995952780",
    "steps/01-exact/copies": "12182d8e8b",
    "steps/01-exact/scores": "ef96688db5",
    "steps/01-exact/keep": "f3eff82f37",
    "embeddings": "abd1e2c5a8",
    "steps/02-semdedup/copies": "f20fb19172",
    "steps/02-semdedup/centroids": "fc49df55e3",
    "steps/02-semdedup/clusters": "933cd025f1",
    "steps/02-semdedup/scores": "27a64a4f71",
    "steps/02-semdedup/keep": "a9a523f3f8",
    "steps/03-prototypes/centroids": "c301bdfe0b",
    "steps/03-prototypes/clusters": "5afbcb3156",
    "steps/03-prototypes/scores": "3ee6773c6c",
    "steps/03-prototypes/keep": "b55d45fbac",
    "decisions": "6e3e16789a",
    "corpus/_parts": "99409c06c5",
}


def keys(run: Path) -> dict[str, str]:
    """Folder -> the first digits of its manifest's key."""
    manifests = sorted(run.rglob("manifest.json"), key=lambda path: path.stat().st_mtime_ns)
    return {str(path.parent.relative_to(run)): find_manifest(str(path.parent))["key"][:10] for path in manifests}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(120))


def test_keys_are_those_of_runs_made_before_stages_had_versions_of_their_own(source, tmp_path, monkeypatch):
    monkeypatch.setattr(Artifact, "digest", property(lambda artifact: artifact.key))
    for module in (run_module, inventory):
        monkeypatch.setattr(module, "units_digest", lambda units: "the files")
    run_d4(source, tmp_path / "run")
    assert keys(tmp_path / "run") == KEYS


def made_again(source: str, run: Path) -> set[str]:
    """The folders whose manifest another run into the same directory replaces."""
    before = keys(run)
    run_d4(source, run)
    return {folder for folder, key in keys(run).items() if before[folder] != key}


def test_a_raised_version_makes_its_stage_again_and_what_depends_on_it(source, tmp_path, monkeypatch):
    run = tmp_path / "run"
    run_d4(source, run)
    monkeypatch.setattr(Decide, "version", 4)
    assert made_again(source, run) == {"decisions"}
    monkeypatch.setattr(PrototypeScores, "version", 4)
    last = {"steps/03-prototypes/scores", "steps/03-prototypes/keep", "decisions", "corpus/_parts"}
    assert made_again(source, run) == last
    # Embeddings, and all before them, stay.
    monkeypatch.setattr(MakeCentroids, "version", 4)
    assert not any(
        folder.startswith(("inventory", "documents", "embeddings", "steps/01")) for folder in made_again(source, run)
    )
