"""Batches hold every text once, in shapes that depend on its own length alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.models.embedders.batches import bucket_lengths, plan_batches


def test_bucket_lengths_are_few_and_end_at_the_longest():
    assert bucket_lengths(256) == list(range(16, 257, 16))
    assert bucket_lengths(512)[15:] == [256, 288, 320, 352, 384, 432, 480, 512]
    assert bucket_lengths(20) == [16, 20]
    assert bucket_lengths(3) == [3]


@given(st.lists(st.integers(2, 256), max_size=200), st.integers(1, 9000), st.integers(1, 3), st.integers(0, 4))
def test_every_text_is_in_one_batch_of_its_bucket_or_fills_one_above(lengths, tokens, devices, halvings):
    buckets = bucket_lengths(256)
    planned = list(
        plan_batches(np.array(lengths, np.int32), buckets, tokens=tokens, devices=devices, halvings=halvings)
    )
    rows = [int(row) for batch in planned for row in batch.rows]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    for batch in planned:
        own = [min(bucket for bucket in buckets if bucket >= lengths[row]) for row in batch.rows]
        whole = max(1, tokens // batch.length)
        least = devices * max(1, whole >> halvings)
        assert batch.size in {devices * max(1, whole >> times) for times in range(halvings + 1)}
        assert batch.length == own[0] == max(own)
        # Only the least batch there may be is filled up, and only the last text of all leaves rows empty.
        assert own[-1] == batch.length or batch.size == least
        assert len(batch.rows) == batch.size or (batch.size == least and batch is planned[-1])


def test_halved_batches_are_less_padding():
    lengths = np.random.default_rng(0).integers(2, 257, 4096).astype(np.int32)
    computed = [
        sum(batch.size * batch.length for batch in plan_batches(lengths, bucket_lengths(256), tokens=65536, halvings=h))
        for h in (0, 3)
    ]
    assert lengths.sum() < computed[1] < 1.1 * lengths.sum() < 1.2 * lengths.sum() < computed[0]


def test_a_text_longer_than_every_bucket_is_refused():
    with pytest.raises(ValueError, match="300 tokens"):
        list(plan_batches(np.array([300]), bucket_lengths(256), tokens=512))
