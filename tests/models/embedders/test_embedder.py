"""Every family of models/families keeps the same promises; and MiniLM's vectors are the reference's."""

import json
import pickle
import random
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from sluice.models import checkpoints
from sluice.models.checkpoints.default import default_model_dir
from sluice.models.embedders import batches, describe
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.embedders.network import NetworkEmbedder
from sluice.models.families import families, family
from sluice.models.layers import attention, blocks

DATA = Path(__file__).parents[2] / "data"
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "other", "documents", "in", "text"]


def some_texts(n, longest, seed=0):
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(0, longest))) for _ in range(n)]


pytestmark = pytest.mark.usefixtures("quick_programs")


@pytest.fixture(scope="module", params=families())
def directory(request):
    return str(DATA / request.param)


@pytest.fixture(scope="module")
def embedder(directory, quick_programs):
    return load(EmbedderConfig(directory, max_tokens=32))


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(DATA / "bert", tmp_path / "model"))


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
    assert len(embedder.tokenize([""])[0]) >= 1


def test_a_vector_does_not_depend_on_the_batch_or_its_order(embedder):
    texts = some_texts(50, 60)
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    backwards = embedder.embed(texts[::-1])[::-1]
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(backwards, together, atol=1e-5)
    # As on an accelerator: large batches, and halves of them for what is left.
    large = NetworkEmbedder(embedder.config, sizes=batches.Sizes(tokens=512, halvings=3, window=1024))
    np.testing.assert_allclose(large.embed(texts), together, atol=1e-5)


def test_a_vector_does_not_depend_on_the_padding(embedder, directory):
    # other buckets: the last one ends at max_tokens, which no text here reaches
    texts = some_texts(30, 6, seed=1)
    texts = [text for text in texts if len(embedder.tokenize([text])[0]) <= 19]
    assert len(texts) >= 5
    other = load(EmbedderConfig(directory, max_tokens=19))
    np.testing.assert_allclose(other.embed(texts), embedder.embed(texts), atol=1e-5)


def test_the_configuration_survives_pickling_and_gives_the_same_vectors(embedder, directory):
    config = EmbedderConfig(directory, max_tokens=32)
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


def conventions(directory):
    """Each convention of a family with the end of its reference's names."""
    module = family(checkpoints.read_config(directory)["model_type"], directory)
    known = getattr(module, "CONVENTIONS", ("huggingface",))
    return [(name, "_before_final_norm" if name == "d4" else "") for name in known]


def parameters_of(directory):
    config = checkpoints.read_config(directory)
    module = family(config["model_type"], directory)
    return checkpoints.read_parameters(
        directory,
        module.weights(config),
        prefix=module.PREFIX,
        harmless=module.HARMLESS,
        aliases=getattr(module, "ALIASES", None),
    )


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def poolings(states, lengths):
    rows = np.arange(len(states))
    mean = np.stack([states[row, : lengths[row]].mean(axis=0) for row in rows])
    found = {"pooled_mean": mean, "pooled_first": states[:, 0], "pooled_last": states[rows, lengths - 1]}
    return {name: unit(vectors) for name, vectors in found.items()}


@pytest.mark.parametrize(
    ("dtype", "cosine", "fused"), [("float32", 0.99999, False), ("bfloat16", 0.999, False), ("bfloat16", 0.999, True)]
)
def test_hidden_states_and_poolings_equal_the_pytorch_reference(directory, dtype, cosine, fused, monkeypatch):
    if fused:
        monkeypatch.setattr(blocks, "attend", partial(attention.attend_fused, kernel="xla"))
    reference = np.load(Path(directory) / "reference.npz")
    valid = reference["attention_mask"].astype(bool)
    lengths = valid.sum(axis=1).astype(np.int32)
    for convention, ending in conventions(directory):
        embedder = load(EmbedderConfig(directory, convention=convention, dtype=dtype))
        states = embedder.hidden_states(reference["input_ids"].astype(np.int32), lengths)
        assert states.dtype == np.float32
        if dtype == "float32":
            expected = reference["before_final_norm" if ending else "last_hidden_state"]
            np.testing.assert_allclose(states[valid], expected[valid], atol=1e-4)
        for name, vectors in poolings(states, lengths).items():
            assert (vectors * reference[name + ending]).sum(axis=1).min() >= cosine


