"""What differs from the recipe before is told by the names of steps."""

import pytest

from sluice.pipelines.recipe.changes import find_changes
from sluice.transforms.stages.commit import TooManyRejects, check_rejects

SEMDEDUP, MINHASH, RANDOM = {"step": "semdedup", "ratio": 0.9}, {"step": "minhash"}, {"step": "random"}


@pytest.mark.parametrize(
    "before, now, told",
    [
        ([SEMDEDUP], [SEMDEDUP], []),
        ([SEMDEDUP], [MINHASH, SEMDEDUP], ["steps: minhash was added before semdedup"]),
        ([SEMDEDUP], [SEMDEDUP, RANDOM], ["steps: random was added at the end"]),
        ([MINHASH, SEMDEDUP], [SEMDEDUP], ["steps: minhash was removed"]),
        (
            [MINHASH, SEMDEDUP],
            [{**SEMDEDUP, "ratio": 0.8}],
            ["steps: minhash was removed", "step semdedup.ratio: 0.9 -> 0.8"],
        ),
        ([RANDOM, MINHASH], [MINHASH, RANDOM], ["steps: in another order: random, minhash -> minhash, random"]),
        ([RANDOM], [RANDOM, {**RANDOM, "seed": 2}], ["steps: random (2) was added at the end"]),
    ],
)
def test_steps_are_compared_by_name(before, now, told):
    assert find_changes({"seed": 1, "steps": before}, {"seed": 1, "steps": now}) == told


def totals(records, bad):
    return {"records": records, "documents": records - bad, "reasons": {"no text": bad}}


@pytest.mark.parametrize("records, bad, limit", [(5, 1, 0.01), (900, 10, 0.01), (2000, 20, 0.01), (5, 1, 0.2)])
def test_a_handful_of_bad_records_is_allowed_by_default(records, bad, limit):
    check_rejects(totals(records, bad), limit)


@pytest.mark.parametrize(
    "records, bad, limit", [(900, 11, 0.01), (2000, 21, 0.01), (5, 1, 0.1), (5, 1, 0.0), (5, 5, 0.01)]
)
def test_more_bad_records_than_that_and_any_beyond_an_explicit_share_are_refused(records, bad, limit):
    with pytest.raises(TooManyRejects):
        check_rejects(totals(records, bad), limit)
