"""Text quality from simple rules about lines (Sharma et al. 2024, Text Quality-Based Pruning, arXiv 2405.01582).

Every rule says something good about a line; the paper's rules that mark bad lines are turned round, because a weight is
learnt from the lines that satisfy the rule. Its four rules that need a parser are parser_rules.py; without a parser
weights are shares of the others. All arithmetic is on whole numbers, so scores are the same everywhere.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sluice.models.methods.parser_rules import PARSER_RULES

WORD, SIGN = re.compile(r"\w+"), re.compile(r"[^\w\s]")
DIGIT = re.compile(r"\d")
STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
# A score is a share of this many.
SCALE = 1 << 30
# Weights are whole numbers of this many to one.
WEIGHT = 10_000
# Rules that a document's score remembers.
COSTLIEST = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line without white space at its ends, its words in lower case, and how many tokens, signs and digits it has.

    White space divides words; tokens are signs and what signs and white space divide.
    """

    text: str
    words: list[str]
    tokens: int
    signs: int
    digits: int

    @classmethod
    def of(cls, text: str) -> "Line":
        words = text.lower().split()
        if text.isascii():
            # The same counts as below, at a tenth of their cost.
            data = text.encode()
            signs, digits = (len(data) - len(data.translate(None, found)) for found in (_ASCII_SIGNS, b"0123456789"))
            return cls(text, words, len(data.translate(_ASCII_WORDS).split()) + signs, signs, digits)
        signs, digits = len(SIGN.findall(text)), len(DIGIT.findall(text))
        return cls(text, words, len(WORD.findall(text)) + signs, signs, digits)


_ASCII_SIGNS = bytes(code for code in range(128) if SIGN.match(chr(code)))
_ASCII_WORDS = bytes(code if code < 128 and WORD.match(chr(code)) else 32 for code in range(256))


def _few_repetitions(line: Line) -> bool:
    return 10 * (len(line.words) - len(set(line.words))) <= 2 * len(line.words)


def _no_code_words(line: Line) -> bool:
    lower = line.text.lower()
    return "javascript" not in lower and "lorem ipsum" not in lower


# The paper's names, those of bad signs with `no_` or `low_` in front.
RULES: dict[str, Callable[[Line], bool]] = {
    "first_letter_caps": lambda line: line.text[0].isupper(),
    "no_all_caps": lambda line: not line.text.isupper(),
    "low_word_repetition": _few_repetitions,
    "low_digit_punctuation": lambda line: 4 * (line.digits + line.signs) <= len(line.text),
    "no_special_characters": lambda line: "{" not in line.text,
    "terminal_punctuation": lambda line: line.text[-1] in '.!?"',
    "stop_word_match_2": lambda line: len(STOP_WORDS.intersection(line.words)) >= 2,
    "no_javascript": _no_code_words,
    "token_count_ge_3": lambda line: line.tokens >= 3,
    "word_count_3_256": lambda line: 3 <= len(line.words) <= 256,
}


# The rules of models.methods.parser_rules come after those above, wherever there is a parser.
ALL_RULES = (*RULES, *PARSER_RULES)
# Lines -> bool [lines, rules], in the order of PARSER_RULES: models.methods.parser_rules.SpacyParser.
Parse = Callable[[Sequence[str]], np.ndarray]


def lines_of(text: str) -> list[Line]:
    """The lines of a text that are not blank."""
    stripped = (line.strip() for line in text.splitlines())
    return [Line.of(line) for line in stripped if line]


def satisfied(lines: Sequence[Line], parse: Parse | None = None) -> np.ndarray:
    """bool [lines, rules]: which rules each line satisfies, in the order of RULES, or of ALL_RULES with a parser."""
    found = [[rule(line) for rule in RULES.values()] for line in lines]
    plain = np.array(found, bool).reshape(len(lines), len(RULES))
    return plain if parse is None else np.hstack([plain, parse([line.text for line in lines])])


def whole_weights(weights: Mapping[str, float], *, parser: bool = False) -> tuple[int, ...]:
    """Weights by rule (0 where a rule is not named) -> whole numbers in the order of ALL_RULES.

    Raises ValueError for a name that is no rule or needs a parser where there is none, for a weight that is negative or
    not finite, and when all are nothing.
    """
    names = ALL_RULES if parser else tuple(RULES)
    unknown = sorted(set(weights) - set(names))
    if unknown and unknown[0] in PARSER_RULES:
        raise ValueError(f"the rule {unknown[0]} of text quality needs a parser, and none is given")
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no rule of text quality; the rules are {', '.join(names)}")
    bad = [name for name, weight in weights.items() if not 0 <= weight <= 1e9]
    if bad:
        raise ValueError(f"the weight of {bad[0]} must be from 0 to 1e9, not {weights[bad[0]]}")
    found = tuple(round(WEIGHT * weights.get(name, 0)) for name in ALL_RULES)
    if not any(found):
        raise ValueError(
            f"weights of text quality are all below {0.5 / WEIGHT}: no document would be better than another"
        )
    return found


