"""Rules of text quality, scores by hand, and weights from a language model."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.methods import ngram, quality
from sluice.models.methods.quality import (
    RULES,
    SCALE,
    Line,
    document_score,
    judge,
    learn_weights,
    lines_of,
    satisfied,
    whole_weights,
)

SENTENCE = "the people of this town have always lived with water and they know that it is to be used well"
GOOD = "The cat sat with the dog, and it was warm."


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("first_letter_caps", "Home", "home"),
        ("no_all_caps", "Buy now", "BUY NOW"),
        ("low_word_repetition", "a b c d a", "a b c a a"),
        ("low_digit_punctuation", "abc1", "ab12"),
        ("no_special_characters", "if (x) y", "if (x) { y"),
        ("terminal_punctuation", 'He said "so"', "He said so,"),
        ("stop_word_match_2", "The end OF it", "the the the"),
        ("no_javascript", "Java Script", "Please enable JavaScript."),
        ("no_javascript", "Lorem", "LOREM IPSUM dolor"),
        ("token_count_ge_3", "a.b", "a b"),
        ("word_count_3_256", "a b c", "a b"),
        ("word_count_3_256", "a " * 256, "a " * 257),
    ],
)
def test_every_rule_says_something_good(rule: str, good: str, bad: str) -> None:
    number = list(RULES).index(rule)
    assert satisfied(lines_of(good))[0, number]
    assert not satisfied(lines_of(bad))[0, number]


def test_a_document_scores_the_share_of_weights_its_lines_earn_by_tokens() -> None:
    weights = whole_weights({"first_letter_caps": 3, "terminal_punctuation": 1})
    # 11 tokens and signs that earn all, 2 that earn nothing, 2 that earn three quarters; a blank line is no line.
    assert document_score(f"{GOOD}\n\n  menu home\nMenu home", weights) == SCALE * (12 * 4 + 2 * 3) // (16 * 4)
    assert document_score(" \n ", weights) == 0
    assert document_score(GOOD, weights) == SCALE


def test_the_rules_that_cost_most_are_named_with_what_they_cost() -> None:
    weights = whole_weights(
        {"first_letter_caps": 3, "terminal_punctuation": 1, "token_count_ge_3": 4, "no_javascript": 9}
    )
    rules = list(RULES)
    # Of 16 tokens, 4 stand in lines without a full stop and of fewer than three tokens, 2 in one without a capital.
    found = judge(f"{GOOD}\nmenu home\nMenu home", weights)
    assert [(rules[rule], cost) for rule, cost in found.costs] == [
        ("token_count_ge_3", SCALE * 4 * 4 // (16 * 17)),
        ("first_letter_caps", SCALE * 2 * 3 // (16 * 17)),
    ]
    assert judge(GOOD, weights).costs == judge(" \n ", weights).costs == []


def satisfied_share(text: str, weights: tuple[int, ...]) -> int:
    """The definition of a document's score."""
    lines = lines_of(text)
    sizes, points = [line.tokens for line in lines], satisfied(lines) @ np.array(weights[: len(RULES)], np.int64)
    earned = sum(size * int(own) for size, own in zip(sizes, points))
    return SCALE * earned // (sum(sizes) * sum(weights)) if sum(sizes) else 0


@given(text=st.text("aB .,{1\n", max_size=60), given=st.lists(st.integers(0, 9), min_size=10, max_size=10).filter(any))
@settings(max_examples=100, deadline=None)
def test_scores_and_costs_are_those_of_the_definition(text: str, given: list[int]) -> None:
    weights = whole_weights(dict(zip(RULES, given)))
    found = judge(text, weights)
    assert found.score == satisfied_share(text, weights)
    assert sum(cost for _, cost in found.costs) <= SCALE - found.score
    assert [cost for _, cost in found.costs] == sorted((cost for _, cost in found.costs), reverse=True)


