"""Shared n-grams against a search of all runs of words."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.shared_words import Index, words

TEXTS = st.lists(st.text("aB ,.\né", max_size=20), max_size=6)


def runs(text: str, n: int) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[start : start + n]) for start in range(len(found) - n + 1)}


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 4), st.integers(1, 4))
def test_items_are_found_exactly_where_a_run_of_words_is_shared(items, texts, n, shortest):
    shortest = min(n, shortest)
    index = Index(items, n=n, shortest=shortest)
    lengths = [min(n, len(words(item))) for item in items]
    assert index.skipped == [number for number, length in enumerate(lengths) if length < shortest]
    for text in texts:
        expected = [
            number
            for number, (item, length) in enumerate(zip(items, lengths))
            if length >= shortest and runs(item, length) & runs(text, length)
        ]
        assert index.matches(text) == expected


def test_case_punctuation_and_compatibility_forms_make_no_difference():
    assert words("The  QUICK, brown—fox\n(ﬁne)_x2") == ["the", "quick", "brown", "fox", "fine", "x2"]
    assert words("Straße") == words("STRASSE") == ["strasse"]
