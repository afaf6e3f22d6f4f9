"""Groups of equal digests against plain sorting."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.transforms.scores.copies import CANDIDATE, first_of_each, in_order


@st.composite
def candidates(draw) -> np.ndarray:
    """Rows whose digests are equal, equal in one half, or different; priorities and ties are few."""
    size = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    rows = np.zeros(size, CANDIDATE)
    halves = rng.integers(0, draw(st.sampled_from([1, 3, 2**63])), (size, 2)).astype("<u8")
    rows["digest"] = halves.view("V16").reshape(-1)
    rows["priority"], rows["tie"] = rng.integers(-2, 2, size), rng.integers(0, 3, size)
    rows["unit"], rows["row"] = rng.integers(0, 3, size), rng.permutation(size)
    return rows


def key(row: np.void) -> tuple:
    first, second = np.frombuffer(row["digest"].tobytes(), "<u8").tolist()
    return first, second, *(int(row[name]) for name in ("priority", "tie", "unit", "row"))


@settings(max_examples=150, deadline=None)
@given(rows=candidates())
def test_rows_are_sorted_by_their_whole_key_and_led_by_the_first_of_their_digest(rows):
    keys = [key(row) for row in rows]
    expected = sorted(range(len(rows)), key=keys.__getitem__)
    assert in_order(rows).tolist() == expected
    order, first = first_of_each(rows)
    leaders = [next(one for one in expected if keys[one][:2] == keys[row][:2]) for row in expected]
    assert order[first].tolist() == leaders
