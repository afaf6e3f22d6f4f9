"""Words looked up: the ids of the tokenizers library, and of BERT's rules written down, whatever the text holds."""

import random
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.tokenizers import bert_files, wordpiece, words
from sluice.models.tokenizers.words.longest_match import LongestMatch
from sluice.models.tokenizers.words.memory import Limits
from sluice.models.tokenizers.words.word_table import Buffer, WordTable, distinct

DATA = Path(__file__).parents[2] / "data" / "static"
VOCABULARY, RULES, SPECIAL = bert_files.read_vocabulary(DATA / "plain" / "tokenizer.json")
PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def rows(flat):
    return [row.tolist() for row in np.split(flat.ids, flat.ends[:-1])]


def by_definition(text, vocabulary=VOCABULARY, rules=RULES):
    """BERT's ids: the whole text normalised, split, each word's longest first part again and again."""
    characters = wordpiece.Characters(rules)
    found = []
    for part in re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text):
        if part in SPECIAL:
            found.append(vocabulary[part])
            continue
        part = wordpiece.NOT_PLAIN.sub(lambda match: match.group().translate(characters), part)
        for word in re.findall(
            rf"[{PUNCTUATION}]|[^ \t\n\r{PUNCTUATION}]+", part.lower() if rules.lower_case else part
        ):
            found += longest_first(word, vocabulary)
    return found


def longest_first(word, vocabulary, longest_word=100):
    ids, at = [], 0
    while at < len(word) <= longest_word:
        entries = [(end, ("##" if at else "") + word[at:end]) for end in range(len(word), at, -1)]
        end, entry = next(((end, entry) for end, entry in entries if entry in vocabulary), (0, ""))
        if not end:
            break
        ids.append(vocabulary[entry])
        at = end
    return ids if at == len(word) else [vocabulary["[UNK]"]]