def document_score(text: str, weights: tuple[int, ...], parse: Parse | None = None) -> int:
    """0..SCALE, the floor of SCALE * sum_l tokens_l * score_l / sum_l tokens_l; 0 of a text without words.

    weights: as whole_weights gives them. A line's score is the share of the weights whose rules it satisfies. Raises
    ValueError when a rule that needs a parser weighs something and there is no parser.
    """
    return judge(text, weights, parse).score


class Judgement(NamedTuple):
    """A document's score, and the rules (places in ALL_RULES) that cost it most with what each did, 0..SCALE."""

    score: int
    costs: list[tuple[int, int]]


def judge(text: str, weights: tuple[int, ...], parse: Parse | None = None) -> Judgement:
    """document_score, and at most COSTLIEST rules, equal ones in the order of ALL_RULES, none that cost nothing.

    A rule costs its share of the weights times the share of the tokens that stand in lines which break it, so SCALE is
    the score and all costs, but for rounding down.

    >>> judge("No stop", whole_weights({"terminal_punctuation": 3, "no_all_caps": 1}))
    Judgement(score=268435456, costs=[(5, 805306368)])
    """
    rules = [(place, weight, rule) for place, (weight, rule) in enumerate(zip(weights, RULES.values())) if weight]
    lines = lines_of(text)
    # Weight times tokens that each rule, broken, keeps from a document.
    lost = [0] * len(weights)
    total = 0
    for line in lines:
        tokens = line.tokens
        total += tokens
        for place, weight, rule in rules:
            if not rule(line):
                lost[place] += tokens * weight
    if any(weights[len(RULES) :]):
        if parse is None:
            raise ValueError("weights of text quality need a parser, and none is given")
        sizes = np.array([line.tokens for line in lines], np.int64)
        broken = sizes @ ~parse([line.text for line in lines])
        for place, count in enumerate(broken.tolist(), start=len(RULES)):
            lost[place] = count * weights[place]
    if not total:
        return Judgement(0, [])
    whole = total * sum(weights)
    costly = sorted((place for place in range(len(lost)) if lost[place]), key=lambda place: -lost[place])
    costs = [(place, SCALE * lost[place] // whole) for place in costly[:COSTLIEST]]
    return Judgement(SCALE * (whole - sum(lost)) // whole, costs)


def learn_weights(
    texts: Sequence[str], bits_of: Callable[[Sequence[bytes]], np.ndarray], parse: Parse | None = None
) -> dict[str, float]:
    """Weights by rule: how much lower the perplexity of the lines that satisfy it is, max(0, (all - own) / all).

    bits_of: different lines -> int64 [lines], what each costs, UNITS_PER_BIT to a bit (methods.ngram.cross_bits).
    Perplexity is per byte, line ends counted. A line that occurs again counts once: text that is everywhere would have
    a low perplexity for being everywhere. Weights have four decimals.
    """
    different: dict[str, Line] = {}
    for text in texts:
        for line in lines_of(text):
            different.setdefault(line.text, line)
    lines = list(different.values())
    names = ALL_RULES if parse is not None else tuple(RULES)
    if not lines:
        return dict.fromkeys(names, 0.0)
    encoded = [line.text.encode("utf-8", "surrogatepass") for line in lines]
    cost = bits_of(encoded)
    size = np.array([len(line) + 1 for line in encoded], np.int64)
    rules = satisfied(lines, parse)
    everything = perplexity(cost, size)
    found = {}
    for number, name in enumerate(names):
        chosen = rules[:, number]
        own = perplexity(cost[chosen], size[chosen]) if chosen.any() else everything
        found[name] = round(max(0.0, (everything - own) / everything), 4)
    return found


UNITS_PER_BIT = 1024


def perplexity(cost: np.ndarray, size: np.ndarray) -> float:
    """Per byte, of lines that cost so many units and have so many bytes."""
    return 2.0 ** (int(cost.sum()) / UNITS_PER_BIT / int(size.sum()))
