"""Every kind of tokenizer gives the ids transformers gives, reads no more of a text than needed, and fails clearly.

tests/data/tokenizers/golden.json: ids by transformers 5.23 with the files of the tiny models in tests/data.
"""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.models.embedders.describe import token_counter
from sluice.models.tokenizers import chosen, library, sentencepiece, truncation, wordpiece

DATA = Path(__file__).parents[2] / "data"
GOLDEN = json.loads((DATA / "tokenizers" / "golden.json").read_text(encoding="utf-8"))
KINDS = {
    "bert": wordpiece,
    "mpnet": wordpiece,
    "roberta": library,
    "opt": library,
    "modernbert": library,
    "qwen3": library,
    "t5_encoder": sentencepiece,
    "gemma3_text": sentencepiece,
    "tokenizers/xlm_roberta": sentencepiece,
}


@pytest.fixture(scope="module", params=sorted(KINDS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(name):
    return chosen.load(str(DATA / name))


def test_the_kind_follows_from_the_files(name):
    assert chosen.kind(str(DATA / name)) is KINDS[name]


def test_ids_equal_those_of_transformers(name, tokenizer):
    found, truncated = tokenizer.tokenize(GOLDEN["texts"], max_tokens=1000)
    assert [ids.tolist() for ids in found] == GOLDEN["ids"][name]
    assert all(ids.dtype == np.int32 for ids in found) and not truncated.any()


def test_the_unknown_token_is_the_one_that_stands_for_what_the_vocabulary_lacks(name, tokenizer):
    """Byte-level BPE can tell every text."""
    (found,), _ = tokenizer.tokenize(["\u0e09"], max_tokens=100, special=False)
    assert (tokenizer.unknown in found.tolist()) == (KINDS[name] is not library)
    (plain,), _ = tokenizer.tokenize(["the"], max_tokens=100, special=False)
    assert tokenizer.unknown not in plain.tolist()


def test_counts_leave_out_special_tokens(name, tokenizer):
    special = len(tokenizer.before) + len(tokenizer.after)
    expected = [len(ids) - special for ids in GOLDEN["ids"][name]]
    assert tokenizer.count(GOLDEN["texts"]).tolist() == expected
    bare, _ = tokenizer.tokenize(GOLDEN["texts"], max_tokens=1000, special=False)
    assert [len(ids) for ids in bare] == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 40), st.integers(0, 3000))
def test_a_cut_text_has_the_first_tokens_of_the_whole(tokenizer, seed, max_tokens, size):
    chosen_pieces = random.Random(seed)
    pieces = ["word", "quick", " ", " ", "  ", "\n", "\t", "x" * 60, ".", "...", "'s", "7", "é", "中", "-"]
    text = "".join(chosen_pieces.choices(pieces, k=size))
    (whole,), _ = tokenizer.tokenize([text], max_tokens=10**6, special=False)
    (bare,), truncated = tokenizer.tokenize([text], max_tokens=max_tokens, special=False)
    assert bare.tolist() == whole[:max_tokens].tolist()
    assert truncated.tolist() == [len(whole) > max_tokens]
    (full,), _ = tokenizer.tokenize([text], max_tokens=max_tokens)
    room = max_tokens - len(tokenizer.before) - len(tokenizer.after)
    assert full.tolist() == [*tokenizer.before, *whole[:room].tolist(), *tokenizer.after]


def test_half_a_character_does_no_harm(tokenizer):
    (ids,), _ = tokenizer.tokenize(["the \ud800 fox"], max_tokens=50)
    assert len(ids) > 2
    assert tokenizer.count(["\udfff"]).shape == (1,)


def test_no_room_for_a_token_is_refused(tokenizer):
    special = len(tokenizer.before) + len(tokenizer.after)
    with pytest.raises(ValueError, match="max_tokens must leave room"):
        tokenizer.tokenize(["a"], max_tokens=special)


def test_the_recipe_is_json(tokenizer):
    recipe = tokenizer.recipe()
    assert json.loads(json.dumps(recipe)) == recipe and recipe["kind"]


def test_a_long_text_is_read_only_as_far_as_needed(tokenizer, monkeypatch):
    read = []
    encode = truncation.first_tokens

    def watched(texts, room, *, encode, prefix):
        return original(
            texts, room, encode=lambda pieces: read.extend(map(len, pieces)) or encode(pieces), prefix=prefix
        )

    original = encode
    for module in (wordpiece, sentencepiece, library):
        holder = module if hasattr(module, "first_tokens") else module.truncation
        monkeypatch.setattr(holder, "first_tokens", watched)
    (ids,), truncated = tokenizer.tokenize(["some words " * 500_000], max_tokens=64)
    assert len(ids) == 64 and truncated.all()
    assert 0 < sum(read) < 50_000


