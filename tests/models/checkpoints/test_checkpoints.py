"""Strict loading: every tensor used, every parameter filled, or an error that lists what is wrong."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from sluice.models.checkpoints import Weight, digest, read_config, read_parameters

WEIGHTS = {
    "dense/kernel": Weight(("a.weight", "b.weight"), (2, 3), transpose=True),
    "dense/bias": Weight(("a.bias", "b.bias"), (2,)),
}
TENSORS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.weight": np.arange(6, 12, dtype=np.float32).reshape(2, 3),
    "a.bias": np.zeros(2, np.float32),
    "b.bias": np.ones(2, np.float32),
}


def write(directory, tensors):
    save_file(tensors, directory / "model.safetensors")
    return str(directory)


def test_tensors_are_transposed_and_joined(tmp_path):
    tree = read_parameters(write(tmp_path, TENSORS), WEIGHTS)
    np.testing.assert_array_equal(tree["dense"]["kernel"], [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]])
    np.testing.assert_array_equal(tree["dense"]["bias"], [0, 0, 1, 1])


def test_half_precision_is_read_as_float32(tmp_path):
    directory = write(tmp_path, {name: tensor.astype(np.float16) for name, tensor in TENSORS.items()})
    tree = read_parameters(directory, WEIGHTS)
    assert tree["dense"]["kernel"].dtype == np.float32
    np.testing.assert_array_equal(tree["dense"]["kernel"][0], [0, 3, 6, 9])


def test_bfloat16_is_read_as_float32(tmp_path):
    import ml_dtypes

    directory = write(tmp_path, {name: tensor.astype(ml_dtypes.bfloat16) for name, tensor in TENSORS.items()})
    tree = read_parameters(directory, WEIGHTS)
    assert tree["dense"]["kernel"].dtype == np.float32
    np.testing.assert_array_equal(tree["dense"]["kernel"][0], [0, 3, 6, 9])


def test_whole_numbers_are_refused_as_weights(tmp_path):
    directory = write(tmp_path, TENSORS | {"a.bias": np.zeros(2, np.int64)})
    with pytest.raises(ValueError, match="int64"):
        read_parameters(directory, WEIGHTS)


def test_missing_extra_and_misshapen_tensors_are_all_listed(tmp_path):
    tensors = TENSORS | {"c.weight": np.zeros(1, np.float32), "b.bias": np.zeros(3, np.float32)}
    del tensors["a.weight"]
    with pytest.raises(ValueError, match=r"missing: a\.weight; extra: c\.weight; wrong shape: b\.bias is \(3,\)"):
        read_parameters(write(tmp_path, tensors), WEIGHTS)


def test_a_prefix_and_harmless_tensors_are_accepted(tmp_path):
    tensors = {f"bert.{name}": tensor for name, tensor in TENSORS.items()}
    tensors["bert.pooler.dense.weight"] = np.zeros(1, np.float32)
    directory = write(tmp_path, tensors)
    read_parameters(directory, WEIGHTS, prefix="bert.", harmless=[r"pooler\."])
    with pytest.raises(ValueError, match=r"extra: pooler\.dense\.weight"):
        read_parameters(directory, WEIGHTS, prefix="bert.")


def test_two_tensors_of_one_name_are_refused(tmp_path):
    directory = write(tmp_path, TENSORS | {"bert.a.bias": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match=r"a\.bias"):
        read_parameters(directory, WEIGHTS, prefix="bert.")


def test_a_directory_without_a_model_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        read_config(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        read_parameters(str(tmp_path), WEIGHTS)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_configuration_that_is_no_object_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        read_config(str(tmp_path))


def test_the_digest_changes_with_any_file_and_only_with_content(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    before = digest(str(tmp_path), ["one", "two", "absent"])
    assert before == digest(str(tmp_path), ["two", "one"])
    (tmp_path / "two").write_bytes(b"3")
    assert before != digest(str(tmp_path), ["one", "two"])
    assert before != digest(str(tmp_path), ["one"])
