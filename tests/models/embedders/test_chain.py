"""A sentence-transformers directory gives the vectors that sentence-transformers gives: pooling, dense layers, prompts.

tests/data/chains/*/reference.json holds what sentence-transformers 6.2 computes with the tiny models of tests/data.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sluice.models.embedders.chain import Chain, Pool, read_chain
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.embedders.pooling import pool

DATA = Path(__file__).parents[2] / "data"
pytestmark = pytest.mark.usefixtures("quick_programs", "one_bucket")
CHAINS = sorted(path.name for path in (DATA / "chains").iterdir())


def assemble(name, target):
    """The tiny model that a chain was made with, and the chain's files."""
    reference = json.loads((DATA / "chains" / name / "reference.json").read_text())
    shutil.copytree(DATA / reference["family"], target)
    shutil.copytree(DATA / "chains" / name, target, dirs_exist_ok=True)
    return target, reference


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def gemma(tmp_path):
    return assemble("gemma", tmp_path / "model")[0]


@pytest.mark.parametrize("name", CHAINS)
def test_vectors_are_those_of_sentence_transformers(tmp_path, name):
    directory, reference = assemble(name, tmp_path / "model")
    for case in reference["cases"]:
        options = dict(case["options"])
        vectors = load(EmbedderConfig(str(directory), max_tokens=40, **options)).embed(reference["texts"])
        np.testing.assert_allclose(vectors, case["vectors"], atol=1e-5, err_msg=str(options))


def test_the_default_prompt_is_used_unless_another_is_asked_for(tmp_path):
    directory = str(assemble("qwen", tmp_path / "model")[0])
    asked = [{}, {"prompt_name": "query"}, {"prompt": "the words "}, {"prompt": ""}, {"prompt_name": "document"}]
    found = [load(EmbedderConfig(directory, **options)).embed(["the fox"])[0] for options in asked]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[3], found[4])
    assert np.abs(found[0] - found[3]).max() > 0.01
    recipes = [load(EmbedderConfig(directory, **options), weights=False).recipe()["prompt"] for options in asked]
    assert recipes == ["the words ", "the words ", "the words ", "", ""]


def test_an_unknown_prompt_is_refused_naming_those_there_are(gemma):
    with pytest.raises(ValueError, match=r"no prompt 'passage': .*'clustering', 'document', 'query'"):
        load(EmbedderConfig(str(gemma), prompt_name="passage"))


def test_a_model_without_prompts_says_so():
    with pytest.raises(ValueError, match="no prompt 'query': it has no prompts at all"):
        Chain("model").prompt(None, "query")


def test_a_prompt_that_leaves_no_room_is_refused(gemma):
    with pytest.raises(ValueError, match="nothing is left for the text"):
        load(EmbedderConfig(str(gemma), prompt="the fox " * 100, max_tokens=30))


def test_dense_layers_decide_the_dimension_and_belong_to_the_recipe(gemma):
    embedder = load(EmbedderConfig(str(gemma)), weights=False)
    before = embedder.recipe()
    assert embedder.dimension == before["dimension"] == 24
    path = gemma / "3_Dense" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    after = load(EmbedderConfig(str(gemma)), weights=False).recipe()
    assert before["pooling"] != after["pooling"]
    assert str(gemma) not in json.dumps(before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_features": 47}, "takes 47 numbers, what comes before it gives 48"),
        ({"out_features": 25}, r"linear\.weight is \(24, 48\)"),
        ({"bias": True}, r"missing: linear\.bias"),
        ({"activation_function": "mine.Sine"}, "'Sine'"),
        ({"activation_function": "torch.nn.modules.activation.PReLU"}, "'PReLU'"),
        ({"use_residual": True}, "use_residual"),
        ({"module_input_name": "token_embeddings"}, "'token_embeddings'"),
    ],
)
def test_a_dense_layer_that_does_not_fit_is_refused(gemma, changes, message):
    edit_json(gemma / "3_Dense" / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        load(EmbedderConfig(str(gemma)))


def test_a_dense_layer_that_is_a_pickle_is_never_read(gemma):
    (gemma / "3_Dense" / "model.safetensors").rename(gemma / "3_Dense" / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model\.bin would run code"):
        load(EmbedderConfig(str(gemma)))


def modules(*kinds):
    return json.dumps([{"type": f"sentence_transformers.models.{kind}", "path": kind} for kind in kinds])


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["Pooling", "LSTM"], "'LSTM' is not supported"),
        (["Normalize", "Pooling"], "pooling must come once"),
        (["Pooling", "Pooling"], "pooling must come once"),
    ],
)
def test_a_chain_of_other_modules_is_refused(tmp_path, kinds, message):
    (tmp_path / "Pooling").mkdir()
    (tmp_path / "Pooling" / "config.json").write_text("{}")
    (tmp_path / "modules.json").write_text(modules(*kinds))
    with pytest.raises(ValueError, match=message):
        read_chain(str(tmp_path))


