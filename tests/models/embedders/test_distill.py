"""Distilling: a table's rows are what the definition says, from any kind of tokenizer."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.embedders import distill
from sluice.models.embedders.load import EmbedderConfig, load

DATA = Path(__file__).parents[2] / "data"
pytestmark = pytest.mark.usefixtures("quick_programs")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_principal_components_are_uncorrelated_widest_first_and_have_one_sign(seed, dimensions):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    found = distill.principal_components(vectors, dimensions)
    covariance = found.T @ found
    _, singular, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(covariance, np.diag(singular[:dimensions] ** 2), atol=1e-9 * singular[0] ** 2)
    largest = found[np.abs(found).argmax(axis=0), np.arange(dimensions)]
    assert (largest > 0).all()
    np.testing.assert_allclose(distill.principal_components(2 * vectors + 3, dimensions), 2 * found, atol=1e-8)


def test_all_components_keep_all_distances():
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    found = distill.principal_components(vectors, 8)
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=2), apart, atol=1e-5)


@pytest.mark.parametrize("dimensions", [0, 9])
def test_more_dimensions_than_there_are_are_refused(dimensions):
    with pytest.raises(ValueError, match=f"between 1 and 8, got {dimensions}"):
        distill.principal_components(np.ones((30, 8)), dimensions)


def test_frequent_tokens_weigh_less():
    vectors = np.random.default_rng(1).normal(size=(30, 8))
    frequency = distill.frequencies(np.array([1000, *range(29)]))
    assert np.isclose(frequency.sum(), 1) and frequency.min() > 0
    weights = (
        distill.make_table(vectors, frequency, dimensions=8, sif=1e-3)[:, 0]
        / (distill.principal_components(vectors, 8)[:, 0])
    )
    np.testing.assert_allclose(weights, 1e-3 / (1e-3 + frequency), rtol=1e-5)
    assert (np.diff(distill.zipf(50)) < 0).all() and np.isclose(distill.zipf(50).sum(), 1)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        distill.make_table(vectors, frequency, dimensions=8, sif=1)


@pytest.mark.parametrize("model", ["bert", "mpnet"])
def test_unused_tokens_are_left_out_and_the_rest_keep_their_order(model):
    vocabulary = distill.read_vocabulary(str(DATA / model))
    added = {token["content"]: token["id"] for token in vocabulary.tokenizer["added_tokens"]}
    ours = vocabulary.tokenizer["model"]["vocab"] | added
    assert sorted(ours.values()) == list(range(len(vocabulary.ids)))
    assert not any(token.startswith("[unused") for token in ours)
    assert vocabulary.tokenizer["post_processor"] is None
    if model == "bert":
        teacher = (DATA / "bert" / "vocab.txt").read_text().splitlines()
        assert len(teacher) == 160 and [teacher[i] for i in vocabulary.ids] == sorted(ours, key=ours.__getitem__)


def test_a_row_is_the_mean_of_the_last_states_of_its_token_between_the_special_ones():
    model = str(DATA / "bert")
    teacher = load(EmbedderConfig(model))
    words = (DATA / "bert" / "vocab.txt").read_text().splitlines()
    ids = np.array([words.index("fox"), words.index("the")], np.int32)
    found = distill.token_vectors(model, ids)
    first, last = words.index("[CLS]"), words.index("[SEP]")
    batch = np.array([[first, ids[0], last], [first, ids[1], last]], np.int32)
    expected = teacher.hidden_states(batch, np.array([3, 3], np.int32)).mean(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_id_that_the_model_has_no_row_for_is_zero():
    found = distill.token_vectors(str(DATA / "bert"), np.array([5, 10_000], np.int32))
    assert found[0].any() and not found[1].any()


@pytest.mark.parametrize("model", ["gemma3_text", "t5_encoder"])
def test_a_sentencepiece_model_without_a_tokenizer_json_is_refused(model):
    with pytest.raises(ValueError, match=r"no tokenizer\.json, which a token table needs"):
        distill.read_vocabulary(str(DATA / model))


def test_a_table_is_no_teacher():
    with pytest.raises(ValueError, match="is a token table already"):
        distill.read_vocabulary(str(DATA / "static" / "plain"))
