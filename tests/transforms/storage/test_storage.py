"""Files appear whole, the first writer wins, and only what was asked for is listed."""

import pytest

from sluice.transforms import storage
from sluice.transforms.storage import committing, listing


@pytest.mark.parametrize("root", ["local", "memory"])
def test_the_first_writer_wins_and_both_succeed(root, tmp_path):
    url = f"{tmp_path}/part" if root == "local" else "memory://first-writer/part"
    for text in ("first", "second"):
        with committing.create(url) as path, open(path, "w") as file:
            file.write(text)
    assert storage.read_bytes(url) == b"first"


def test_a_failed_write_leaves_nothing(tmp_path):
    url = f"{tmp_path}/folder/part"
    with pytest.raises(RuntimeError), committing.create(url) as path:
        open(path, "w").write("half")
        raise RuntimeError
    assert list((tmp_path / "folder").iterdir()) == []


def test_small_files_are_replaced_in_one_step(tmp_path):
    for url in (f"{tmp_path}/manifest.json", "memory://replace/manifest.json"):
        committing.replace_bytes(url, b"one")
        committing.replace_bytes(url, b"two")
        assert storage.read_bytes(url) == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_hidden_files_and_folders_are_not_listed(tmp_path):
    for name in ("a.jsonl", "sub/b.jsonl", ".hidden", "_parts/manifest.json", "sub/.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = [file.path.removeprefix(f"{tmp_path}/") for file in listing.list_files(str(tmp_path))]
    assert found == ["a.jsonl", "sub/b.jsonl"]
    assert [file.path for file in listing.list_files(f"{tmp_path}/*.jsonl")] == [f"{tmp_path}/a.jsonl"]


def test_a_rewritten_file_has_another_etag(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    before = storage.info(str(path))
    path.write_text("y")
    assert storage.info(str(path)).etag != before.etag


def test_a_short_read_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert storage.read_range(f"{tmp_path}/a", 1, 3) == b"23"
    with pytest.raises(OSError, match=r"wanted bytes 3\.\.9"):
        storage.read_range(f"{tmp_path}/a", 3, 9)


def test_a_local_copy_of_a_remote_file_has_its_content():
    committing.replace_bytes("memory://copies/a", b"content")
    with storage.local_copy("memory://copies/a") as path:
        assert open(path, "rb").read() == b"content"
