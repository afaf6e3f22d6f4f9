"""The work of a model, which its speed is held against, is that of its products."""

import numpy as np
import pytest

from benchmarks.embed import flops
from benchmarks.measure import ROOT
from sluice.models.families import families


@pytest.mark.parametrize("model", ["bert", "opt"])
def test_the_work_of_a_model_is_that_of_its_products(model):
    # Three layers, 32 wide, 64 in between: 4 products of 32 x 32, two of 32 x 64, and those of attention.
    lengths = np.array([5, 9])
    found = flops.model_work(str(ROOT / "tests" / "data" / model), lengths)
    assert found == 3 * (14 * 2 * (4 * 32 * 32 + 2 * 32 * 64) + 4 * 32 * (25 + 81))


def test_every_family_has_work():
    for name in families():
        once, twice = (flops.model_work(str(ROOT / "tests" / "data" / name), np.array([n])) for n in (10, 20))
        assert twice > 2 * once > 0  # attention, whose work grows with the square, was found
