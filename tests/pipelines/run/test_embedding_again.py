"""Documents that come back, or go, before anything is embedded: only what has no vector yet is embedded."""

import json

import numpy as np
import pytest

from sluice.models.checkpoints.default import default_model_dir
from sluice.pipelines.curate import curate
from sluice.transforms import storage
from sluice.transforms.stages.columns import fixed_bytes
from sluice.transforms.storage import listing
from tests.pipelines.corpora import artifact, decisions, make_rows, write_jsonl


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    default_model_dir()
    return write_jsonl(tmp_path_factory.mktemp("corpus"), make_rows(60), files=2)


def run(folder, source: str, first: float) -> dict:
    """A run that embeds what a random sample left; returns the totals of its embeddings."""
    folder.mkdir(exist_ok=True)
    steps = [
        {"step": "random", "cut": {"ratio": first}},
        {"step": "prototypes", "clusters": 3, "cut": {"ratio": 0.3}},
    ]
    recipe = folder / "recipe.yaml"
    recipe.write_text(json.dumps({"input": {"paths": [source], "id": "id"}, "steps": steps}))
    curate((), str(folder / "run"), recipe=str(recipe))
    return artifact(folder / "run", "embeddings").manifest["totals"]


def vectors(folder) -> np.ndarray:
    found = artifact(folder / "run", "embeddings")
    tables = [found.read(part["unit"]) for part in found.manifest["parts"]]
    return np.concatenate([fixed_bytes(table["vector"], np.int16) for table in tables])


def test_fewer_survivors_are_not_embedded_again_and_more_only_where_they_are_new(source, tmp_path):
    totals = run(tmp_path / "a", source, 0.6)
    assert (totals["embedded"], totals["reused"]) == (36, 0)
    totals = run(tmp_path / "a", source, 0.5)
    assert (totals["embedded"], totals["reused"]) == (0, 30)
    totals = run(tmp_path / "a", source, 0.9)
    assert (totals["embedded"], totals["reused"]) == (24, 30)
    run(tmp_path / "b", source, 0.9)
    # A vector depends on its neighbours in a batch by less than the grid's rounding shows.
    assert np.abs(vectors(tmp_path / "a").astype(int) - vectors(tmp_path / "b")).max() <= 1
    assert decisions(tmp_path / "a/run")["fate"].equals(decisions(tmp_path / "b/run")["fate"])


def test_vectors_that_another_run_took_away_are_made_again(source, tmp_path):
    run(tmp_path / "a", source, 0.6)
    for part in listing.list_files(str(tmp_path / "a/run/embeddings/part-*.parquet")):
        storage.delete(part.path)
    totals = run(tmp_path / "a", source, 0.5)
    assert (totals["embedded"], totals["reused"]) == (30, 0)