def test_weights_held_in_16_bits_give_the_bits_of_weights_in_32(directory, monkeypatch):
    texts = some_texts(20, 30)
    held = load(EmbedderConfig(directory, dtype="bfloat16"))
    types = {leaf.dtype.name for leaf in jax.tree.leaves(held._program._weights)}
    assert types == {"bfloat16", "float32"}
    read = checkpoints.Checkpoint.read
    monkeypatch.setattr(checkpoints.Checkpoint, "read", lambda self, held: read(self))
    whole = load(EmbedderConfig(directory, dtype="bfloat16"))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(whole._program._weights)} == {"float32"}
    np.testing.assert_array_equal(held.embed(texts), whole.embed(texts))


def test_texts_packed_into_one_row_have_the_states_they_have_alone(directory):
    import jax.numpy as jnp

    from sluice.models.layers.blocks import Layout

    config = checkpoints.read_config(directory)
    module, parameters = family(config["model_type"], directory), parameters_of(directory)
    reference = np.load(Path(directory) / "reference.npz")
    valid = reference["attention_mask"].astype(bool)
    segments = np.repeat(np.arange(1, len(valid) + 1, dtype=np.int32), valid.sum(axis=1))
    ids, segments = (np.pad(row, (0, 2))[None] for row in (reference["input_ids"][valid].astype(np.int32), segments))
    encoder = module.encoder(config, jnp.float32)
    packed = jax.jit(lambda tree, ids, segments: encoder.apply({"params": tree}, ids, Layout.of_segments(segments)))
    states = packed(parameters, ids, segments)[0, :-2]
    np.testing.assert_allclose(states, reference["last_hidden_state"][valid], atol=1e-4)
    padded = jax.jit(lambda tree, ids, n: encoder.apply({"params": tree}, ids, Layout.padded(n, ids.shape[1])))
    alone = padded(parameters, reference["input_ids"].astype(np.int32), valid.sum(axis=1).astype(np.int32))
    scale = np.abs(reference["last_hidden_state"][valid]).max()
    np.testing.assert_allclose(states, np.asarray(alone)[valid], atol=1e-5 * scale)


