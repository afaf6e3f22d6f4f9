"""Rules of text quality about the parse of a line: by hand, and by a spaCy pipeline that knows eight words."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from sluice.models.methods import parser_rules, quality
from sluice.models.methods.parser_rules import PARSER_RULES, SpacyParser
from sluice.models.methods.quality import ALL_RULES, RULES, SCALE, document_score, learn_weights, whole_weights

# word: (part of speech, relation, place of the head)
SENTENCES = {
    "Dogs bark": [("NOUN", "nsubj", 1), ("VERB", "ROOT", 1)],
    "She sees Rome": [("PRON", "nsubj", 1), ("VERB", "ROOT", 1), ("PROPN", "dobj", 1)],
    "She sees the dog": [("PRON", "nsubj", 1), ("VERB", "ROOT", 1), ("DET", "det", 3), ("NOUN", "dobj", 1)],
    "Look at them !": [("VERB", "ROOT", 0), ("ADP", "prep", 0), ("PRON", "pobj", 1), ("PUNCT", "punct", 2)],
    "Very red": [("ADV", "advmod", 1), ("ADJ", "ROOT", 1)],
}
EXPECTED = {
    "Dogs bark": [False, True, False, False],
    "She sees Rome": [True, True, False, False],
    "She sees the dog": [True, True, True, True],
    # An exclamation mark is no relation.
    "Look at them !": [True, False, False, False],
    "Very red": [False, False, False, False],
}


def by_hand(line: str) -> list[SimpleNamespace]:
    """Tokens as spaCy has them."""
    tokens = [SimpleNamespace(pos_=pos, dep_=dep, head=head, children=[]) for pos, dep, head in SENTENCES[line]]
    for place, token in enumerate(tokens):
        if token.head != place:
            tokens[token.head].children.append(token)
    return tokens


def parse_by_hand(lines) -> np.ndarray:
    return np.array([EXPECTED[line] for line in lines], bool).reshape(len(lines), len(PARSER_RULES))


@pytest.mark.parametrize("line", SENTENCES)
def test_rules_look_at_objects_nouns_and_determiners(line: str) -> None:
    assert [rule(by_hand(line)) for rule in PARSER_RULES.values()] == EXPECTED[line]


@pytest.mark.parametrize("line", SENTENCES)
def test_rules_read_the_documents_of_spacy(line: str) -> None:
    spacy = pytest.importorskip("spacy")
    pos, deps, heads = (list(column) for column in zip(*SENTENCES[line]))
    document = spacy.tokens.Doc(spacy.blank("en").vocab, words=line.split(), pos=pos, deps=deps, heads=heads)
    assert [rule(document) for rule in PARSER_RULES.values()] == EXPECTED[line]


def test_a_line_earns_the_weights_of_its_parse_too() -> None:
    weights = whole_weights({"first_letter_caps": 1, "has_object": 2, "has_determiner": 1}, parser=True)
    # 2 tokens that earn a quarter, 4 that earn all.
    text = "Dogs bark\nShe sees the dog"
    assert document_score(text, weights, parse_by_hand) == SCALE * (2 * 1 + 4 * 4) // (6 * 4)
    with pytest.raises(ValueError, match="need a parser"):
        document_score(text, weights)


def test_rules_without_weight_are_not_parsed_for() -> None:
    def parse(lines):
        raise AssertionError("parsed")

    assert document_score("Dogs bark", whole_weights({"first_letter_caps": 1}, parser=True), parse) == SCALE


def test_weights_of_parses_are_refused_without_a_parser() -> None:
    with pytest.raises(ValueError, match="has_noun of text quality needs a parser"):
        whole_weights({"has_noun": 1.0})
    with pytest.raises(ValueError, match=r"'has_verb' is no rule .* text_complexity_c1"):
        whole_weights({"has_verb": 1.0}, parser=True)


def test_weights_of_parses_are_learnt_as_all_others() -> None:
    def bits_of(lines):
        return np.array(
            [quality.UNITS_PER_BIT * (1 if line.endswith(b"dog") else 3) * (len(line) + 1) for line in lines]
        )

    found = learn_weights(["\n".join(SENTENCES)], bits_of, parse_by_hand)
    assert tuple(found) == ALL_RULES and tuple(learn_weights(["Dogs bark"], bits_of)) == tuple(RULES)
    sizes = [len(line) + 1 for line in SENTENCES]
    everything = 2 ** (
        sum(size * (1 if line.endswith("dog") else 3) for line, size in zip(SENTENCES, sizes)) / sum(sizes)
    )
    assert found["has_determiner"] == pytest.approx((everything - 2) / everything, abs=5e-5)
    assert 0 < found["has_object"] < found["has_determiner"]


# The pipelines of spaCy -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A pipeline in a directory whose parser knows SENTENCES."""
    spacy = pytest.importorskip("spacy")

    @spacy.Language.component("sluice_known_sentences")
    def annotate(document):
        words = [token.text for token in document]
        # The probe of the loader is no known sentence: any annotation does.
        known = SENTENCES.get(" ".join(words), [("X", "dep", 0)] * len(words))
        pos, deps, heads = (list(column) for column in zip(*known))
        return spacy.tokens.Doc(document.vocab, words=words, pos=pos, deps=deps, heads=heads)

    pipeline = spacy.blank("en")
    pipeline.add_pipe("sluice_known_sentences")
    folder = tmp_path_factory.mktemp("spacy") / "model"
    pipeline.to_disk(folder)
    return str(folder)


def test_a_spacy_model_in_a_directory_parses_lines(model: str) -> None:
    lines = list(SENTENCES)
    found = SpacyParser(model)(lines)
    assert found.tolist() == [EXPECTED[line] for line in lines]
    assert SpacyParser(model)([]).shape == (0, 4)
    assert set(SpacyParser(model).describe()) == {"model", "version", "spacy"}


def test_a_long_line_is_parsed_from_its_beginning(model: str) -> None:
    words = "She sees the dog"
    assert SpacyParser(model)([words + " " * parser_rules.LONGEST_LINE + "word " * 10]).shape == (1, 4)
    cut = words.ljust(parser_rules.LONGEST_LINE)[: parser_rules.LONGEST_LINE]
    assert np.array_equal(SpacyParser(model)([cut + "word"]), SpacyParser(model)([cut]))


def test_a_model_that_parses_nothing_is_refused(tmp_path) -> None:
    pytest.importorskip("spacy").blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="no parser and tagger: it gives no DEP and no POS"):
        SpacyParser(str(tmp_path / "blank")).check()


def test_a_missing_model_is_named_with_what_installs_it() -> None:
    pytest.importorskip("spacy")
    with pytest.raises(ValueError, match="python -m spacy download xx_none_sm"):
        SpacyParser("xx_none_sm").check()


def test_missing_spacy_is_named_with_what_installs_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ValueError, match=r"pip install 'spacy>=3.7,<4' && python -m spacy download en_core_web_none"):
        SpacyParser("en_core_web_none").check()


def test_an_english_model_parses_english() -> None:
    spacy = pytest.importorskip("spacy")
    names = [name for name in spacy.util.get_installed_models() if name.startswith("en_core_web")]
    if not names:
        pytest.skip("no English model is installed")
    found = SpacyParser(names[0])(["The old dog ate a large bone.", "Home > News >"])
    assert found[0].all() and not found[1, [0, 2, 3]].any()
