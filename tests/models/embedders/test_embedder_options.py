"""Dimensions, precision, long documents, vectors that are none, several devices: against definitions in NumPy."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.arrays import device
from sluice.models.embedders.describe import load_tokenizer
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.embedders.network import unit_vectors
from sluice.models.embedders.rows import split_windows

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
BERT = str(DATA / "bert")
LONG = "the quick brown fox jumps over a lazy dog and other documents in text " * 6

pytestmark = pytest.mark.usefixtures("quick_programs", "one_bucket")


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture
def with_holes(tmp_path) -> str:
    """BERT, which has NaN for the word fox."""
    from safetensors.numpy import load_file, save_file

    copy = Path(shutil.copytree(BERT, tmp_path / "model"))
    arrays = load_file(copy / "model.safetensors")
    fox = (copy / "vocab.txt").read_text().splitlines().index("fox")
    arrays["embeddings.word_embeddings.weight"][fox] = np.nan
    save_file(arrays, copy / "model.safetensors")
    return str(copy)


def test_fewer_dimensions_are_the_first_ones_at_unit_length():
    texts = ["the fox", "a lazy dog", ""]
    whole, part = load(EmbedderConfig(BERT, 16)), load(EmbedderConfig(BERT, 16, dimensions=8))
    assert part.dimension == part.recipe()["dimension"] == 8
    np.testing.assert_allclose(part.embed(texts), unit(whole.embed(texts)[:, :8]), atol=1e-6)


def test_more_dimensions_than_the_model_has_are_refused():
    with pytest.raises(ValueError, match="dimensions 33: the model's vectors have 32"):
        load(EmbedderConfig(BERT, dimensions=33), weights=False)


@pytest.mark.parametrize(
    "wrong", [{"dimensions": 0}, {"layers": "2-3"}, {"long_documents": "drop"}, {"dtype": "float16"}]
)
def test_a_wrong_option_is_refused_when_the_configuration_is_made(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmbedderConfig("somewhere", **wrong)


def test_auto_is_float32_on_a_cpu_and_bfloat16_elsewhere(monkeypatch):
    assert load(EmbedderConfig(BERT, 16, dtype="auto")).dtype == ("float32" if device.on_cpu() else "bfloat16")
    monkeypatch.setattr(device, "on_cpu", lambda: False)
    assert device.chosen_dtype("auto") == "bfloat16" and device.chosen_dtype("float32") == "float32"


def test_auto_is_described_as_auto_wherever_it_is_described():
    assert load(EmbedderConfig(BERT, dtype="auto"), weights=False).recipe()["dtype"] == "auto"


# Long documents -------------------------------------------------------------------------------------------------


@given(st.integers(0, 2000), st.integers(1, 60))
def test_windows_hold_every_token_and_overlap_by_an_eighth(tokens, room):
    found = split_windows(tokens, room)
    assert found[0][0] == 0 and found[-1][1] == tokens
    assert all(0 <= stop - start <= room for start, stop in found)
    for (_, stop), (start, _) in itertools.pairwise(found):
        assert stop - start == room // 8
    assert len(found) == 1 or all(stop - start > room // 8 for start, stop in found)


@pytest.mark.parametrize("prompt", [None, "a dog "])
def test_the_mean_over_windows_is_weighted_by_their_tokens(prompt):
    chunked = load(EmbedderConfig(BERT, 16, long_documents="chunk-mean", prompt=prompt))
    plain = load(EmbedderConfig(BERT, 16))
    texts = ["the fox", LONG, "", "a lazy dog " * 9]
    found = chunked.embed(texts)
    start, end = plain.tokenize([""])[0]
    head = [] if prompt is None else plain.tokenize([prompt])[0][1:-1].tolist()
    room = 16 - 2 - len(head)
    for text, vector in zip(texts, found, strict=True):
        whole = [token for word in text.split() for token in plain.tokenize([word])[0][1:-1]]
        total = np.zeros(32)
        for first, stop in split_windows(len(whole), room):
            row = [start, *head, *whole[first:stop], end]
            padded = np.zeros((1, 16), np.int32)
            padded[0, : len(row)] = row
            lengths = np.array([len(row)], np.int32)
            ((_, (window,)),) = chunked._program.run([None], lambda _, given=(padded, lengths): given)
            total += max(stop - first, 1) * window.astype(np.float64)
        np.testing.assert_allclose(vector, unit(total), atol=1e-5)
    assert chunked.counters.chunked == 2 and chunked.counters.truncated == 0
    lengths = plain.count_tokens(texts).tolist()
    assert chunked.counters.windows == sum(len(split_windows(n, room)) for n in lengths if n > room)
    told: list[int] = []
    chunked.compute(chunked.prepare(texts * 5), done=told.append)
    assert sum(told) == 5 * len(texts) and len(told) > 1


@pytest.mark.parametrize("prompt", ["the words ", "text: "])
@pytest.mark.parametrize("family", ["qwen3", "roberta", "opt", "gemma3_text"])
def test_windows_hold_each_token_once_where_the_prompt_ends_within_one(family, prompt):
    """The blank at its end is a part of the first word's token."""
    config = EmbedderConfig(str(DATA / family), 24, long_documents="chunk-mean", prompt=prompt)
    embedder, plain = load(config), load(replace(config, long_documents="truncate"))
    tokenizer = load_tokenizer(config.model)
    text = " ".join(["fox", *["lazy dog"] * 30])
    (whole, alone, without), _ = tokenizer.tokenize([prompt + text, prompt, text], max_tokens=999, special=False)
    shared = next(i for i in range(len(alone) + 1) if i == len(alone) or alone[i] != whole[i])
    before, after = (0, 0) if family == "opt" else (len(tokenizer.before), len(tokenizer.after))
    rows = [row[before : len(row) - after].tolist() for row in embedder.prepare([text]).rows.ids]
    assert all(row[:shared] == whole[:shared].tolist() for row in rows)
    told = [row[shared:] for row in rows]
    spans = split_windows(len(whole) - shared, 24 - before - after - shared)
    assert told == [whole[shared:][start:stop].tolist() for start, stop in spans]
    for tokens in (None, np.array([len(without)])):
        plain.counters.tokens_cut = 0
        plain.try_embed([text], tokens=tokens)
        assert plain.counters.tokens_cut == len(whole) - (24 - before - after)


