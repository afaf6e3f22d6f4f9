"""The table of what each source kept: marks that chance does not make, the furthest first, few rows, safe names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group

from sluice.models.clustering.skew import marks
from sluice.pipelines.report.sources import source_table
from sluice.transforms.audit.sources import SourceTally
from tests.pipelines.reading_back import shown


@pytest.mark.parametrize(
    ("documents", "kept", "mark"),
    [
        (495, 69, "few"),
        (28, 1, "few"),
        (10, 0, "few"),
        # By lot at one half, 2 of 10 and 0 of 5 happen.
        (10, 2, None),
        (5, 0, None),
        (1000, 251, None),
        (1000, 249, "few"),
        (1000, 1000, None),
        (0, 0, None),
    ],
)
def test_a_source_is_marked_where_it_keeps_under_half_and_not_by_chance(documents, kept, mark):
    assert marks([(documents, kept)], documents=100_000, kept=50_000) == [mark]


@pytest.mark.parametrize(("kept", "mark"), [(201, "many"), (200, None), (100, None), (50, None), (49, "few")])
def test_a_source_is_marked_where_it_keeps_over_twice_the_average(kept, mark):
    assert marks([(1000, kept)], documents=100_000, kept=10_000) == [mark]


@given(st.lists(st.integers(0, 10**12), max_size=5))
def test_nothing_is_marked_where_everything_or_nothing_is_kept(sizes):
    for share in (0, 1):
        groups = [(size, size * share) for size in sizes]
        assert marks(groups, documents=sum(sizes), kept=sum(sizes) * share) == [None] * len(sizes)


def tallied(counts: dict[str, tuple[int, int]], without: tuple[int, int] = (0, 0)) -> dict:
    """A report's `sources` from (documents, kept) by name."""
    tally = SourceTally(2)
    tally.told_apart = True
    for name, (documents, kept) in counts.items():
        tally.counts[name] += np.array([documents - kept, kept])
    tally.others += np.array([without[0] - without[1], without[1]])
    found = tally.summary(["01-random"], {})
    assert found is not None
    return found


def page(found: dict | None, width: int = 80) -> str:
    return shown(Group(*source_table(found)), width=width)


def test_sources_that_lose_much_stand_first_and_are_told_in_words():
    counts = {"web": (9000, 4800), "code": (495, 69), "books": (28, 1), "a\x1b[31m[bold]": (40, 20)}
    assert [line.rstrip() for line in page(tallied(counts, (437, 220))).splitlines()] == [
        "",
        "Kept by source",
        "source           documents   kept  share",
        "code                   495     69  13.9%  under half the average",
        "books                   28      1   3.6%  under half the average",
        "web                  9,000  4,800  53.3%",
        "a\\x1b[31m[bold]         40     20  50.0%",
        "(no source)            437    220  50.3%",
        "Warning: 2 sources keep less than half of the average share, 51.1%; a step with",
        "protect: [SOURCE] leaves a source alone.",
    ]


def test_of_ten_thousand_sources_a_page_shows_twelve():
    counts = {
        f"site-{number:05}.example/" + "long" * 20: (100 + number, 5 if number < 300 else 50 + number // 2)
        for number in range(10_000)
    }
    found = tallied(counts)
    # The largest are not among those that are marked.
    assert (found["few"], found["many"], len(found["skewed"])) == (300, 0, 50)
    text = page(found)
    assert sum("under half the average" in line for line in text.splitlines()) == 8
    assert "and 9,988 more sources, 292 of them marked too" in text
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize("found", [None, tallied({"only": (10, 5)})])
def test_one_source_or_none_has_no_table(found):
    assert source_table(found) == []
