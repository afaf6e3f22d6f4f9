"""Shared n-grams against a search of all runs of words."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.methods.shared_words import Index, words

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("小明有35个，苹果", ["小", "明", "有", "35", "个", "苹", "果"]),
        ("東京タワーへ go", ["東", "京", "タ", "ワ", "ー", "へ", "go"]),
        # Vowels above and below letters are marks, in spaced scripts too: they divide words as before.
        ("แม่ค้า", ["แ", "ม", "ค", "า"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("ap\u00adples hun\u200bdred \ufeffco\u2060ins", ["apples", "hundred", "coins"]),
        ("\u202eOF\u202c ٣٥", ["of", "٣٥"]),
    ],
)
def test_letters_of_scripts_without_spaces_are_words_and_unseen_characters_are_none(text, expected):
    assert words(text) == expected


@settings(max_examples=200, deadline=None)
@given(st.text("aBc9_ -,.éßﬁИ한नि\n"))
def test_words_of_spaced_scripts_are_runs_of_letters_and_digits(text):
    assert words(text) == re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


def test_an_item_copied_whole_is_found_in_any_script():
    items = [
        "小明有三十五个苹果，他给了小红十二个，又买了八个，请问现在他一共有多少个苹果？",
        "แม่ค้าซื้อส้มมาสองร้อยลูกแล้วขายไปครึ่งหนึ่งเหลือกี่ลูก",
        "A shopkeeper buys forty crates of apples for three hundred coins and sells each for nine",
        "今日は",
    ]
    index = Index(items, n=13, shortest=8)
    assert index.skipped == [3]
    assert [index.matches("The old hall. " + item + " ต่อ 完") for item in items] == [[0], [1], [2], []]
    assert index.matches(items[2].replace("apples", "ap\u00adples").replace("hundred", "hun\u200bdred")) == [2]