def test_a_text_that_fits_has_the_same_vector_either_way():
    texts = ["the fox", "a lazy dog"]
    chunked, plain = load(EmbedderConfig(BERT, 16, long_documents="chunk-mean")), load(EmbedderConfig(BERT, 16))
    np.testing.assert_array_equal(chunked.embed(texts), plain.embed(texts))
    assert chunked.recipe() != plain.recipe()


@pytest.mark.parametrize("known", [True, False])
def test_what_truncation_cuts_is_counted(known):
    embedder = load(EmbedderConfig(BERT, 16))
    texts = ["the fox", LONG, "a lazy dog " * 9]
    whole = embedder.count_tokens(texts)
    embedder.try_embed(texts, tokens=whole if known else None)
    assert embedder.counters.truncated == 2
    assert embedder.counters.tokens_cut == int((whole[1:] - 14).sum())


@pytest.mark.parametrize("prompt", ["", "a lazy dog "])
@pytest.mark.parametrize("long_documents", ["truncate", "chunk-mean"])
def test_texts_that_the_vocabulary_has_little_for_are_counted(prompt, long_documents):
    embedder = load(EmbedderConfig(BERT, 16, prompt=prompt, long_documents=long_documents))
    embedder.try_embed(["", "the fox", LONG, "\u0e09 the", "a \u0e09 dog"])
    assert embedder.counters.unknown == 0
    embedder.try_embed(["\u0e09", "the \u0e09 \u0e01", "\u0e09 " * 50])
    assert embedder.counters.unknown == 3