@pytest.mark.parametrize(
    ("text", "window", "expected"),
    [
        ("short", 10, "short"),
        ("one two three", 9, "one two"),
        ("one two three", 7, "one"),
        ("one two. three", 12, "one"),
        ("one  two  three", 12, ""),
        ("中文 中文 中文", 5, ""),
        ("onetwothree", 4, ""),
        (" one two", 5, " one"),
        (" onetwo", 3, ""),
    ],
)
def test_a_prefix_ends_between_two_plain_words(text, window, expected):
    assert truncation.whole_words(text, window) == expected


def test_an_entry_that_reaches_over_a_blank_is_found_however_the_text_is_cut(tmp_path):
    description = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, " ": 1, "b": 2, " b": 3, "a b": 4},
            "merges": [[" ", "b"], ["a", " b"]],
        },
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))
    tokenizer = library.load(str(tmp_path))
    text = "a b" * 100
    whole = library.load(str(tmp_path))._encode([text])[0].ids
    assert tokenizer.tokenize([text], max_tokens=5)[0][0].tolist() == whole[:5] == [4] * 5


def test_a_tokenizer_json_is_the_last_word_beside_a_sentencepiece_model(tmp_path):
    shutil.copytree(DATA / "t5_encoder", tmp_path, dirs_exist_ok=True)
    shutil.copy(DATA / "qwen3" / "tokenizer.json", tmp_path)
    assert chosen.kind(str(tmp_path)) is library


def test_a_wordpiece_of_other_rules_is_left_to_the_library(tmp_path):
    path = Path(shutil.copy(DATA / "mpnet" / "tokenizer.json", tmp_path))
    description = json.loads(path.read_text(encoding="utf-8"))
    description["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    path.write_text(json.dumps(description))
    assert chosen.kind(str(tmp_path)) is library
    assert chosen.load(str(tmp_path)).tokenize(["the fox"], max_tokens=9)[0][0][0] == 0


def test_special_tokens_come_from_the_configuration_of_a_sentencepiece_model(tmp_path):
    shutil.copy(DATA / "gemma3_text" / "tokenizer.model", tmp_path)
    for flags, ends in (({}, ([2], [])), ({"add_bos_token": False, "add_eos_token": True}, ([], [1]))):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GemmaTokenizerFast", **flags}))
        tokenizer = chosen.load(str(tmp_path))
        assert (tokenizer.before, tokenizer.after) == ends


def test_a_tokenizer_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer: looked for tokenizer\.json, spiece\.model"):
        chosen.load(str(tmp_path))
    (tmp_path / "spiece.model").write_bytes(b"\x00 not a model")
    with pytest.raises(FileNotFoundError, match=r"no tokenizer_config\.json"):
        chosen.load(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "OtherTokenizer"}')
    with pytest.raises(ValueError, match=r"'OtherTokenizer' needs a tokenizer\.json"):
        chosen.load(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(ValueError, match=r"spiece\.model is not a SentencePiece model"):
        chosen.load(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        chosen.load(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a tokenizer of the tokenizers library"):
        chosen.load(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("vocab.json", '{"a": 0}', "no <s> or no </s>|not a byte-level BPE"),
        ("vocab.json", "[", "not a byte-level BPE"),
        ("merges.txt", "only-one-part\n", "not a byte-level BPE"),
    ],
)
def test_a_damaged_byte_level_vocabulary_is_refused(tmp_path, file, content, message):
    shutil.copytree(DATA / "roberta", tmp_path, dirs_exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        chosen.load(str(tmp_path))


def test_a_vocabulary_without_merges_is_refused(tmp_path):
    shutil.copy(DATA / "roberta" / "vocab.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"merges\.txt"):
        chosen.load(str(tmp_path))


def test_tokens_are_counted_by_a_model_or_by_a_tokenizer_file():
    counts = token_counter("model", str(DATA / "qwen3"))(GOLDEN["texts"])
    assert counts.tolist() == [len(ids) - 1 for ids in GOLDEN["ids"]["qwen3"]]
    by_file = token_counter("tokenizer", str(DATA / "qwen3" / "tokenizer.json"))(GOLDEN["texts"])
    assert by_file.tolist() == counts.tolist()
    with pytest.raises(ValueError, match="not by 'words'"):
        token_counter("words", "")
