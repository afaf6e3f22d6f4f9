"""What the families share does what its definition says."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from sluice.models.layers import positions, published
from sluice.models.layers.blocks import Layout
from sluice.models.layers.positions import Rotary


@pytest.mark.parametrize("behind", [None, 0, 2])
@pytest.mark.parametrize("ahead", [None, 0, 1])
def test_a_query_sees_its_own_text_within_reach(behind, ahead):
    segments = np.array([[1, 1, 1, 2, 2, 0], [4, 4, 4, 4, 4, 4]])

    def sees(row, query, key):
        near = (behind is None or query - key <= behind) and (ahead is None or key - query <= ahead)
        return near and segments[row, key] > 0 and segments[row, query] == segments[row, key]

    found = Layout.of_segments(jnp.asarray(segments)).bias(behind=behind, ahead=ahead)
    expected = [[[sees(row, query, key) for key in range(6)] for query in range(6)] for row in range(2)]
    np.testing.assert_array_equal(np.asarray(found)[:, 0] == 0, expected)


def test_a_padded_row_hides_its_padding_from_every_query():
    bias = np.asarray(Layout.padded(jnp.array([2, 4]), 4).bias())
    assert bias.shape == (2, 1, 1, 4)
    np.testing.assert_array_equal(bias[:, 0, 0] == 0, [[True, True, False, False], [True] * 4])


def test_positions_start_anew_in_every_text_of_a_row():
    packed = Layout.of_segments(jnp.array([[1, 1, 1, 2, 2, 3], [7, 8, 8, 0, 0, 0]]))
    np.testing.assert_array_equal(packed.positions[:, :3], [[0, 1, 2], [0, 0, 1]])
    np.testing.assert_array_equal(packed.positions[0], [0, 1, 2, 0, 1, 0])
    table = jnp.arange(20.0).reshape(10, 2)
    np.testing.assert_array_equal(packed.lookup(table, offset=2)[0, :, 0], [4, 6, 8, 4, 6, 4])
    np.testing.assert_array_equal(Layout.padded(jnp.array([3]), 3).lookup(table, offset=2)[0, :, 0], [4, 6, 8])


def test_relative_buckets_are_t5s():
    def bucket(
        distance, buckets, farthest
    ):  # transformers' T5Attention._relative_position_bucket, one number at a time
        half = buckets // 2
        side, apart, exact = (half if distance > 0 else 0), abs(distance), half // 2
        if apart < exact:
            return side + apart
        return side + min(exact + int(math.log(apart / exact) / math.log(farthest / exact) * (half - exact)), half - 1)

    distances = np.arange(-300, 301)
    for buckets, farthest in ((32, 128), (8, 16), (64, 512)):
        expected = [bucket(int(distance), buckets, farthest) for distance in distances]
        np.testing.assert_array_equal(
            positions.relative_buckets(distances, buckets=buckets, farthest=farthest), expected
        )
    with pytest.raises(ValueError, match="at least 4 buckets"):
        positions.relative_buckets(distances, buckets=2, farthest=8)


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    random = np.random.default_rng(0)
    query, key = random.normal(size=(2, 1, 1, 1, 8)).astype(np.float32)

    def score(i, j):
        turned = [
            positions.rotate(jnp.asarray(vector), *positions.rotation(jnp.array([[position]]), 8, Rotary(100.0)))
            for vector, position in ((query, i), (key, j))
        ]
        np.testing.assert_allclose(np.linalg.norm(turned[0]), np.linalg.norm(query), rtol=1e-6)
        return float((turned[0] * turned[1]).sum())

    assert score(3, 1) == pytest.approx(score(9, 7), abs=1e-5)
    assert score(0, 0) == pytest.approx(float((query * key).sum()), abs=1e-6)
    assert score(3, 1) != pytest.approx(score(1, 3), abs=1e-3)


def test_a_stretched_rotation_turns_as_much_slower():
    slow = positions.rotation(jnp.array([[8]]), 4, Rotary(100.0, 4.0))
    for found, expected in zip(slow, positions.rotation(jnp.array([[2]]), 4, Rotary(100.0))):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "kind", "expected"),
    [
        ({}, None, Rotary(7.0)),
        ({"rope_parameters": {"rope_theta": 5, "rope_type": "default"}}, None, Rotary(5.0)),
        ({"rope_scaling": {"type": "linear", "factor": 8}}, None, Rotary(7.0, 8.0)),
        ({"rope_scaling": {"rope_type": "linear", "factor": 8}}, "full_attention", Rotary(7.0, 8.0)),
        ({"rope_scaling": {"rope_type": "linear", "factor": 8}}, "sliding_attention", Rotary(7.0)),
        ({"rope_parameters": {"sliding_attention": {"rope_theta": 3}}}, "sliding_attention", Rotary(3.0)),
        ({"rope_parameters": {"sliding_attention": {"rope_theta": 3}}}, "full_attention", Rotary(7.0)),
    ],
)
def test_rotary_settings_are_read_in_both_spellings(config, kind, expected):
    assert positions.rotary(config, 7.0, kind=kind) == expected


def test_unknown_settings_are_refused_naming_them():
    with pytest.raises(ValueError, match="'yarn'"):
        positions.rotary({"rope_scaling": {"rope_type": "yarn"}}, 1.0)
    with pytest.raises(ValueError, match="'linear_attention'"):
        published.sliding_layers({"layer_types": ["linear_attention"], "num_hidden_layers": 1})
    with pytest.raises(ValueError, match="2 layer_types for 3 layers"):
        published.sliding_layers({"layer_types": ["full_attention"] * 2, "num_hidden_layers": 3})
    with pytest.raises(ValueError, match="4 heads of width 8 over 3"):
        published.head_groups({"num_attention_heads": 4, "num_key_value_heads": 3, "head_dim": 8})
