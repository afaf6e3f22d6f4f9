"""Shingles, signatures and bands against their definitions on Python sets."""

import re
import unicodedata
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.methods import minhash
from sluice.models.methods.minhash import (
    PRESETS,
    Scheme,
    band_hashes,
    bands_of,
    functions,
    shingle_sets,
    signatures,
    similar,
)
from sluice.models.methods.shingles import Shingling, shingle

TEXTS = st.text(st.sampled_from("aAbcé é1 29.,-!'\n\t 中文กか́ıßΣ\ud800😀"), max_size=40)
WORDS = Shingling("words", 3, "simple")
CHARACTERS = Shingling("characters", 5, "plain")
LETTERS = Shingling("characters", 4, "letters", shortest=6)


def simple(text: str) -> str:
    """Lower case, no punctuation, no diacritics, every number a 0, single spaces."""
    found = []
    for character in unicodedata.normalize("NFD", text.lower()) if not text.isascii() else text.lower():
        category = unicodedata.category(character)
        if character.isspace():
            found.append(" ")
        elif category == "Nd":
            found.append("0")
        elif category[0] not in "PSC" and category != "Mn":
            found.append(character)
    return re.sub("0+", "0", re.sub(" +", " ", "".join(found))).strip()


def letters(text: str) -> str:
    text = unicodedata.normalize("NFC", text.lower())
    text = "".join(
        character for character in text if not (character.isascii() and unicodedata.category(character)[0] in "PS")
    )
    return " ".join(text.split())


def grams(text: str, how: Shingling) -> list[tuple]:
    """The shingles themselves, by definition."""
    if how.of == "words":
        spaced = re.sub(r"([฀-\u0eff一-鿿\u3040-ヿ])", r" \1 ", simple(text))
        items: list = spaced.split()
    else:
        items = list(text if how.text == "plain" else letters(text))
        if len(items) < how.shortest:
            return []
    return [tuple(items[at : at + how.width]) for at in range(len(items) - how.width + 1)]


@pytest.mark.parametrize("how", [WORDS, CHARACTERS, LETTERS])
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_two_shingles_have_one_hash_just_when_they_are_equal(how: Shingling, texts: list[str]) -> None:
    hashes, sizes = shingle(texts, how)
    expected = [grams(text, how) for text in texts]
    assert sizes.tolist() == [len(one) for one in expected]
    pairs = set(zip(hashes.tolist(), [gram for one in expected for gram in one]))
    assert len(pairs) == len({one for one, _ in pairs}) == len({gram for _, gram in pairs})


def test_the_words_of_a_text_are_those_that_are_read_aloud() -> None:
    one, other = "Hello, World! Naïve CAFÉ: 12,345 times -- don't", "hello world naive cafe 99 times dont"
    assert len({tuple(found.tolist()) for found in shingle_sets([one, other], PRESETS["datatrove"])}) == 1


def test_texts_shorter_than_a_shingle_have_none() -> None:
    for name, text in (("datatrove", "four words are few"), ("nemo", "x" * 23), ("slimpajama", "a" * 199)):
        _, known = band_hashes([text, "", text + " and a fifth x" + text], PRESETS[name], seed=0)
        assert known.tolist() == [False, False, True]


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=20), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=50, deadline=None)
def test_a_signature_is_the_least_value_of_every_function(sizes: list[int], seed: int) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, sum(sizes), np.uint64)
    found = signatures(hashes, np.array(sizes), 6, seed=seed)
    multipliers, shifts = functions(6, seed)
    for number, own in enumerate(np.split(hashes, np.cumsum(sizes)[:-1])):
        values = [[(int(a) * (int(h) >> 32) + int(b)) % 2**32 for h in own] for a, b in zip(multipliers, shifts)]
        assert found[number].tolist() == [min(one, default=2**32 - 1) for one in values]


def test_neither_blocks_nor_batches_change_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(str(hash_) + "w" for hash_ in range(number, number + 30)) for number in range(40)]
    texts[7] = texts[7] * 20
    expected, _ = band_hashes(texts, PRESETS["slimpajama"], seed=3)
    monkeypatch.setattr(minhash, "BATCH", 300)
    monkeypatch.setattr(minhash, "BLOCK", 17)
    np.testing.assert_array_equal(band_hashes(texts, PRESETS["slimpajama"], seed=3)[0], expected)


@pytest.mark.parametrize(("name", "at_75", "threshold"), [("datatrove", 0.772, 0.719), ("nemo", 0.382, 0.794)])
def test_pairs_of_a_similarity_share_bands_as_often_as_the_curve_says(
    name: str, at_75: float, threshold: float
) -> None:
    scheme, pairs, shared = PRESETS[name], 2000, 60
    assert scheme.threshold == pytest.approx(threshold, abs=5e-4)
    assert scheme.probability(0.75) == pytest.approx(at_75, abs=5e-4)
    # 60 shingles in both, 10 in each alone: 60 / 80.
    hashes = np.random.default_rng(1).integers(0, 2**64, (pairs, shared + 20), np.uint64)
    sets = np.stack([hashes[:, : shared + 10], np.concatenate([hashes[:, :shared], hashes[:, shared + 10 :]], axis=1)])
    sizes = np.full(pairs, shared + 10)
    one, other = (
        bands_of(signatures(half.ravel(), sizes, scheme.bands * scheme.rows, seed=0), scheme) for half in sets
    )
    found = float((one == other).any(axis=1).mean())
    assert abs(found - at_75) < 3 * (at_75 * (1 - at_75) / pairs) ** 0.5


def test_equal_values_in_different_bands_are_no_match() -> None:
    bands = bands_of(np.zeros((1, 6), np.uint32), Scheme(WORDS, 3, 2))
    assert len(set(bands[0].tolist())) == 3


@given(a=st.sets(st.integers(0, 12)), b=st.sets(st.integers(0, 12)), parts=st.integers(1, 10))
def test_similar_compares_with_the_exact_jaccard_similarity(a: set[int], b: set[int], parts: int) -> None:
    if not a | b:
        return
    one, other = (np.array(sorted(values), np.uint64) for values in (a, b))
    assert similar(one, other, Fraction(parts, 10)) == (Fraction(len(a & b), len(a | b)) >= Fraction(parts, 10))
