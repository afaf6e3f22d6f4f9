"""WordPiece ids equal those of Hugging Face's tokenizers, whatever the text and however long."""

import gzip
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.arrays.parallel import CHARACTERS_PER_CALL
from sluice.models.checkpoints.default import default_model_dir
from sluice.models.tokenizers import wordpiece

DATA = Path(__file__).parents[2] / "data"
WEB = Path(__file__).parents[3].parent / "shared" / "data" / "web" / "part-00000.jsonl.gz"

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def directory():
    try:
        return default_model_dir()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def reference(directory):
    tokenizer = tokenizers.Tokenizer.from_file(f"{directory}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [found.ids for found in tokenizer.encode_batch(texts)]


@pytest.fixture(scope="module")
def tokenizer(directory):
    return wordpiece.load(directory)


@pytest.fixture(scope="module")
def tiny():
    return wordpiece.load(str(DATA / "bert"))


def words(tokenizer, text, vocabulary, max_tokens=1000):
    return [vocabulary[i] for i in tokenizer.tokenize([text], max_tokens=max_tokens)[0][0][1:-1]]


@pytest.fixture(scope="module")
def vocabulary():
    return (DATA / "bert" / "vocab.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The CAT jumps.", ["the", "cat", "jumps", "."]),
        ("a\tb\nc\r\nd", ["a", "b", "c", "d"]),
        ("ca\x00\x07t", ["cat"]),
        ("ca\u200bt\ufeff", ["cat"]),
        ("c\u0301at CÁT", ["cat", "cat"]),
        ("中文cat", ["中", "文", "cat"]),
        ("dog—dog", ["dog", "[UNK]", "dog"]),
        ("dog´s", ["[UNK]"]),
        ("x\u00a0y\u3000z", ["x", "y", "z"]),
        ("q" * 100, ["q"] + ["##q"] * 99),
        ("q" * 101, ["[UNK]"]),
        ("é" * 100, ["e"] + ["##e"] * 99),
        ("a [SEP] [MASK]b", ["a", "[SEP]", "[MASK]", "b"]),
        ("[sep]", ["[", "s", "##e", "##p", "]"]),
        ("[SE\x00P]", ["[", "s", "##e", "##p", "]"]),
        ("\ue004 \uf8ff0", ["0"]),
        ("\ud800cat", ["cat"]),
        ("\u0378cat", ["[UNK]"]),
        (" \n ", []),
    ],
)
def test_text_is_cleaned_and_split_as_bert_does(tiny, vocabulary, text, expected):
    assert words(tiny, text, vocabulary) == expected
    assert tiny.count([text]).tolist() == [len(expected)]


def test_a_cased_vocabulary_keeps_case_and_accents(tmp_path):
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Paris", "é", "e", "paris"]
    (tmp_path / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    cased = wordpiece.load(str(tmp_path))
    assert words(cased, "Paris é", entries) == ["Paris", "é"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    assert words(wordpiece.load(str(tmp_path)), "Paris é", entries) == ["paris", "e"]


def test_final_sigma_is_lower_cased_without_context(tmp_path):
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "σ", "##σ", "ς", "##ς"]
    (tmp_path / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    assert words(wordpiece.load(str(tmp_path)), "ΣΣ ς", entries) == ["σ", "##σ", "ς"]


def test_golden_ids_are_reproduced(tokenizer):
    golden = json.loads((DATA / "minilm" / "texts.json").read_text(encoding="utf-8"))
    found, _ = tokenizer.tokenize(golden["texts"], max_tokens=golden["max_seq_length"])
    assert [ids.tolist() for ids in found] == golden["token_ids"]
    assert all(ids.dtype == np.int32 for ids in found)


ALPHABET = st.sampled_from("abzAZ09 \t\n.,![]-_'éÉßΣİ中文かЖ한ัก्́½™…–“€😀\u200b\u00ad\x00\x1c\x85\ufffd\u2028\ue001")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(ALPHABET, max_size=60) | st.text(st.characters(codec="latin-1"), max_size=60), min_size=1))
def test_ids_equal_the_reference_on_any_text(tokenizer, reference, texts):
    found, _ = tokenizer.tokenize(texts, max_tokens=10_000)
    assert [ids.tolist() for ids in found] == reference(texts)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 40), st.integers(1, 4000))
def test_reading_a_prefix_gives_the_same_ids_as_reading_everything(tokenizer, reference, seed, max_tokens, size):
    chosen = random.Random(seed)
    pieces = ["word", "unbelievably", " ", " ", "\n", "中", "x" * 150, "—", "...", "[SEP]", "é", "\u200b" * 9]
    text = "".join(chosen.choices(pieces, k=size))
    (found,), truncated = tokenizer.tokenize([text], max_tokens=max_tokens)
    whole = reference([text])[0]
    assert found.tolist() == (whole if len(whole) <= max_tokens else [*whole[: max_tokens - 1], whole[-1]])
    assert truncated.tolist() == [len(whole) > max_tokens]


def test_a_long_text_is_read_only_as_far_as_needed(tokenizer, monkeypatch):
    seen = []
    normalise = tokenizer.normalise
    monkeypatch.setattr(tokenizer, "normalise", lambda text: seen.append(len(text)) or normalise(text))
    (ids,), truncated = tokenizer.tokenize(["some words " * 500_000], max_tokens=256)
    assert len(ids) == 256 and truncated.all()
    assert sum(seen) < 50_000


def test_a_long_text_is_counted_whole(tokenizer):
    assert tokenizer.count(["some words " * 100_000, "", "some"]).tolist() == [200_000, 0, 1]


def test_counting_texts_of_several_calls_keeps_their_order(tokenizer):
    sizes = list(range(0, 40_000, 2_000))
    assert 5 * sum(sizes) > 3 * CHARACTERS_PER_CALL
    assert tokenizer.count(["some " * size for size in sizes]).tolist() == sizes
    assert tokenizer.tokenize(["some"] * 5, max_tokens=3)[1].tolist() == [False] * 5


def test_another_kind_of_tokenizer_is_refused(directory, tmp_path):
    description = json.loads(Path(directory, "tokenizer.json").read_text(encoding="utf-8"))
    description["pre_tokenizer"] = {"type": "Metaspace"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="'Metaspace', not 'BertPreTokenizer'"):
        wordpiece.load(str(tmp_path))


def test_a_directory_without_a_vocabulary_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json nor vocab\.txt"):
        wordpiece.load(str(tmp_path))


def test_vocab_txt_alone_gives_the_same_ids(directory, tokenizer, tmp_path):
    shutil.copy(Path(directory, "vocab.txt"), tmp_path)
    texts = ["Café [MASK] 中 naïve–ΣΣ", "plain text"]
    alone, _ = wordpiece.load(str(tmp_path)).tokenize(texts, max_tokens=100)
    full, _ = tokenizer.tokenize(texts, max_tokens=100)
    assert [ids.tolist() for ids in alone] == [ids.tolist() for ids in full]


@pytest.mark.skipif(not WEB.exists(), reason="the web corpus is not here")
def test_ids_equal_the_reference_on_web_documents(tokenizer, reference):
    with gzip.open(WEB, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(1500))]
    found, _ = tokenizer.tokenize(texts, max_tokens=10**7)
    different = sum(ids.tolist() != whole for ids, whole in zip(found, reference(texts)))
    assert different <= len(texts) // 1000
