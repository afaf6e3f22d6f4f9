"""What the workers of a training in two levels hold, and that the order of blocks does not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.arrays.vectors import coarse
from sluice.models.clustering.two_level import Levels, Share, training_bytes
from sluice.transforms.clusters.blocks import BLOCK_BYTES, First, cut, gather, sample_dtype
from sluice.transforms.clusters.centroids import Training
from sluice.transforms.clusters.members import load_array
from sluice.transforms.clusters.two_level import KeepPoints, TrainFirst, plan
from sluice.transforms.stages.artifacts import Artifact
from tests.transforms.stages.test_memory import DIMENSION, peak, stored


def records(size: int, *, dimension: int = 3, tickets: int = 1 << 60, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = np.empty(size, sample_dtype(dimension))
    found["ticket"] = rng.integers(0, tickets, size)
    found["place"] = rng.permutation(size)
    found["vector"] = rng.integers(-30_000, 30_000, (size, dimension))
    return found


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 200),
    most=st.integers(1, 80),
    pieces=st.integers(1, 40),
    seed=st.integers(0, 99),
    tickets=st.sampled_from([3, 1 << 60]),
)
def test_the_first_of_a_sample_are_a_sorts_first_whatever_the_blocks(size, most, pieces, seed, tickets):
    sample = records(size, seed=seed, tickets=tickets)
    found = First(most)
    largest = -(-size // pieces)
    for block in np.array_split(np.random.default_rng(seed).permutation(sample), pieces):
        found.add(block)
        assert sum(len(one) for one in found.held) <= most + max(most // 4, 1) + largest
    order = sorted(range(size), key=lambda row: (sample["ticket"][row], sample["place"][row]))
    assert np.array_equal(found.vectors(), sample["vector"][order[:most]])
    assert found.seen == size


def test_blocks_have_a_bounded_size_and_lose_nothing():
    sample = records(70_000, dimension=8)
    blocks = list(cut(sample))
    assert max(map(len, blocks)) <= BLOCK_BYTES < sum(map(len, blocks))
    assert np.array_equal(np.frombuffer(b"".join(blocks), sample.dtype), sample)


@pytest.fixture
def blocks() -> list[bytes]:
    sample = np.empty(30_000, sample_dtype(DIMENSION))
    sample["ticket"] = sample["place"] = np.arange(30_000)
    sample["vector"] = stored(30_000)
    return list(cut(sample))


def test_a_worker_holds_what_the_plan_allows_however_many_records_come(blocks, tmp_path):
    levels = Levels(10, 6000, 20, 6000)
    said = training_bytes(sample=6000, dimension=DIMENSION, k=20)
    target, numbers = Artifact(str(tmp_path), "0" * 32), iter(range(100))

    def keep() -> None:
        # A new cluster each time: the file of one that is there is not written again.
        list(KeepPoints(target, levels, DIMENSION).process((next(numbers), iter(blocks))))

    assert said / 2 < peak(keep) < said + (8 << 20)
    training = Training(20, 30_000, 30_000, 0, "test", iterations=4, levels=levels)

    def train() -> None:
        fresh = Artifact(str(tmp_path / str(next(numbers))), "0" * 32)
        list(TrainFirst(fresh, training, levels, DIMENSION).process((0, iter(blocks))))

    assert said / 2 < peak(train) < said + (8 << 20)


def test_what_is_kept_of_a_cluster_is_its_first_points_and_what_they_are(blocks, tmp_path):
    target = Artifact(str(tmp_path), "0" * 32)
    found = list(KeepPoints(target, Levels(10, 6000, 20, 500), DIMENSION).process((7, iter(reversed(blocks)))))
    expected = coarse(gather(blocks, 500, DIMENSION).vectors())
    assert np.array_equal(load_array(target, "bins/bin-00007"), expected)
    assert found == [(0, (7, Share(30_000, 500, 500)))]


def test_the_plan_does_not_depend_on_the_order_of_what_it_is_made_of():
    shares = [(3, Share(10, 10, 10)), (0, Share(30, 30, 30)), (8, Share(1, 1, 1)), (5, Share(60, 20, 10))]
    training, levels = Training(10, 100, 100, 0, "test"), Levels(9, 9, 4, 20)
    found = list(plan((0, shares), training, levels))
    assert found == list(plan((0, reversed(shares)), training, levels))
    # Weights 30, 10, 30, 1 of 71: quotas 4.2, 1.4, 4.2, 0.1; the limit of 4 gives two to the other two.
    assert [(cluster, count) for cluster, _, count in found] == [(0, 4), (3, 2), (5, 4)]
