"""Which files an input names: as they are on disk, through links, each once, and nothing left out in silence."""

import os
from pathlib import Path

import pytest

from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.storage import committing, listing


def make(folder: Path, *names: str, links: dict[str, str] | None = None) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    for name, target in (links or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)


def named(folder: Path, pattern: str) -> tuple[list[str], dict[str, list[str]]]:
    """The files and what is not read, relative to the folder."""
    found = listing.list_entries(f"{folder}/{pattern}" if pattern else str(folder))
    cut = len(f"{folder}/")
    unread = {kind: sorted(path[cut:] for path in paths) for kind, paths in found.unread.items()}
    return [file.path[cut:] for file in found.files], unread


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("shard*", (["shard-1.jsonl", "shard.jsonl", "shard_0.jsonl"], {})),
        ("*.jsonl", (["shard-1.jsonl", "shard.jsonl", "shard_0.jsonl"], {"hidden names": ["_x.jsonl"]})),
        ("_*.jsonl", (["_x.jsonl"], {})),
        ("_x.jsonl", (["_x.jsonl"], {})),
        ("*/a.jsonl", (["sub/a.jsonl"], {"hidden names": [".sub"]})),
        ("sub/*", (["sub/a.jsonl", "sub/b"], {"folders": ["sub/more"]})),
        (".sub", ([".sub/a.jsonl"], {})),
        ("**/a.jsonl", (["sub/a.jsonl", "sub/more/a.jsonl"], {"hidden names": [".sub"]})),
        ("sub/**", (["sub/a.jsonl", "sub/b", "sub/more/a.jsonl"], {})),
        ("s?ard[-]1.jsonl", (["shard-1.jsonl"], {})),
    ],
)
def test_hidden_is_judged_on_whole_names_that_the_pattern_does_not_name(tmp_path, pattern, expected):
    make(tmp_path, "shard-1.jsonl", "shard.jsonl", "shard_0.jsonl", "_x.jsonl", "sub/a.jsonl", "sub/b")
    make(tmp_path, ".sub/a.jsonl", "sub/more/a.jsonl")
    assert named(tmp_path, pattern) == expected


ODD = ["[x].jsonl", "*.jsonl", "what?.jsonl", "a b.jsonl", "back\\slash.jsonl", "a::b.jsonl", "new\nline.jsonl", "[a-c"]


@pytest.mark.parametrize("name", ODD)
def test_a_path_that_exists_is_itself(tmp_path, name):
    make(tmp_path, "a.jsonl", "x.jsonl", f"{name}/in.jsonl" if name == "[a-c" else name)
    expected = f"{name}/in.jsonl" if name == "[a-c" else name
    assert named(tmp_path, name) == ([expected], {})
    (unit,) = plan_units([f"{tmp_path}/{name}"])
    assert unit.spans[0].relative == expected.rpartition("/")[2]


def test_a_glob_below_a_folder_with_brackets_in_its_name_stays_below_it(tmp_path):
    make(tmp_path, "[ab]/x.jsonl", "a/x.jsonl")
    assert named(tmp_path, "[ab]/*.jsonl") == (["[ab]/x.jsonl"], {})


def test_links_are_followed_and_everything_is_read_once(tmp_path):
    links = {
        "in/linked.jsonl": "../blobs/deadbeef",
        "in/more": "../elsewhere",
        "in/gone.jsonl": "/nonexistent/key",
        "in/loop": ".",
        "in/again.jsonl": "real.jsonl",
        "in/a_link": "z_folder",
        "elsewhere/up": "../in",
    }
    make(tmp_path, "in/real.jsonl", "in/z_folder/z.jsonl", "blobs/deadbeef", "elsewhere/other.jsonl", links=links)
    again = ["again.jsonl", "a_link", "loop", "more/up"]
    expected = ["linked.jsonl", "more/other.jsonl", "real.jsonl", "z_folder/z.jsonl"]
    unread = {"broken links": ["gone.jsonl"], "links to what is read already": sorted(again)}
    assert named(tmp_path / "in", "") == (expected, unread)
    unread = {"broken links": ["gone.jsonl"], "links to what is read already": ["again.jsonl"]}
    assert named(tmp_path / "in", "*.jsonl") == (["linked.jsonl", "real.jsonl"], unread)


def test_a_folder_of_links_is_read_by_their_names(tmp_path):
    """The layout of the Hugging Face cache."""
    make(tmp_path, "blobs/deadbeef", links={"snapshots/abc/train.jsonl": "../../blobs/deadbeef"})
    assert named(tmp_path / "snapshots", "") == (["abc/train.jsonl"], {})


def test_broken_links_and_special_files_are_named(tmp_path):
    make(tmp_path, links={"gone.jsonl": "/nonexistent"})
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl is a link to /nonexistent, and there is nothing"):
        named(tmp_path, "gone.jsonl")
    with pytest.raises(FileNotFoundError, match=r"not read: broken links: 1 \(.*\); special files: 1 \("):
        named(tmp_path, "")


def test_a_name_that_is_no_text_is_refused_before_the_work(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.jsonl")).write_text("{}")
    with pytest.raises(ValueError, match=r"caf\\xe9\.jsonl': the name is not UTF-8; rename the file"):
        named(tmp_path, "")


@pytest.mark.parametrize("pattern", ["", "*", "**"])
def test_objects_of_a_store_are_listed_by_the_same_rules(pattern):
    for name in ("shard_0", "_hidden", ".dot/x"):
        committing.replace_bytes(f"memory://rules/{name}", b"{}")
    found = listing.list_entries(f"memory://rules/{pattern}")
    assert [file.path for file in found.files] == ["memory:///rules/shard_0"]
    assert set(found.unread) == {"hidden names"}


@pytest.mark.parametrize("pattern", ["", "*", "**"])
def test_a_curated_corpus_is_an_input_of_which_nothing_is_left_out(tmp_path, pattern):
    make(tmp_path, "part-00000-0123456789.jsonl", "_parts/manifest.json", "_parts/part-00000-0123456789.parquet")
    assert named(tmp_path, pattern) == (["part-00000-0123456789.jsonl"], {})
