"""Attention is that of its definition, however it is computed; a kernel that cannot be trusted is not used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sluice.models.layers import attention
from sluice.models.layers.blocks import Layout


def plain(query, key, value, bias, scale):
    """One query at a time, in float64."""
    batch, length, heads, _ = query.shape
    per_key = heads // key.shape[2]
    bias = np.broadcast_to(np.asarray(bias, np.float64), (batch, heads, length, length))
    found = np.zeros(query.shape)
    for row, place, head in np.ndindex(batch, length, heads):
        scores = key[row, :, head // per_key] @ query[row, place, head] * scale + bias[row, head, place]
        weights = np.exp(scores - scores.max())
        found[row, place, head] = weights / weights.sum() @ value[row, :, head // per_key]
    return found


BIASES = {
    "padded": lambda random: Layout.padded(jnp.array([5, 3]), 5).bias(),
    "causal": lambda random: Layout.padded(jnp.array([5, 3]), 5).bias(ahead=0),
    "near": lambda random: Layout.padded(jnp.array([5, 3]), 5).bias(behind=1, ahead=1),
    "of places": lambda random: random.normal(size=(1, 4, 5, 5)).astype(np.float32),
    "both": lambda random: (
        Layout.padded(jnp.array([5, 3]), 5).bias() + random.normal(size=(1, 4, 5, 5)).astype(np.float32)
    ),
}


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_attention_is_that_of_its_definition(bias, key_heads):
    random = np.random.default_rng(0)
    query = random.normal(size=(2, 5, 4, 8)).astype(np.float32)
    key, value = random.normal(size=(2, 2, 5, key_heads, 8)).astype(np.float32)
    bias = BIASES[bias](random)
    expected = plain(query, key, value, bias, 0.3)
    np.testing.assert_allclose(attention.attend(query, key, value, bias, scale=0.3), expected, atol=1e-5)
    small = [jnp.asarray(one, jnp.bfloat16) for one in (query, key, value)]
    fused = attention.attend_fused(*small, jnp.asarray(bias), scale=0.3, kernel="xla")
    assert fused.dtype == jnp.bfloat16 and np.isfinite(fused.astype(np.float32)).all()
    # A query of padding may see no key at all, and what it gets means nothing.
    seen = (np.asarray(bias) > attention.FAR / 2).any(axis=-1)
    seen = np.broadcast_to(seen, (2, 4, 5)).transpose(0, 2, 1)
    np.testing.assert_allclose(np.asarray(fused, np.float32)[seen], expected[seen], atol=0.03)


@pytest.fixture
def unsettled():
    attention.works.cache_clear()
    yield
    attention.works.cache_clear()


def test_a_kernel_is_tried_before_it_is_used(unsettled, monkeypatch, caplog):
    assert attention.works("xla") and not caplog.text
    if jax.default_backend() == "cpu":
        assert not attention.works("cudnn") and "attention is not fused" in caplog.text
    monkeypatch.setattr(attention, "attend_fused", lambda query, *rest, **names: query)
    attention.works.cache_clear()
    assert not attention.works("xla") and "xla is off by" in caplog.text
    monkeypatch.setattr(attention, "attend_fused", lambda query, *rest, **names: query * jnp.nan)
    attention.works.cache_clear()
    assert not attention.works("xla")


@pytest.mark.parametrize(
    ("dtype", "width", "trusted", "fused"),
    [
        (jnp.bfloat16, 64, True, True),
        (jnp.float16, 128, True, True),
        (jnp.bfloat16, 64, False, False),
        (jnp.float32, 64, True, False),
        (jnp.bfloat16, 132, True, False),
        (jnp.bfloat16, 256, True, False),
    ],
)
def test_on_gpus_what_the_kernel_takes_is_fused(dtype, width, trusted, fused, monkeypatch):
    """Within a program, as the embedders call it."""
    kernels = []

    def note(query, key, value, bias, *, scale, kernel):
        kernels.append(kernel)
        return query

    monkeypatch.setattr(attention, "attend_fused", note)
    monkeypatch.setattr(attention, "works", lambda kernel: trusted)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    query = jnp.ones((1, 3, 2, width), dtype)
    jax.jit(lambda query: attention.attend(query, query, query, jnp.zeros((1, 1, 1, 3)), scale=1.0))(query)
    assert kernels == ["cudnn"] * fused


def test_a_kernel_is_tried_in_the_middle_of_a_program_too(unsettled):
    found = []
    jax.jit(lambda x: (found.append(attention.works("xla")), x)[1])(jnp.ones(3))
    assert found == [True]
