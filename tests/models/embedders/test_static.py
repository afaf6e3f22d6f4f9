"""Token tables: model2vec's vectors, the promises of every embedder, and what is refused."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sluice.models.embedders import describe
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.embedders.table import TableEmbedder

DATA = Path(__file__).parents[2] / "data" / "static"
REFERENCE = json.loads((DATA / "reference.json").read_text(encoding="utf-8"))
# A table of float16 is averaged in float16 there, in float32 here.
TOLERANCE = {"plain": 1e-6, "half": 1e-3, "quantised": 1e-6, "bytes": 1e-6}
TEXTS = [*REFERENCE["texts"], "the lazy dog", "other fox " * 40]


@pytest.fixture(scope="module", params=sorted(TOLERANCE))
def directory(request):
    return str(DATA / request.param)


@pytest.fixture(scope="module")
def embedder(directory):
    return load(EmbedderConfig(directory, max_tokens=4096))


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(DATA / "plain", tmp_path / "table"))


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_vectors_are_those_of_model2vec(embedder, directory):
    name = Path(directory).name
    expected = np.array(REFERENCE["vectors"][name])
    known = expected.any(axis=1)
    assert isinstance(embedder, TableEmbedder) and known.sum() >= 6
    np.testing.assert_allclose(embedder.embed(REFERENCE["texts"])[known], expected[known], atol=TOLERANCE[name])


def test_a_text_without_known_tokens_gets_one_vector_that_has_unit_length(embedder):
    nothing = "" if embedder.count_tokens(["\u2603"])[0] > 1 else "\u2603"  # in bytes everything is known
    empty = embedder.embed(["", nothing, "the fox"])
    np.testing.assert_array_equal(empty[0], empty[1])
    assert abs(empty[0] @ empty[2]) < 0.9999
    np.testing.assert_allclose(np.linalg.norm(empty, axis=1), 1, atol=1e-6)
    assert embedder.count_tokens([""]).tolist() == [0] and len(embedder.tokenize([""])[0]) == 0


def test_vectors_are_float32_rows_of_unit_length(embedder):
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimension) == (len(TEXTS), 16) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert embedder.embed([]).shape == (0, 16)


def test_a_vector_does_not_depend_on_the_batch_by_a_bit(embedder):
    together = embedder.embed(TEXTS)
    np.testing.assert_array_equal(together, np.concatenate([embedder.embed([text]) for text in TEXTS]))
    np.testing.assert_array_equal(together, embedder.embed(TEXTS[::-1])[::-1])


def test_the_configuration_survives_pickling_and_the_recipe_is_json(embedder, directory):
    there = load(pickle.loads(pickle.dumps(EmbedderConfig(directory, max_tokens=4096))))  # noqa: S301 - a worker does
    np.testing.assert_array_equal(there.embed(TEXTS), embedder.embed(TEXTS))
    recipe = describe.describe(EmbedderConfig(directory, max_tokens=4096))
    assert json.loads(json.dumps(recipe)) == recipe == embedder.recipe()
    assert recipe["family"] == "static" and recipe["dimension"] == 16
    describe.check_model(directory)


def test_tokens_are_counted_by_the_same_tokenizer(embedder, directory):
    counts = describe.load_tokenizer(directory).count(TEXTS)
    np.testing.assert_array_equal(embedder.count_tokens(TEXTS), counts)
    assert counts[-1] > 60 and "digest" in describe.tokenizer_recipe(directory)


def test_what_truncation_cuts_is_counted():
    embedder = load(EmbedderConfig(str(DATA / "plain"), max_tokens=8))
    texts = ["the fox", "the fox " * 50, "a dog"]
    whole = embedder.count_tokens(texts)
    vectors, valid = embedder.try_embed(texts, tokens=whole)
    assert valid.all() and len(embedder.tokenize(texts)[1]) <= 8
    again = load(EmbedderConfig(str(DATA / "plain"), max_tokens=8))
    np.testing.assert_array_equal(again.embed(texts), vectors)
    seen = sum(map(len, embedder.tokenize(texts)))  # no unknown ones here
    for counters in (embedder.counters, again.counters):
        assert (counters.documents, counters.truncated, counters.tokens) == (3, 1, seen)
        assert counters.tokens_cut == whole.sum() - seen


@pytest.mark.parametrize("max_tokens", [3, 512])
def test_texts_that_the_vocabulary_has_little_for_are_counted(max_tokens):
    embedder = load(EmbedderConfig(str(DATA / "plain"), max_tokens=max_tokens))
    embedder.try_embed(["", "the fox", "\u0e09 the", "a \u0e09 dog", "the fox " * 40])
    assert embedder.counters.unknown == 0
    embedder.try_embed(["\u0e09", "\u0e09 \u0e01 the", "\u0e09 " * 50])
    assert embedder.counters.unknown == 3


def test_fewer_dimensions_are_the_first_ones_at_unit_length():
    whole, short = (load(EmbedderConfig(str(DATA / "plain"), dimensions=n)).embed(TEXTS) for n in (None, 5))
    expected = whole[:, :5] / np.linalg.norm(whole[:, :5], axis=1, keepdims=True)
    np.testing.assert_allclose(short, expected, atol=1e-6)
    with pytest.raises(ValueError, match="dimensions 17: the model's vectors have 16"):
        load(EmbedderConfig(str(DATA / "plain"), dimensions=17))


def test_texts_whose_rows_add_up_to_nothing_are_told_apart(copy):
    arrays = load_file(copy / "model.safetensors")
    arrays["embeddings"][:] = 0
    save_file(arrays, copy / "model.safetensors")
    embedder = load(EmbedderConfig(str(copy)))
    vectors, valid = embedder.try_embed(["the fox", ""])
    assert valid.tolist() == [False, True] and not vectors[0].any() and embedder.counters.without_vector == 1
    with pytest.raises(ValueError, match="1 of 2 texts no vector, the first: 'the fox'"):
        embedder.embed(["", "the fox"])


def test_rows_that_are_too_large_to_add_up_give_no_vector(copy):
    arrays = load_file(copy / "model.safetensors")
    arrays["embeddings"] = np.full_like(arrays["embeddings"], 1e25, np.float32)
    save_file(arrays, copy / "model.safetensors")
    vectors, valid = load(EmbedderConfig(str(copy))).try_embed(["the fox"])
    assert not valid.any() and not vectors.any()


@pytest.mark.parametrize(
    "option",
    [
        {"pooling": "cls"},
        {"dtype": "bfloat16"},
        {"convention": "d4"},
        {"prompt": "passage: "},
        {"prompt_name": "query"},
        {"layers": "1-2"},
        {"long_documents": "chunk-mean"},
    ],
)
def test_an_option_that_means_nothing_to_a_table_is_refused(option):
    with pytest.raises(ValueError, match=f"is a token table: {next(iter(option))}="):
        load(EmbedderConfig(str(DATA / "plain"), **option))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embeddings": np.zeros((3, 4), np.float32)}, r"3 rows of embeddings for \d+ tokens"),
        ({"embeddings": np.zeros(120, np.float32)}, "not rows of numbers"),
        ({"embedding.weight": np.zeros((120, 4), np.float32)}, "holds embedding.weight: a token table has embeddings"),
        ({"embeddings": np.zeros((120, 4), np.float32), "head": np.zeros(1)}, "holds embeddings, head"),
        ({"embeddings": np.full((120, 4), np.nan, np.float32)}, "120 tokens have rows that are not finite"),
        (
            {"embeddings": np.zeros((5, 4), np.float32), "mapping": np.full(120, 5)},
            "rows that embeddings does not have",
        ),
        ({"embeddings": np.zeros((5, 4), np.float32), "mapping": np.full(120, -1)}, "rows that embeddings does not"),
        ({"embeddings": np.zeros((5, 4), np.float32), "mapping": np.zeros(20, int)}, r"mapping is \(20,\)"),
        ({"embeddings": np.zeros((120, 4), np.float32), "weights": np.zeros(20)}, r"weights is \(20,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(copy, arrays, message):
    save_file(arrays, copy / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        load(EmbedderConfig(str(copy)))


def test_a_table_without_its_tokenizer_or_with_a_senseless_length_is_refused(copy):
    edit_json(copy / "config.json", max_length="long")
    with pytest.raises(ValueError, match="max_length 'long'"):
        load(EmbedderConfig(str(copy)))
    (copy / "tokenizer.json").unlink()
    edit_json(copy / "config.json", max_length=10)
    with pytest.raises(FileNotFoundError, match=r"no tokenizer: looked for tokenizer\.json"):
        load(EmbedderConfig(str(copy)))