def test_a_module_outside_of_the_directory_is_refused(tmp_path):
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "x.Transformer", "path": "../elsewhere"}]))
    with pytest.raises(ValueError, match="leads out of the directory"):
        read_chain(str(tmp_path))


def test_the_network_may_lie_in_a_folder_of_its_own(tmp_path):
    whole = load(EmbedderConfig(str(DATA / "bert"))).embed(["the fox"])
    shutil.copytree(DATA / "bert", tmp_path / "0_Transformer")
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "x.Transformer", "path": "0_Transformer"}]))
    np.testing.assert_array_equal(load(EmbedderConfig(str(tmp_path))).embed(["the fox"]), whole)


def test_lower_casing_asked_for_by_sentence_transformers_is_done(tmp_path):
    shutil.copytree(DATA / "roberta", tmp_path / "model")
    config = EmbedderConfig(str(tmp_path / "model"))
    upper, lower = load(config).embed(["THE FOX", "the fox"])
    assert np.abs(upper - lower).max() > 1e-3
    (tmp_path / "model" / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    (tmp_path / "model" / "modules.json").write_text(json.dumps([{"type": "x.Transformer", "path": ""}]))
    upper, _ = load(config).embed(["THE FOX", "the fox"])
    np.testing.assert_allclose(upper, lower, atol=1e-6)


OLD = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]


@pytest.mark.parametrize(("flag", "mode"), zip(OLD, ["cls", "max", "mean", "mean_sqrt", "weighted_mean", "last"]))
def test_the_older_spelling_of_pooling_is_understood(tmp_path, flag, mode):
    (tmp_path / "1_Pooling").mkdir()
    path = tmp_path / "1_Pooling" / "config.json"
    path.write_text(json.dumps({f"pooling_mode_{name}": name == flag for name in OLD}))
    assert read_chain(str(tmp_path)).steps == (Pool((mode,)),)
    edit_json(path, pooling_mode_magic=True)
    with pytest.raises(ValueError, match="pooling_mode_magic"):
        read_chain(str(tmp_path))


def test_several_poolings_are_joined_in_the_order_of_sentence_transformers(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    assert read_chain(str(tmp_path)).steps == (Pool(("cls", "mean")),)


@pytest.mark.parametrize("start", [0, 2, 9])
def test_pooling_is_what_its_name_says(start):
    hidden = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    lengths = np.array([6, 3, 1], np.int32)
    for row, length in zip(range(3), lengths):
        first = min(start, length - 1)
        tokens = hidden[row, first:length]
        weights = np.arange(first + 1, length + 1, dtype=np.float32)[:, None]
        expected = {
            "cls": tokens[0],
            "last": tokens[-1],
            "max": tokens.max(axis=0),
            "mean": tokens.mean(axis=0),
            "mean_sqrt": tokens.sum(axis=0) / np.sqrt(len(tokens)),
            "weighted_mean": (tokens * weights).sum(axis=0) / weights.sum(),
        }
        for mode, vector in expected.items():
            np.testing.assert_allclose(pool(hidden, lengths, mode, start=start)[row], vector, atol=1e-6, err_msg=mode)
