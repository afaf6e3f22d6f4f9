"""Embedding a unit: texts are prepared while others are computed, and an accelerator that is not there is noticed."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from sluice.models.default_model import default_model_dir
from sluice.models.embedder import Embedded
from sluice.models.embedder_config import Counters
from sluice.pipelines.curate import prepare
from sluice.pipelines.options import build_recipe
from sluice.pipelines.runner import run_stage
from sluice.transforms import embeddings, progress, validation
from sluice.transforms.embeddings import WriteEmbeddings
from sluice.transforms.stages import read_units
from tests.pipelines.corpora import make_rows, write_jsonl

WINDOWS = 3


class Slow:
    """An embedder whose device is not done before the next texts are prepared."""

    dimension, dtype = 4, "float32"

    def __init__(self) -> None:
        self.counters = Counters()
        self.prepared = [threading.Event() for _ in range(WINDOWS + 1)]
        self.prepared[WINDOWS].set()
        self.computed = 0

    def prepare(self, texts, *, tokens=None):
        number = sum(event.is_set() for event in self.prepared) - 1
        self.prepared[number].set()
        return SimpleNamespace(number=number, texts=len(texts))

    def compute(self, prepared, *, done):
        assert self.prepared[prepared.number + 1].wait(20), "nothing was prepared while the device was at work"
        self.computed += 1
        done(prepared.texts)
        return Embedded(np.full((prepared.texts, 4), 0.5, np.float32), np.ones(prepared.texts, bool))


@pytest.fixture
def stage(tmp_path):
    """The embeddings stage of a run whose documents are there, in one unit of WINDOWS files."""
    source = write_jsonl(tmp_path / "in", make_rows(30), files=WINDOWS)
    recipe = build_recipe(inputs=(source,), recipe="prototypes", id="id", model=default_model_dir())
    run, _ = prepare(recipe, str(tmp_path / "run"))
    for one in run.stages():
        if one.name == "embeddings":
            return one.transform
        run_stage(one, run)
    raise AssertionError("the run has no embeddings")


def writer(stage, **options) -> WriteEmbeddings:
    return WriteEmbeddings(
        stage.embeddings, stage.documents, keep=None, fields=stage.fields, embedder=stage.embedder, **options
    )


def test_the_next_window_is_prepared_while_one_is_computed(stage, monkeypatch):
    monkeypatch.setattr(validation, "WINDOW_RECORDS", 10)
    monkeypatch.setattr(embeddings, "WINDOW_DOCUMENTS", 1)
    write = writer(stage)
    write._embedder = Slow()
    progress.reset()
    (unit,) = read_units(stage.inventory)
    write.write(unit)
    assert write._embedder.computed == WINDOWS
    assert stage.embeddings.describe(unit.id).rows == 30 == progress.done(write.stage)


def test_a_worker_without_the_accelerator_that_was_asked_for_says_so(stage):
    with pytest.raises(ValueError, match="an accelerator was asked for and JAX finds none"):
        writer(stage, accelerator=True).setup()
