"""Embedding a unit: texts are prepared while others are computed, and an accelerator that is not there is noticed."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from sluice.models.checkpoints.default import default_model_dir
from sluice.models.embedders.config import Counters
from sluice.models.embedders.load import Vectors
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.prepare import prepare
from sluice.pipelines.run.runner import run_stage
from sluice.transforms.embeddings import unfinished
from sluice.transforms.embeddings.embed import WriteEmbeddings
from sluice.transforms.records import validation
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Part
from sluice.transforms.stages.commit import drop_other_keys
from sluice.transforms.stages.units import read_units
from sluice.transforms.stages.writing import unit_line
from tests.pipelines.corpora import make_rows, write_jsonl

WINDOWS = 3


class Slow:
    """An embedder whose device is not done before the next texts are prepared."""

    dimension, dtype, window = 4, "float32", 10

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
        return Vectors(np.full((prepared.texts, 4), 0.5, np.float32), np.ones(prepared.texts, bool))


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
        stage.target, stage.documents, keep=None, fields=stage.fields, embedder=stage.embedder, **options
    )


def test_the_next_window_is_prepared_while_one_is_computed(stage, monkeypatch):
    monkeypatch.setattr(validation, "WINDOW_RECORDS", 10)
    write = writer(stage)
    write._embedder = Slow()
    progress.reset()
    (unit,) = read_units(stage.inventory)
    write.write(unit)
    assert write._embedder.computed == WINDOWS
    assert stage.target.describe(unit.id).rows == 30 == progress.done(write.stage)


class Stopped(Slow):
    """Computes some windows, and is stopped at the next one."""

    def __init__(self, windows: int) -> None:
        super().__init__()
        self.windows = windows

    def prepare(self, texts, *, tokens=None):
        return texts

    def compute(self, texts, *, done):
        if self.computed == self.windows:
            raise KeyboardInterrupt
        self.computed += 1
        self.counters.tokens += sum(map(len, texts))
        self.counters.documents += len(texts)
        done(len(texts))
        found = np.array([[len(text), *text.encode()[:3]] for text in texts], np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return Vectors(found, np.array([text[-1] != "a" for text in texts]))


def test_a_unit_goes_on_with_the_window_that_it_was_stopped_at(stage, monkeypatch):
    monkeypatch.setattr(unfinished, "SECONDS", 0)
    (unit,) = read_units(stage.inventory)

    def tried(windows: int) -> Stopped:
        write = writer(stage)
        write._embedder = Stopped(windows)
        progress.reset()
        if windows < WINDOWS:
            with pytest.raises(KeyboardInterrupt):
                write.write(unit)
        else:
            had = write.write(unit)
            assert had == sum(had_before)
            assert progress.done(write.stage) == 30
        return write._embedder

    part = Path(stage.target.path(unit.id))
    had_before: list[int] = []
    tried(WINDOWS)
    whole, described = part.read_bytes(), stage.target.describe(unit.id)
    assert described.stats["tokens"] > 0 and described.stats["embedded"] <= 30
    part.unlink()
    tried(1)
    assert not part.exists() and len(list(part.parent.glob("windows-00000-*/part-*"))) == 1
    tried(1)
    left = sorted(part.parent.glob("windows-00000-*/part-*"))
    assert len(left) == 2
    had_before += [len(pq.read_table(path, partitioning=None)) for path in left]
    assert tried(WINDOWS).computed == 1
    assert part.read_bytes() == whole and stage.target.describe(unit.id) == described
    assert list(part.parent.iterdir()) == [part]


def test_windows_that_take_no_time_leave_no_files(stage):
    write = writer(stage)
    write._embedder = Stopped(0)
    (unit,) = read_units(stage.inventory)
    with pytest.raises(KeyboardInterrupt):
        write.write(unit)
    assert not list(Path(stage.target.url).glob("windows-*"))


def test_a_worker_without_the_accelerator_that_was_asked_for_says_so(stage):
    with pytest.raises(ValueError, match="an accelerator was asked for and JAX finds none"):
        writer(stage, accelerator=True).setup()


def test_what_other_settings_left_half_done_goes_with_their_parts(tmp_path):
    key, other = "0123456789abcdef", "fedcba9876543210"
    names = [
        f"part-00000-{key[:10]}.parquet",
        f"windows-00001-{key[:10]}/part-00000-{key[:10]}.parquet",
        f"bins/bin-00000-{key[:10]}.npy",
        "notes.txt",
    ]
    for name in [*names, *(name.replace(key[:10], other[:10]) for name in names)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    drop_other_keys(str(tmp_path), key)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {*names, "bins", f"windows-00001-{key[:10]}"}


def test_the_rate_of_a_unit_that_was_gone_on_with_is_of_the_rest():
    part = Part("run/embeddings", 3, "part", 100, 1, 1, {})
    assert unit_line(part, 100, found=False, seconds=2.0, had=80) == (
        "stage=embeddings unit=3 rows=100 rows_had=80 seconds=2.00 rows_per_second=10 part=written"
    )
    assert "rows_had" not in unit_line(part, 100, found=False, seconds=2.0, had=0)