# Vectors that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("long_documents", ["truncate", "chunk-mean"])
def test_texts_without_a_finite_vector_are_told_apart(with_holes, long_documents):
    embedder = load(EmbedderConfig(with_holes, 16, long_documents=long_documents))
    texts = ["a dog", "the fox", "other documents", LONG]
    vectors, valid = embedder.try_embed(texts)
    assert valid.tolist() == [True, False, True, False]
    assert not vectors[~valid].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[valid], axis=1), 1, atol=1e-6)
    assert embedder.counters.without_vector == 2


def test_sums_that_are_nothing_are_no_vectors():
    sums = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0], [1e200, 1e200]])
    vectors, valid = unit_vectors(sums)
    assert valid.tolist() == [True, False, False, False, False]
    np.testing.assert_allclose(vectors[0], [0.6, 0.8])


# Devices --------------------------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
import numpy as np
from sluice.models.embedders.load import EmbedderConfig, load
import jax
embedder = load(EmbedderConfig(sys.argv[1], 32))
texts = json.loads(sys.argv[2])
np.save(sys.argv[3], embedder.embed(texts))
states = embedder.hidden_states(np.ones((3, 8), np.int32), np.array([8, 2, 5], np.int32))
print(json.dumps({"devices": len(jax.local_devices()), "counters": embedder.counters.tokens, "states": states.shape}))
"""


def test_two_devices_share_batches_and_give_the_same_vectors(tmp_path):
    texts = ["the fox " * (i % 7) + "dog" for i in range(45)]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SCRIPT, BERT, json.dumps(texts), str(tmp_path / "vectors.npy")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    here = load(EmbedderConfig(BERT, 32))
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), here.embed(texts), atol=1e-5)
    assert said == {"devices": 2, "counters": here.counters.tokens, "states": [3, 8, 32]}


def test_batches_that_are_sent_ahead_give_the_same_vectors_as_threads(monkeypatch):
    texts = ["the fox " * (i % 7) + "dog" for i in range(200)]
    embedder = load(EmbedderConfig(BERT, 32))
    expected = embedder.embed(texts)
    started: list[int] = []
    run_ahead = device.run_ahead

    def counted(start, items, **options):
        return run_ahead(lambda item: started.append(len(started)) or start(item), items, **options)

    monkeypatch.setattr(
        device, "run_threads", lambda start, items, *, wait, threads: counted(start, items, wait=wait, ahead=2)
    )
    np.testing.assert_array_equal(embedder.embed(texts), expected)
    assert len(started) > 3


def test_no_more_is_started_than_may_be_ahead():
    started: list[int] = []
    waited: list[int] = []

    def start(item):
        assert len(started) - len(waited) <= 2
        started.append(item)
        return item

    def wait(item):
        waited.append(item)
        return item

    assert list(device.run_ahead(start, range(9), wait=wait, ahead=2)) == list(range(9))
    assert started == waited == list(range(9))


def test_memory_is_shared_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    device.set_environment()
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


@pytest.mark.parametrize("first", ["sluice.models.tokenizers.wordpiece", "sluice.transforms.embeddings.model_handler"])
def test_memory_is_shared_before_anything_looks_for_devices(first):
    code = (
        "import builtins, os, sys\n"
        "load = builtins.__import__\n"
        "def watched(name, *given, **named):\n"
        "    if name in ('jax', 'tensorflow') and name not in sys.modules:\n"
        "        assert os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'false', name\n"
        "        assert os.environ['TF_FORCE_GPU_ALLOW_GROWTH'] == 'true', name\n"
        "    return load(name, *given, **named)\n"
        "builtins.__import__ = watched\n"
        f"import {first}\n"
        "from sluice.models.tokenizers import chosen\n"
        f"chosen.load({BERT!r}).count(['a fox'])\n"
        "print('tensorflow' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_PYTHON", "TF_"))}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


def test_weights_that_do_not_fit_are_refused_before_they_are_read(tmp_path):
    copy = Path(shutil.copytree(BERT, tmp_path / "model"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 2 * config["intermediate_size"]}))
    with pytest.raises(ValueError, match=r"the weights do not fit config\.json: wrong shape: .*intermediate"):
        load(EmbedderConfig(str(copy)), weights=False)
