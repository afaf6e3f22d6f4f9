"""Every family of models/embedders keeps the same promises; and MiniLM's vectors are the reference's."""

import json
import pickle
import random
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from sluice.models import checkpoints
from sluice.models.default_model import default_model_dir
from sluice.models.embedder import EmbedderConfig, families, load, pooling

DATA = Path(__file__).parents[1] / "data"
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "other", "documents", "in", "text"]


def some_texts(n, longest, seed=0):
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(0, longest))) for _ in range(n)]


@pytest.fixture(scope="module", autouse=True)
def programs(tmp_path_factory):
    """Most tests load the same model again: compile each of its programs once."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("programs")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module", params=families())
def directory(request):
    return str(DATA / request.param)


@pytest.fixture(scope="module")
def embedder(directory):
    return load(EmbedderConfig(directory))


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(DATA / "bert", tmp_path / "model"))


@pytest.fixture(scope="module")
def minilm():
    try:
        return load(EmbedderConfig(default_model_dir()))
    except FileNotFoundError as error:
        pytest.skip(str(error))


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_vectors_are_float32_rows_of_unit_length(embedder):
    vectors = embedder.embed(some_texts(40, 60))
    assert vectors.shape == (40, embedder.dimension) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_no_texts_give_no_rows(embedder):
    assert embedder.embed([]).shape == (0, embedder.dimension)
    assert embedder.count_tokens([]).shape == (0,)


def test_an_empty_text_has_a_vector_and_no_tokens(embedder):
    assert np.isfinite(embedder.embed([""])).all()
    assert embedder.count_tokens([""]).tolist() == [0]
    assert len(embedder.tokenize([""])[0]) == 2


def test_a_vector_does_not_depend_on_the_batch_or_its_order(embedder):
    texts = some_texts(50, 60)
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    backwards = embedder.embed(texts[::-1])[::-1]
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(backwards, together, atol=1e-5)


def test_a_vector_does_not_depend_on_the_padding(embedder, directory):
    # other buckets: the last one ends at max_tokens, which no text here reaches
    texts = some_texts(30, 10, seed=1)
    longest = max(map(len, embedder.tokenize(texts)))
    for max_tokens in (longest, longest + 3):
        other = load(EmbedderConfig(directory, max_tokens=max_tokens))
        np.testing.assert_allclose(other.embed(texts), embedder.embed(texts), atol=1e-5)


def test_the_configuration_survives_pickling_and_gives_the_same_vectors(embedder, directory):
    config = EmbedderConfig(directory)
    payload = pickle.dumps(config)
    assert len(payload) < 1000
    there = load(pickle.loads(payload))  # noqa: S301 - what a worker does with what the launcher sent
    np.testing.assert_array_equal(there.embed(["a text"]), embedder.embed(["a text"]))
    assert there.recipe() == embedder.recipe()


def test_the_recipe_is_json_and_names_what_decides_the_vectors(embedder, directory):
    recipe = json.loads(json.dumps(embedder.recipe()))
    assert recipe == embedder.recipe()
    assert recipe["family"] == Path(directory).name
    assert {"model_digest", "pooling", "max_tokens", "normalisation", "dtype", "tokenizer"} <= recipe.keys()


def test_bfloat16_stays_close_to_float32(embedder, directory):
    texts = some_texts(20, 3)
    low = load(EmbedderConfig(directory, dtype="bfloat16")).embed(texts)
    assert (low * embedder.embed(texts)).sum(axis=1).min() > 0.99
    assert low.dtype == np.float32


def test_hidden_states_and_poolings_equal_the_pytorch_reference(directory):
    reference = np.load(Path(directory) / "reference.npz")
    config = checkpoints.read_config(directory)
    lengths = reference["attention_mask"].sum(axis=1).astype(np.int32)
    ids = reference["input_ids"].astype(np.int32)
    for kind, name in (("mean", "pooled_mean"), ("cls", "pooled_first"), ("last", "pooled_last")):
        embedder = load(EmbedderConfig(directory, pooling=kind, max_tokens=config["max_position_embeddings"]))
        np.testing.assert_allclose(embedder.embed_ids(ids, lengths), reference[name], atol=1e-4)
    hidden = np.asarray(embedder.hidden_states(ids, lengths))
    valid = reference["attention_mask"].astype(bool)
    np.testing.assert_allclose(hidden[valid], reference["last_hidden_state"][valid], atol=1e-4)


def test_counters_add_up(directory):
    embedder = load(EmbedderConfig(directory, max_tokens=16))
    texts = ["the cat", "the dog " * 50, ""]
    embedder.embed(texts)
    embedder.embed(texts[:1])
    counters = embedder.counters
    assert (counters.documents, counters.truncated) == (4, 1)
    assert counters.tokens == 4 + 16 + 2 + 4
    assert counters.padded_tokens > 0 and (counters.tokens + counters.padded_tokens) % 16 == 0


def test_max_tokens_is_capped_by_the_positions(copy):
    embedder = load(EmbedderConfig(str(copy), max_tokens=10_000))
    assert embedder.recipe()["max_tokens"] == 48
    assert len(embedder.tokenize(["the dog " * 500])[0]) == 48


def test_an_unknown_family_is_refused_naming_the_known_ones(copy):
    edit_json(copy / "config.json", model_type="mamba")
    with pytest.raises(ValueError, match=r"'mamba' is not supported: .*bert"):
        load(EmbedderConfig(str(copy)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "silu"}, "'silu'"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'"),
        ({"is_decoder": True}, "is_decoder"),
        ({"num_attention_heads": 5}, "5 heads"),
        ({"vocab_size": 100}, "160 ids"),
        ({"intermediate_size": 65}, r"intermediate\.dense\.weight is \(64, 32\), config.json says \(65, 32\)"),
        ({"num_hidden_layers": 4}, "missing: .*encoder.layer.3"),
        ({"num_hidden_layers": 2}, "extra: .*encoder.layer.2"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(copy, changes, message):
    edit_json(copy / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        load(EmbedderConfig(str(copy)))


def test_a_configuration_that_lacks_a_setting_is_refused_naming_it(copy):
    config = json.loads((copy / "config.json").read_text())
    del config["layer_norm_eps"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="layer_norm_eps"):
        load(EmbedderConfig(str(copy)))


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_the_configured_activation_is_used(copy, activation):
    from sluice.models.embedders.bert import ACTIVATIONS

    x = np.linspace(-6, 6, 101, dtype=np.float32)
    expected = {
        "gelu": jax.nn.gelu(x, approximate=False),
        "gelu_new": 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        "relu": np.maximum(x, 0),
    }[activation]
    np.testing.assert_allclose(ACTIVATIONS[activation](x), expected, atol=1e-6)
    plain = load(EmbedderConfig(str(copy))).embed(["the fox"])
    edit_json(copy / "config.json", hidden_act=activation)
    changed = load(EmbedderConfig(str(copy))).embed(["the fox"])
    assert (np.abs(plain - changed).max() > 1e-6) == (activation != "gelu")


def test_pooling_is_what_sentence_transformers_says(tmp_path):
    assert pooling(str(tmp_path)) == "mean"
    (tmp_path / "1_Pooling").mkdir()
    for key, kind in {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}.items():
        config = {"word_embedding_dimension": 32, "pooling_mode_max_tokens": False, f"pooling_mode_{key}": True}
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
        assert pooling(str(tmp_path)) == kind
    edit_json(tmp_path / "1_Pooling" / "config.json", pooling_mode_max_tokens=True)
    with pytest.raises(ValueError, match="pooling_mode_max_tokens"):
        pooling(str(tmp_path))


def test_a_dense_layer_after_pooling_is_refused(copy):
    modules = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Dense"}]
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match="Dense"):
        load(EmbedderConfig(str(copy)))


@pytest.mark.parametrize("wrong", [{"max_tokens": 2}, {"pooling": "max"}, {"dtype": "int8"}])
def test_a_wrong_option_is_refused_when_the_configuration_is_made(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        EmbedderConfig("somewhere", **wrong)


def test_compiled_programs_are_kept_where_asked_even_late_in_a_process(copy, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    try:
        load(EmbedderConfig(str(copy), cache=str(tmp_path / "programs"))).embed(["the fox"])
        assert any((tmp_path / "programs").rglob("*-cache"))
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()


def test_minilm_gives_the_reference_vectors(minilm):
    texts = json.loads((DATA / "minilm" / "texts.json").read_text(encoding="utf-8"))["texts"]
    reference = np.load(DATA / "minilm" / "reference.npz")["embeddings"]
    vectors = minilm.embed(texts)
    assert (vectors * reference).sum(axis=1).min() >= 0.9999
    np.testing.assert_allclose(vectors, reference, atol=1e-5)


def test_minilm_puts_a_paraphrase_nearer_than_another_subject(minilm):
    cat, kitten, stocks = minilm.embed(["A cat sat on the mat.", "A kitten sat on a rug.", "Stocks fell on Monday."])
    assert cat @ kitten > 0.5 > 0.2 > cat @ stocks
