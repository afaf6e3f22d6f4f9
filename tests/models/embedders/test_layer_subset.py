"""Embedders without some of their layers compute what the whole one does with those layers left out."""

from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.embedders import layer_subset
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.layers.blocks import Layout

DATA = Path(__file__).parents[2] / "data"
FAMILIES = ["bert", "gemma3_text", "modernbert", "mpnet", "opt", "qwen3", "roberta", "t5_encoder"]
TEXTS = ["the fox", "the quick brown fox jumps over a lazy dog and other documents", "a dog", ""]

pytestmark = pytest.mark.usefixtures("quick_programs", "one_bucket")


@given(st.sets(st.integers(1, 40), max_size=20))
def test_ranges_are_read_as_they_are_shown(numbers):
    kept = sorted(number - 1 for number in numbers | {1})
    assert layer_subset.kept_layers(layer_subset.shown_layers(kept), 40) == kept


@pytest.mark.parametrize(
    ("text", "kept"), [("2", [0, 1]), ("1-2", [0, 1]), ("1,3", [0, 2]), ("1-2, 4-5", [0, 1, 3, 4]), ("1", [0])]
)
def test_layers_are_a_number_or_ranges(text, kept):
    assert layer_subset.kept_layers(text, 5) == kept


@pytest.mark.parametrize("text", ["", "0", "x", "2-3", "3-1", "1-3,2-4", "1-2,", "-1", "1-2-3", "6", "1-2,6"])
def test_layers_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="layers"):
        layer_subset.kept_layers(text, 5)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_subset_is_the_whole_model_with_the_other_layers_passing_their_input_on(name):
    directory = str(DATA / name)
    whole, part = load(EmbedderConfig(directory, max_tokens=16)), load(EmbedderConfig(directory, 16, layers="1,3"))
    assert whole.layers == part.layers == 3
    ids, lengths = np.arange(8, 28, dtype=np.int32).reshape(2, 10), np.array([10, 7], np.int32)
    module = whole.architecture.module

    def skip(call, args, kwargs, context):
        result = call(*args, **kwargs)
        return args[0] if context.module.name == "layer_1" and context.method_name == "__call__" else result

    with nn.intercept_methods(skip):
        layout = Layout.padded(jax.numpy.array(lengths), 10)
        expected = module.apply({"params": whole._program._weights[0]}, ids, layout)
    found = part.hidden_states(ids, lengths)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(found[row, :length], np.asarray(expected)[row, :length], atol=2e-5)
    assert part.recipe()["layers"] == "1-1,3-3" and whole.recipe()["layers"] is None
    assert np.abs(part.embed(TEXTS) - whole.embed(TEXTS)).max() > 1e-3


def test_all_layers_are_the_whole_model():
    directory = str(DATA / "bert")
    assert (
        load(EmbedderConfig(directory, layers="3"), weights=False).recipe()
        == load(EmbedderConfig(directory), weights=False).recipe()
    )


def test_more_layers_than_there_are_are_refused():
    with pytest.raises(ValueError, match="layers '1-4': the model has 3"):
        load(EmbedderConfig(str(DATA / "bert"), layers="1-4"), weights=False)


@pytest.mark.parametrize(("name", "mode"), [("bert", "mean"), ("opt", "last"), ("bert", "cls")])
def test_angles_are_those_between_the_states_that_enter_and_leave_the_layers(name, mode):
    embedder = load(EmbedderConfig(str(DATA / name), max_tokens=16, pooling=mode))
    found = embedder.layer_angles(TEXTS)
    rows = embedder.tokenize(TEXTS)
    expected = np.zeros((4, 4))
    states: list[np.ndarray] = []
    last: list[np.ndarray] = []

    def look(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if (context.module.name or "").startswith("layer_") and context.method_name == "__call__":
            states.append(np.asarray(args[0][0], np.float64))
            last[:] = [np.asarray(result[0], np.float64)]
        return result

    for row in rows:
        states.clear()
        layout = Layout.padded(jax.numpy.array([len(row)]), len(row))
        with nn.intercept_methods(look):
            embedder.architecture.module.apply({"params": embedder._program._weights[0]}, row[None], layout)
        both = np.stack(states + last)
        unit = both / np.linalg.norm(both, axis=-1, keepdims=True)
        angle = np.arccos(np.clip(np.einsum("nld,mld->lnm", unit, unit), -1, 1)) / np.pi
        expected += {"mean": angle.mean(axis=0), "last": angle[-1], "cls": angle[0]}[mode] / len(rows)
    # arccos near a cosine of 1 loses half of the digits
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found[0, 3] > 0.01


def test_the_block_whose_input_and_output_point_alike_is_chosen():
    angles = np.full((6, 6), 0.5)
    angles[0, 2] = 0.0  # would drop the first layer
    angles[2, 4] = 0.1
    assert layer_subset.choose_block(angles, 2) == 2
    assert layer_subset.choose_block(np.full((6, 6), 0.5), 2) == 3
    for drop in (0, 5, 6):
        with pytest.raises(ValueError, match=f"{drop} of 5 layers"):
            layer_subset.choose_block(angles, drop)