@pytest.fixture(scope="module")
def both():
    """The tokenizer by words, and the tokenizers library's."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(DATA / "plain" / "tokenizer.json"))
    library.no_truncation()  # model2vec saves its own
    return words.load(str(DATA / "plain")), library


PARTS = [
    *("the", "Fox", "documents", "jumped", "x" * 101, "y" * 70, "brownfoxes", " ", "  ", "\n", "\t\r", "\x0b", "\x1c"),
    *("\x85", "\u2028", "\u200b", "\xa0", "\0", "é", "e\u0301", "ß", "İ", "中文", "한국", "don't", "...", "[UNK]"),
    *("[SEP]", "[sep]", "[MASK]s", "##ing", "😀", "\ufffd", "“", "—", "a", "in-text", "1999", "\x7f"),
]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), max_size=6))
def test_ids_by_words_equal_the_tokenizers_library(both, texts):
    ours, library = both
    ids, ends = ours.flat(texts)
    expected = [one.ids for one in library.encode_batch(texts, add_special_tokens=False)]
    assert [row.tolist() for row in np.split(ids, ends[:-1])][: len(texts)] == expected
    assert ours.count(texts).tolist() == [len(row) for row in expected]


def test_ids_stay_the_same_when_the_memory_of_words_is_full(both):
    ours, library = words.load(str(DATA / "plain"), Limits(words=20)), both[1]
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefoxthe"))
    for _ in range(10):
        texts = [" ".join("".join(rng.choice(letters, rng.integers(1, 30))) for _ in range(8)) for _ in range(5)]
        rows, _ = ours.tokenize(texts, max_tokens=10_000)
        assert [row.tolist() for row in rows] == [
            one.ids for one in library.encode_batch(texts, add_special_tokens=False)
        ]


def test_words_that_fall_into_one_slot_are_told_apart(both):
    texts = [f"{word}{n} {word}" for word in ("fox", "dog", "the") for n in range(30)]
    expected = [one.ids for one in both[1].encode_batch(texts, add_special_tokens=False)]
    crowded = words.load(str(DATA / "plain"), Limits(slot_bits=1))
    for _ in range(2):
        rows, _ = crowded.tokenize(texts, max_tokens=100)
        assert [row.tolist() for row in rows] == expected


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(st.text() | st.sampled_from(PARTS), max_size=12).map("".join), max_size=5))
def test_ids_of_any_text_are_those_of_the_definition(both, texts):
    assert rows(both[0].flat(texts))[: len(texts)] == [by_definition(text) for text in texts]


@pytest.mark.parametrize(
    "text", ["\ue000", "fox\ue001", "\ue001 [SEP] \ue001\ue002", "\ue003fox [MASK]", "\ud800fox", "\0"]
)
def test_letters_that_stand_for_something_inside_mean_nothing_in_a_text(both, text):
    assert rows(both[0].flat([text, "the fox"])) == [by_definition(text), by_definition("the fox")]


def test_a_script_without_blanks_has_the_same_ids(both):
    text = "中文的the 文\u3000中" * 40 + "[SEP]" + "狐狸fox" * 30
    assert rows(both[0].flat(["the", text, "fox"])) == [by_definition(part) for part in ("the", text, "fox")]


def test_a_cased_vocabulary_keeps_its_case():
    rules = RULES._replace(lower_case=False, strip_accents=False)
    vocabulary = {**VOCABULARY, "Fox": len(VOCABULARY), "É": len(VOCABULARY) + 1}
    texts = ["the Fox fox FOX", "É é É", "Foxes"]
    found = words.WordTokenizer(vocabulary, rules=rules, special=SPECIAL).flat(texts)
    assert rows(found) == [by_definition(text, vocabulary, rules) for text in texts]
    assert len(VOCABULARY) in found.ids and len(VOCABULARY) + 1 in found.ids


def test_threads_that_learn_words_from_each_other_find_the_same_ids(both):
    generator = random.Random(0)
    letters = "abcdefoxthe"
    made = ["".join(generator.choices(letters, k=generator.randint(1, 24))) for _ in range(4000)]
    texts = [" ".join(generator.choices(made, k=200)) for _ in range(40)]
    expected = [by_definition(text) for text in texts]
    tokenizer = words.load(str(DATA / "plain"))
    found = {}

    def work(name):
        order = random.Random(name).sample(range(len(texts)), len(texts))
        found[name] = {i: rows(tokenizer.flat([texts[i]]))[0] for i in order}

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[name] == dict(enumerate(expected)) for name in range(4))


def test_the_memory_of_words_is_bounded():
    tokenizer = words.load(str(DATA / "plain"), Limits(ids=500))
    for start in range(0, 4000, 100):
        text = " ".join(f"{number:x}fox{number:x}" for number in range(start, start + 100))
        assert rows(tokenizer.flat([text])) == [by_definition(text)]
        assert tokenizer._memory.filled <= 500 + 1000


ENTRIES = st.text("ab", min_size=1, max_size=20) | st.text("abé", min_size=1, max_size=3)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(ENTRIES, max_size=12, unique=True),
    st.lists(ENTRIES, max_size=12, unique=True),
    st.lists(st.text("abcé", min_size=1, max_size=60), max_size=8),
    st.sampled_from([0, 3]),
)
def test_words_cut_together_are_cut_as_alone(whole, rest, texts, few):
    vocabulary = {**{entry: i for i, entry in enumerate(whole, 1)}, "[UNK]": 0}
    vocabulary |= {f"##{entry}": i for i, entry in enumerate(rest, 100)}
    match = LongestMatch(
        {entry: i for i, entry in enumerate(whole, 1)},
        {entry: i for i, entry in enumerate(rest, 100)},
        unknown=0,
        longest_word=40,
        few=few,
    )
    expected = [longest_first(text, vocabulary, longest_word=40) for text in texts]
    assert [match.cut(text) or [0] for text in texts] == expected
    lengths = np.array([len(text.encode()) for text in texts], np.int64)
    ids, counts = match.cut_all(Buffer("".join(texts).encode()), np.cumsum(lengths) - lengths, lengths)
    assert rows(words.Flat(ids, np.cumsum(counts)))[: len(texts)] == expected


def test_a_table_gives_back_what_it_took_and_nothing_else():
    text = b"".join(b"%x" % number for number in range(3000))
    starts = np.arange(0, 8000, 5)
    lengths = 1 + starts % 16
    keys = Buffer(text).keys(starts, lengths)
    first, which = distinct(keys)
    np.testing.assert_array_equal(keys[:, first][:, which], keys)
    spellings = [text[start : start + length] for start, length in zip(starts.tolist(), lengths.tolist())]
    assert len(set(spellings)) == len({spellings[i] for i in first})
    for bits, least in ((13, 0.99 * len(first)), (8, 200)):  # a word whose slots are taken is not kept
        table = WordTable(bits)
        assert not table.find(keys).any()
        table.add(keys[:, first], first + 1)
        table.add(keys[:, first], first + 10_000)  # what is there stays
        found = table.find(keys)
        assert len(np.unique(found[found > 0])) >= least
        np.testing.assert_array_equal(found[found > 0], first[which][found > 0] + 1)