@given(text=st.text(max_size=200), weight=st.floats(0.001, 1e9))
@settings(max_examples=100, deadline=None)
def test_any_text_scores_from_nothing_to_all_whatever_the_weights_add_up_to(text: str, weight: float) -> None:
    all_equal = whole_weights(dict.fromkeys(RULES, 1.0))
    assert 0 <= document_score(text, all_equal) <= SCALE
    found = document_score(text, whole_weights({"no_all_caps": weight}))
    assert found == document_score(text, whole_weights({"no_all_caps": 1}))


@given(text=st.text(st.characters(max_codepoint=127)))
@settings(deadline=None)
def test_plain_lines_are_counted_as_any_others_are(text: str) -> None:
    for line in lines_of(text):
        other = Line.of(line.text + "é")
        # An é goes on with the word before it or is one of its own.
        assert other.tokens - line.tokens == (0 if re.match(r"\w", line.text[-1]) else 1)
        assert (other.signs, other.digits) == (line.signs, line.digits)


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({"has_verbs": 1.0}, "'has_verbs' is no rule"),
        ({"no_all_caps": -1.0}, "must be from 0"),
        ({"no_all_caps": math.nan}, "must be from 0"),
        ({"no_all_caps": 0.0}, "no document would be better"),
        ({}, "no document would be better"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        whole_weights(weights)


def test_a_weight_is_how_much_lower_the_perplexity_of_a_rules_lines_is() -> None:
    # Two bits a byte for lines that end a sentence, three for others.
    def bits_of(lines):
        return np.array([1024 * (2 if line.endswith(b".") else 3) * (len(line) + 1) for line in lines])

    found = learn_weights(["It is.\nor not\nor not", "Or not"], bits_of)
    everything = 2 ** ((7 * 2 + 7 * 3 + 7 * 3) / 21)
    assert found["terminal_punctuation"] == pytest.approx((everything - 4) / everything, abs=5e-5)
    # "It is." and "Or not" begin with a capital.
    assert found["first_letter_caps"] == pytest.approx((everything - 2**2.5) / everything, abs=5e-5)
    assert found["no_javascript"] == 0
    assert found["stop_word_match_2"] == 0


def definition_of_cost(train: list[bytes], line: bytes) -> float:
    """Bits of a line by interpolated n-grams, from dictionaries."""
    grams: Counter = Counter()
    contexts: Counter = Counter()
    for other in train:
        padded = b"\n" * (ngram.ORDER - 1) + other + b"\n"
        for at in range(ngram.ORDER - 1, len(padded)):
            for order in range(1, ngram.ORDER + 1):
                grams[padded[at - order + 1 : at + 1]] += 1
                contexts[order, padded[at - order + 1 : at]] += 1
    padded, bits = b"\n" * (ngram.ORDER - 1) + line + b"\n", 0.0
    for at in range(ngram.ORDER - 1, len(padded)):
        probability = 1 / 256
        for order in range(1, ngram.ORDER + 1):
            gram, context = padded[at - order + 1 : at + 1], padded[at - order + 1 : at]
            probability = (grams[gram] + ngram.PRIOR * probability) / (contexts[order, context] + ngram.PRIOR)
        bits -= math.log2(probability)
    return bits


def test_a_line_costs_what_the_other_half_predicts() -> None:
    lines = [b"the cat sat", b"the dog sat", b"a cat sat on it", b"zzz \xff\x00", b"the cat"]
    found = ngram.cross_bits(lines)
    for number, line in enumerate(lines):
        expected = definition_of_cost(lines[1 - number % 2 :: 2], line)
        # Every byte is rounded.
        assert found[number] / quality.UNITS_PER_BIT == pytest.approx(expected, abs=len(line) / 1024 + 0.01)


def test_weights_learnt_from_a_mix_prefer_real_text_to_noise() -> None:
    rng = np.random.default_rng(0)
    sentences = [" ".join(rng.permutation(SENTENCE.split())).capitalize() + "." for _ in range(300)]
    noise = ["".join(chr(rng.integers(33, 65)) for _ in range(60)) for _ in range(100)]
    weights = whole_weights(learn_weights([*sentences, *noise], ngram.cross_bits))
    assert min(document_score(text, weights) for text in sentences) > max(
        document_score(text, weights) for text in noise
    )