def test_a_tensor_too_few_or_too_many_is_refused(directory, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = Path(shutil.copytree(directory, tmp_path / "model"))
    arrays = load_file(copy / "model.safetensors")
    name = next(name for name in sorted(arrays) if "layer" in name or "block" in name)
    save_file({other: array for other, array in arrays.items() if other != name}, copy / "model.safetensors")
    with pytest.raises(ValueError, match=f"missing: {name}"):
        load(EmbedderConfig(str(copy)))
    save_file(arrays | {"something.else": np.zeros(1, np.float32)}, copy / "model.safetensors")
    with pytest.raises(ValueError, match=r"extra: something\.else"):
        load(EmbedderConfig(str(copy)))
    save_file(arrays | {name: np.zeros((3, 3, 3), np.float32)}, copy / "model.safetensors")
    with pytest.raises(ValueError, match=rf"wrong shape: {name} is \(3, 3, 3\)"):
        load(EmbedderConfig(str(copy)))


def test_a_model_without_its_tokenizer_is_refused(directory, tmp_path):
    for file in ("config.json", "model.safetensors"):
        shutil.copy(Path(directory) / file, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer: looked for tokenizer\.json, spiece\.model"):
        load(EmbedderConfig(str(tmp_path)))


def test_the_weights_of_a_longer_name_load_the_same(directory, tmp_path):
    from safetensors.numpy import load_file, save_file

    prefix = family(checkpoints.read_config(directory)["model_type"], directory).PREFIX
    copy = Path(shutil.copytree(directory, tmp_path / "model"))
    arrays = load_file(copy / "model.safetensors")
    save_file({prefix + name: array for name, array in arrays.items()}, copy / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, parameters_of(directory), parameters_of(str(copy)))


def test_counters_add_up(embedder):
    texts = ["the cat", "the dog " * 100, ""]
    lengths = [len(ids) for ids in embedder.tokenize(texts)]
    assert lengths[1] == 32
    before = asdict(embedder.counters)
    embedder.embed(texts)
    embedder.embed(texts[:1])
    counted = {name: value - before[name] for name, value in asdict(embedder.counters).items()}
    assert (counted["documents"], counted["truncated"]) == (4, 1)
    assert counted["tokens"] == sum(lengths) + lengths[0]
    assert counted["padded_tokens"] > 0 and (counted["tokens"] + counted["padded_tokens"]) % 16 == 0


def test_max_tokens_is_capped_by_the_positions(copy):
    embedder = load(EmbedderConfig(str(copy), max_tokens=10_000))
    assert embedder.recipe()["max_tokens"] == 48
    assert len(embedder.tokenize(["the dog " * 500])[0]) == 48


def test_an_unknown_family_is_refused_naming_the_known_ones(copy):
    edit_json(copy / "config.json", model_type="mamba")
    with pytest.raises(ValueError, match=rf"{copy}: model_type 'mamba' is not supported: .*bert"):
        load(EmbedderConfig(str(copy)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "swish"}, "'swish'"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'"),
        ({"is_decoder": True}, "is_decoder"),
        ({"num_attention_heads": 5}, "5 heads"),
        ({"vocab_size": 100}, "160 ids"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'; it is a whole number from 1 to 1,048,576"),
        ({"num_hidden_layers": None}, "has no num_hidden_layers"),
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


@pytest.mark.parametrize(
    ("family", "name", "content", "message"),
    [
        ("bert", "tokenizer_config.json", b"[]", "tokenizer_config.json holds list, not an object"),
        ("bert", "tokenizer_config.json", b"{nope", "tokenizer_config.json is not JSON"),
        ("bert", "vocab.txt", b"", "vocab.txt holds no tokens"),
        ("bert", "vocab.txt", b"\xff\xfe\0", "vocab.txt is not UTF-8"),
        ("bert", "modules.json", b'["x"]', "a setting of its files makes no sense"),
        ("bert", "modules.json", b'[{"type": "a.LSTM"}]', "there are Dense, Dropout, Normalize, Pooling, Transformer"),
        ("bert", "config_sentence_transformers.json", b'{"prompts": ["a"]}', "a setting of its files makes no sense"),
        ("mpnet", "tokenizer.json", b'{"model": "x"}', "a setting of its files makes no sense"),
        ("mpnet", "tokenizer.json", b'{"added_tokens": ["x"]}', "a setting of its files makes no sense"),
        ("gemma3_text", "tokenizer_config.json", b"{", "tokenizer_config.json is not JSON"),
    ],
)
def test_a_file_that_says_something_else_is_refused_naming_the_model(family, name, content, message, tmp_path):
    copy = Path(shutil.copytree(DATA / family, tmp_path / "model"))
    (copy / name).write_bytes(content)
    for read in (load, describe.check_options):
        with pytest.raises(ValueError, match=message) as refused:
            read(EmbedderConfig(str(copy)))
        assert str(copy) in str(refused.value)


@pytest.mark.parametrize(
    ("family", "settings"),
    [("modernbert", {"rope_type": "linear", "rope_theta": 9.0}), ("qwen3", {"full_attention": {"rope_theta": 9.0}})],
)
def test_rotary_settings_for_the_wrong_kinds_of_layers_are_refused(family, settings, tmp_path):
    copy = Path(shutil.copytree(DATA / family, tmp_path / "model"))
    edit_json(copy / "config.json", rope_parameters=settings)
    with pytest.raises(ValueError, match=r"rope_parameters .*: expected"):
        load(EmbedderConfig(str(copy)))


def test_norms_under_their_old_names_are_read(copy):
    """As in bert-base-uncased."""
    from safetensors.numpy import load_file, save_file

    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    arrays = load_file(copy / "model.safetensors")
    renamed = {
        next((name.replace(new, was) for new, was in old.items() if new in name), name): array
        for name, array in arrays.items()
    }
    assert renamed.keys() != arrays.keys()
    before = load(EmbedderConfig(str(copy))).embed(["the fox"])
    save_file(renamed, copy / "model.safetensors")
    np.testing.assert_array_equal(load(EmbedderConfig(str(copy))).embed(["the fox"]), before)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_the_configured_activation_is_used(copy, activation):
    from sluice.models.layers.blocks import ACTIVATIONS

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


def test_a_text_without_a_finite_vector_is_named(copy):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(copy / "model.safetensors")
    fox = (copy / "vocab.txt").read_text().splitlines().index("fox")
    arrays["embeddings.word_embeddings.weight"][fox] = np.nan
    save_file(arrays, copy / "model.safetensors")
    embedder = load(EmbedderConfig(str(copy)))
    assert np.isfinite(embedder.embed(["a dog"])).all()
    with pytest.raises(ValueError, match="gives 1 of 3 texts a vector that is not finite, the first: 'the fox'"):
        embedder.embed(["a dog", "the fox", "a cat"])


def test_a_convention_is_refused_where_there_is_none(copy):
    with pytest.raises(ValueError, match="'d4' is not one of this family's"):
        load(EmbedderConfig(str(copy), convention="d4"))


def test_opt_embeds_as_d4_did_unless_asked_otherwise():
    directory = str(DATA / "opt")
    auto, d4, usual = (load(EmbedderConfig(directory, convention=name)) for name in ("auto", "d4", "huggingface"))
    texts = ["the fox \n", "the fox"]
    assert [ids.tolist() for ids in auto.tokenize(texts)] == [auto.tokenize(texts)[1].tolist()] * 2
    assert auto.tokenize([""])[0].tolist() == [2]
    assert usual.tokenize(["the fox"])[0].tolist() == [2, *auto.tokenize(["the fox"])[0].tolist()]
    np.testing.assert_array_equal(auto.embed(texts), d4.embed(texts))
    assert (auto.embed(texts) * usual.embed(texts)).sum(axis=1).max() < 0.9
    assert auto.recipe()["convention"] == "d4" and auto.recipe()["pooling"][0]["modes"] == ["last"]
    assert auto.recipe() != usual.recipe()


def test_an_added_token_that_the_model_has_no_row_for_is_replaced(tmp_path):
    copy = Path(shutil.copytree(DATA / "qwen3", tmp_path / "model"))
    path = copy / "tokenizer.json"
    description = json.loads(path.read_text())
    image = {**description["added_tokens"][0], "id": 160, "content": "<image>"}
    description["added_tokens"].append(image)
    path.write_text(json.dumps(description))
    embedder = load(EmbedderConfig(str(copy)))
    assert embedder.tokenize(["<image>"])[0].max() < 160
    assert np.isfinite(embedder.embed(["the <image> fox"])).all()


def test_a_prompt_and_a_prompt_name_together_are_refused():
    with pytest.raises(ValueError, match="only one can be used"):
        EmbedderConfig("somewhere", prompt="a", prompt_name="b")


@pytest.mark.parametrize("wrong", [{"max_tokens": 2}, {"pooling": "most"}, {"dtype": "int8"}, {"convention": "new"}])
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


def test_minilm_gives_the_reference_vectors(monkeypatch):
    try:
        directory = default_model_dir()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    # two programs, optimised as users have them
    monkeypatch.setattr(batches, "bucket_lengths", lambda longest: [48, longest])
    jax.config.update("jax_disable_most_optimizations", False)
    minilm = load(EmbedderConfig(directory))
    texts = json.loads((DATA / "minilm" / "texts.json").read_text(encoding="utf-8"))["texts"]
    reference = np.load(DATA / "minilm" / "reference.npz")["embeddings"]
    vectors = minilm.embed(texts)
    assert (vectors * reference).sum(axis=1).min() >= 0.9999
    np.testing.assert_allclose(vectors, reference, atol=1e-5)
    jax.config.update("jax_disable_most_optimizations", True)
    cat, kitten, stocks = minilm.embed(["A cat sat on the mat.", "A kitten sat on a rug.", "Stocks fell on Monday."])
    assert cat @ kitten > 0.5 > 0.2 > cat @ stocks
