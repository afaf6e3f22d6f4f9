"""Sluice's embedders in Beam's RunInference."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that

from sluice.models.embedders.load import EmbedderConfig, load
from sluice.transforms.embeddings.model_handler import EmbedderModelHandler
from sluice.transforms.stages import counters

MODEL = str(Path(__file__).parents[2] / "data" / "bert")
TEXTS = ["the fox", "a lazy dog", "", "other documents in text"]


def test_run_inference_gives_the_embedders_vectors():
    expected = dict(zip(TEXTS, load(EmbedderConfig(MODEL, 16)).embed(TEXTS)))

    def check(results):
        assert sorted(result.example for result in results) == sorted(TEXTS)
        for result in results:
            np.testing.assert_allclose(result.inference, expected[result.example], atol=1e-5)
            assert result.model_id == MODEL

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        found = pipeline | beam.Create(TEXTS) | RunInference(EmbedderModelHandler(EmbedderConfig(MODEL, 16)))
        assert_that(found, check)


@pytest.mark.parametrize("threads", [1, 4])
def test_what_the_model_does_not_see_or_know_is_counted(threads):
    texts = [*TEXTS, "the fox " * 20, "\u0e09 \u0e01"] * 400
    options = {"direct_running_mode": "multi_threading", "direct_num_workers": threads}
    pipeline = beam.Pipeline(runner="FnApiRunner", options=PipelineOptions.from_dictionary(options))
    _ = pipeline | beam.Create(texts) | RunInference(EmbedderModelHandler(EmbedderConfig(MODEL, 16)))
    found = counters.query(pipeline.run())
    embedder = load(EmbedderConfig(MODEL, 16))
    embedder.embed(texts)
    names = ("tokens", "truncated", "tokens_cut", "unknown")
    assert found == {name: getattr(embedder.counters, name) for name in names}
    assert found["truncated"] == found["unknown"] == 400


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="an embedder takes texts, not NoneType"):
        list(EmbedderModelHandler(EmbedderConfig(MODEL)).run_inference(["a", None], None))


def test_a_text_without_a_vector_has_none():
    class Half:
        def prepare(self, texts):
            return texts

        def compute(self, texts, *, counters):
            return np.ones((len(texts), 2), np.float32), np.array([text != "bad" for text in texts])

    handler = EmbedderModelHandler(EmbedderConfig(MODEL))
    good, bad = handler.run_inference(["good", "bad"], Half())
    assert good.inference.tolist() == [1, 1] and bad.inference is None


def test_arguments_are_refused_and_sizes_passed_on():
    handler = EmbedderModelHandler(EmbedderConfig(MODEL), min_batch_size=2, max_batch_size=5)
    assert handler.batch_elements_kwargs() == {"min_batch_size": 2, "max_batch_size": 5}
    assert handler.get_num_bytes(["é", "a"]) == 3
    with pytest.raises(ValueError, match="temperature"):
        handler.validate_inference_args({"temperature": 1})
