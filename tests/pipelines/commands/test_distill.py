"""sluice distill: a table that a curation then uses as its model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sluice.models.embedders import distill
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.embedders.network import NetworkEmbedder
from sluice.pipelines.commands.distill import distil
from sluice.pipelines.curate import curate
from sluice.pipelines.main import main
from tests.pipelines.corpora import artifact, fates

DATA = Path(__file__).parents[2] / "data"
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "other", "documents", "in", "text"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(3, 20))) for _ in range(200)]
    texts[100:120] = texts[:20]
    rows = [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]
    (folder / "part.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables") / "table"
    found = distil(str(DATA / "bert"), str(folder))
    assert found == {"output": str(folder), "tokens": 120, "dimensions": 32, "documents": 0, "corpus_tokens": 0}
    return str(folder)


@pytest.mark.parametrize("model", ["roberta", "modernbert", "opt", "qwen3", "mpnet"])
def test_tables_of_every_kind_of_tokenizer_load_and_count_as_their_teachers(model, tmp_path, corpus):
    distil(str(DATA / model), str(tmp_path / "table"), dimensions=8)
    texts = ["the quick brown fox", "a dog and 99 foxes!", ""]
    ours, teacher = (load(EmbedderConfig(name)) for name in (str(tmp_path / "table"), str(DATA / model)))
    vectors = ours.embed(texts)
    assert vectors.shape == (3, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(ours.count_tokens(texts), teacher.count_tokens(texts))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_teacher_whose_states_are_not_finite_is_refused(value, tmp_path):
    teacher = Path(shutil.copytree(DATA / "bert", tmp_path / "teacher"))
    arrays = load_file(teacher / "model.safetensors")
    arrays["encoder.layer.2.output.LayerNorm.bias"][:] = value
    save_file(arrays, teacher / "model.safetensors")
    with pytest.raises(ValueError, match="states that are not finite for 120 of 120 tokens"):
        distil(str(teacher), str(tmp_path / "table"))
    assert not (tmp_path / "table").exists()


def test_a_corpus_without_texts_is_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match=r"no tokens in 0 documents of .*, with --text body"):
        distil(str(DATA / "bert"), str(tmp_path / "table"), corpus=(corpus,), text="body")


@pytest.mark.parametrize("options", [{"dimensions": 0}, {"dimensions": 121}, {"sif": 2.0}])
def test_options_that_no_table_can_have_are_refused_before_the_model_runs(options, tmp_path, monkeypatch):
    monkeypatch.setattr(distill, "token_vectors", lambda *_, **__: pytest.fail("the model ran"))
    with pytest.raises(ValueError, match="must be between"):
        distil(str(DATA / "bert"), str(tmp_path / "table"), **options)


def test_more_dimensions_than_the_teacher_has_are_refused_after_its_first_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(distill, "BATCH", 7)
    asked = []
    states = NetworkEmbedder.hidden_states
    monkeypatch.setattr(NetworkEmbedder, "hidden_states", lambda *given: asked.append(1) or states(*given))
    with pytest.raises(ValueError, match="dimensions must be between 1 and 32, got 33"):
        distil(str(DATA / "bert"), str(tmp_path / "table"), dimensions=33)
    assert len(asked) == 1


def test_a_curation_runs_on_a_table_and_removes_the_duplicates(table, corpus, tmp_path):
    curate([corpus], str(tmp_path / "run"), id="id", model=table, keep="0.5")
    found = fates(tmp_path / "run")
    assert len(found) == 200 and list(found.values()).count("kept") == 100
    vectors = artifact(tmp_path / "run", "embeddings").read(0, ["vector"])["vector"]
    assert vectors.type.byte_width == 2 * 32
    assert all(found[f"d{i}"] != "kept" or found[f"d{i + 100}"] != "kept" for i in range(20))


def test_frequencies_of_a_corpus_change_the_table(table, corpus, tmp_path, capsys):
    command = ["distill", "--model", str(DATA / "bert"), "--output", str(tmp_path / "counted"), "--corpus", corpus]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["documents"] == 200 and found["corpus_tokens"] > 1500
    by_zipf, counted = (load(EmbedderConfig(name)).embed(["the fox"]) for name in (table, str(tmp_path / "counted")))
    assert np.abs(by_zipf - counted).max() > 1e-3


def test_an_output_that_is_there_is_left_alone(table, capsys):
    before = sorted(path.stat().st_mtime_ns for path in Path(table).iterdir())
    assert main(["distill", "--model", str(DATA / "bert"), "--output", table]) != 0
    assert "exists; name a new directory" in capsys.readouterr().err
    assert sorted(path.stat().st_mtime_ns for path in Path(table).iterdir()) == before


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="dimensions must be between 1 and 32, got 33"):
        distil(str(DATA / "bert"), str(tmp_path / "table"), dimensions=33)
    assert not list(tmp_path.iterdir())
