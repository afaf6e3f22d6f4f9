"""A model is found in a directory, fetched from a URL or from the hub, or an error says where it was looked for."""

import re
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest

from sluice.models.checkpoints import files
from sluice.models.checkpoints.files import local_directory, needed
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.pipelines.main import main

DATA = Path(__file__).parents[2] / "data"
pytestmark = pytest.mark.usefixtures("quick_programs", "one_bucket")


@pytest.fixture(autouse=True)
def forget(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files._copied.cache_clear()
    files._from_hub.cache_clear()


def test_only_what_a_model_needs_is_fetched():
    names = [
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "flax_model.msgpack",
        "onnx/model.onnx",
        "vocab.txt",
    ]
    names += ["1_Pooling/config.json", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin", "README.md", ".x.json"]
    names += ["model.fp16.safetensors", "openvino/config.json", "a/b/c.json"]
    assert needed(names) == [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "config.json",
        "model.safetensors",
        "vocab.txt",
    ]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert needed(shards) == shards
    assert needed(["flax_model.msgpack", "pytorch_model.bin"]) == ["flax_model.msgpack"]


def test_a_url_is_copied_once_and_again_when_it_changes():
    memory = fsspec.filesystem("memory")
    memory.put(str(DATA / "bert") + "/", "/models/bert/", recursive=True)
    url = "memory://models/bert"
    first = local_directory(url)
    expected = load(EmbedderConfig(str(DATA / "bert"))).embed(["the fox"])
    np.testing.assert_array_equal(load(EmbedderConfig(url)).embed(["the fox"]), expected)
    assert not Path(first, "reference.npz").exists()
    files._copied.cache_clear()
    assert local_directory(url) == first
    before = memory.cat("/models/bert/vocab.txt")
    memory.pipe("/models/bert/vocab.txt", bytes(len(before)))
    files._copied.cache_clear()
    assert local_directory(url) != first
    memory.rm("/models", recursive=True)


def test_a_url_without_a_model_is_refused():
    fsspec.filesystem("memory").pipe("/nothing/readme.md", b"")
    with pytest.raises(FileNotFoundError, match="memory://nothing holds no model"):
        local_directory("memory://nothing")


def out_of_reach(self, path, *args, **options):
    raise ConnectionResetError("Cannot connect to host")


@pytest.mark.parametrize(("fails", "named"), [("find", "memory://far/model"), ("get_file", "/config.json")])
def test_a_url_that_cannot_be_read_is_named_with_what_the_store_said(fails, named, monkeypatch):
    memory = fsspec.filesystem("memory")
    memory.put(str(DATA / "bert") + "/", "/far/model/", recursive=True)
    with monkeypatch.context() as patch, pytest.raises(FileNotFoundError) as raised:
        patch.setattr(type(memory), fails, out_of_reach)
        local_directory("memory://far/model")
    assert re.fullmatch(
        r"the model's files at memory://far/model.* could not be fetched \(ConnectionResetError: Cannot connect .*",
        str(raised.value),
    )
    assert f"{named} could not be fetched" in str(raised.value)
    assert not list(files._cache().glob("*"))
    assert Path(local_directory("memory://far/model"), "config.json").exists()
    memory.rm("/far", recursive=True)


@pytest.mark.parametrize("url", ["memory://far/model", "nosuch://bucket/model"])
def test_a_command_whose_model_cannot_be_read_ends_in_one_line(url, monkeypatch, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "the fox"}\n')
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", out_of_reach)
    command = [
        "curate",
        "--input",
        str(tmp_path / "a.jsonl"),
        "--id",
        "id",
        "--run",
        str(tmp_path / "run"),
        "--recipe",
        "semdedup",
    ]
    assert main([*command, "--keep", "0.5", "--model", url]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sluice: the model's files at {url} could not be fetched") and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_a_name_is_fetched_from_the_hub(monkeypatch, tmp_path):
    import huggingface_hub

    asked = {}

    def listing(self, name, *, revision):
        return [path.name for path in (DATA / "bert").iterdir()]

    def download(name, *, revision, allow_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return shutil.copytree(DATA / "bert", tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", listing)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load(EmbedderConfig("tiny/bert@v1")).embed(["the fox"]).shape == (1, 32)
    assert asked == {
        "name": "tiny/bert",
        "revision": "v1",
        "patterns": ["config.json", "model.safetensors", "vocab.txt"],
    }


def test_without_the_network_a_snapshot_that_is_there_is_used_and_else_the_error_says_what_to_do(
    monkeypatch, tmp_path, caplog
):
    import huggingface_hub

    def unreachable(self, name, *, revision):
        raise ConnectionError("no route")

    def missing(name, *, revision, local_files_only):
        raise FileNotFoundError("not in the cache")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", missing)
    with pytest.raises(FileNotFoundError, match=r"could not be fetched .*no route.*name its directory"):
        local_directory("tiny/bert")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(tmp_path))
    assert local_directory("tiny/bert") == str(tmp_path)
    assert f"no route): what an earlier download left in {tmp_path} is used" in caplog.text


def test_a_misspelt_directory_and_a_file_are_not_looked_for_on_the_hub(monkeypatch, tmp_path):
    import huggingface_hub

    def unreachable(self, name, *, revision):
        raise ConnectionError(f"{name} at {revision}")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", unreachable)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(FileNotFoundError, match="could not be fetched from the Hugging Face hub"):
        local_directory("models/bart")  # a folder that happens to be there
    shutil.copytree(DATA / "bert", tmp_path / "models" / "bert")
    (tmp_path / "models" / "weights.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no bart among the models in models; .* say hf://models/bart$"):
        local_directory("models/bart")
    with pytest.raises(FileNotFoundError, match=r"weights\.bin is a file: a model is named by its directory"):
        local_directory("models/weights.bin")
    with pytest.raises(
        FileNotFoundError, match=r"^models/bart@v1 could not be fetched .*models/bart at v1.*and is no directory"
    ):
        local_directory("hf://models/bart@v1")


@pytest.mark.parametrize("name", ["nowhere", "/no/such/directory", "./x", "a/b/c"])
def test_what_is_neither_directory_nor_hub_name_is_refused(name):
    with pytest.raises(FileNotFoundError, match="neither a directory nor a name"):
        local_directory(name)
