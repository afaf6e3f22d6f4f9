"""Weights are the same from one safetensors file, from shards and from Flax's msgpack; damage is named; no pickle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sluice.models.checkpoints.tensors import open_tensors, weight_files
from sluice.models.embedders.load import EmbedderConfig, load

DATA = Path(__file__).parents[2] / "data"
pytestmark = pytest.mark.usefixtures("quick_programs", "one_bucket")


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(DATA / "bert", tmp_path / "model"))


def shard(directory, pieces=3):
    arrays = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    weight_map = {}
    for i, names in enumerate(np.array_split(sorted(arrays), pieces)):
        file = f"model-{i + 1:05d}-of-{pieces:05d}.safetensors"
        save_file({str(name): arrays[name] for name in names}, directory / file)
        weight_map |= {str(name): file for name in names}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


def to_flax(directory):
    """As transformers saved Flax models: nested names, kernels transposed, norms with a scale."""
    from flax import serialization

    arrays = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    tree: dict = {}
    for name, array in arrays.items():
        *folders, leaf = name.split(".")
        if leaf == "weight":
            kind = "scale" if "Norm" in folders[-1] else "embedding" if "embeddings" in folders[-1] else "kernel"
            leaf, array = kind, array.T if kind == "kernel" else array
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[leaf] = array
    (directory / "flax_model.msgpack").write_bytes(serialization.msgpack_serialize(tree))


@pytest.mark.parametrize("change", [shard, to_flax])
def test_another_way_of_storing_weights_gives_the_same_vectors(copy, change):
    texts = ["the fox", "a lazy dog"]
    before = load(EmbedderConfig(str(copy)))
    digest = before.recipe()["model_digest"]
    change(copy)
    after = load(EmbedderConfig(str(copy)))
    np.testing.assert_array_equal(before.embed(texts), after.embed(texts))
    assert digest != after.recipe()["model_digest"]


def test_every_shard_counts_in_the_digest(copy):
    file = shard(copy)["embeddings.position_embeddings.weight"]
    before = load(EmbedderConfig(str(copy))).recipe()["model_digest"]
    arrays = load_file(copy / file)
    arrays["embeddings.position_embeddings.weight"] = arrays["embeddings.position_embeddings.weight"] + 1
    save_file(arrays, copy / file)
    assert load(EmbedderConfig(str(copy))).recipe()["model_digest"] != before


def test_a_missing_shard_is_named(copy):
    shard(copy)
    (copy / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00003\.safetensors, which is not there"):
        open_tensors(str(copy))


def test_shards_that_differ_from_their_index_are_refused(copy):
    weight_map = shard(copy)
    weight_map["encoder.nothing"] = weight_map.pop("embeddings.LayerNorm.bias")
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match=r"differ in: embeddings\.LayerNorm\.bias, encoder\.nothing"):
        open_tensors(str(copy))


def test_a_tensor_in_two_shards_is_refused(copy):
    weight_map = shard(copy)
    shutil.copy(copy / "model-00001-of-00003.safetensors", copy / "model-00002-of-00003.safetensors")
    assert weight_map
    with pytest.raises(ValueError, match="another shard has too"):
        open_tensors(str(copy))


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": 1}}'])
def test_an_index_that_is_none_is_refused(copy, content):
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match="is not an index of shards"):
        weight_files(str(copy))


@pytest.mark.parametrize("content", [b"", b"\x08" * 40, b"\xff\xff\xff\xff\xff\xff\xff\xff{}"])
def test_a_damaged_safetensors_file_is_named(copy, content):
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
        load(EmbedderConfig(str(copy)))


@pytest.mark.parametrize("name", ["model.safetensors", "flax_model.msgpack"])
def test_a_pointer_of_git_lfs_is_told(copy, name):
    (copy / "model.safetensors").unlink()
    (copy / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match=rf"{name} is a pointer of Git LFS.*git lfs pull"):
        open_tensors(str(copy))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xc1", "not a Flax checkpoint"), (b"\x01", "holds int"), (b"\x81\xa1a\x01", "a is int, not an array")],
)
def test_a_damaged_flax_file_is_named(copy, content, message):
    (copy / "model.safetensors").unlink()
    (copy / "flax_model.msgpack").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(EmbedderConfig(str(copy)))


def test_a_pickle_is_named_and_not_read(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model\.bin would run code"):
        load(EmbedderConfig(str(copy)))
