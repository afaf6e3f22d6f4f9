"""Real corpora with the real model, where they are at hand."""

import gzip
import json
from collections import Counter
from math import ceil

import pytest

from sluice.models.checkpoints.default import default_model_dir
from sluice.pipelines.commands.explain.command import explain
from tests.pipelines.corpora import fates, kept_ids, run_d4

WITH_MODEL = {"vector": None, "tokens": None, "clusters": None}


@pytest.fixture(scope="module")
def model() -> str:
    try:
        return default_model_dir()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def lines_of(path, wanted) -> list[bytes]:
    with gzip.open(path) as file:
        return [line for number, line in enumerate(file) if wanted(number)]


@pytest.fixture(scope="module")
def planted(shared_data, tmp_path_factory):
    """120 groups of planted duplicates and 60 unique documents as a file, and the group of each document."""
    truth = [json.loads(line) for line in lines_of(shared_data / "planted.truth.jsonl.gz", lambda _: True)]
    sizes = Counter(row["group"] for row in truth if row["kind"] != "paraphrase")
    groups = [name for name, size in sizes.items() if 1 < size < 6][:120]
    groups += [name for name, size in sizes.items() if size == 1][:60]
    chosen = {number: row for number, row in enumerate(truth) if row["group"] in set(groups)}
    folder = tmp_path_factory.mktemp("planted")
    lines = lines_of(shared_data / "planted.jsonl.gz", lambda number: number in chosen)
    (folder / "planted.jsonl").write_bytes(b"".join(lines))
    return str(folder), {row["id"]: row["group"] for row in chosen.values()}


def test_semdedup_with_the_real_model_finds_planted_duplicates_and_little_else(model, planted, tmp_path):
    source, group = planted
    run_d4(source, tmp_path / "run", recipe="semdedup", keep=None, threshold="0.9", **WITH_MODEL)
    kept, found = kept_ids(tmp_path / "run"), fates(tmp_path / "run")
    removed = [identity for identity, fate in found.items() if fate != "kept"]
    survivors = {group[identity] for identity in kept}
    # One of each group should be left: every group that lost all its documents is a mistake.
    right = len(removed) - len(set(group.values()) - survivors)
    removable = len(group) - len(set(group.values()))
    assert right > 0.95 * len(removed)
    assert right > 0.5 * removable
    shown = explain(str(tmp_path / "run"), removed[0])
    assert (shown["id"], shown["fate"]) == (removed[0], found[removed[0]])


def test_a_slice_of_the_web_corpus_goes_end_to_end(model, shared_data, tmp_path):
    source = tmp_path / "in" / "web.jsonl"
    source.parent.mkdir()
    lines = lines_of(shared_data / "web" / "part-00000.jsonl.gz", lambda number: number < 200)
    source.write_bytes(b"".join(lines))
    report = run_d4(str(source), tmp_path / "run", keep="0.6", **WITH_MODEL)
    assert report["totals"]["kept"] == ceil(0.6 * report["totals"]["documents"])
    kept = kept_ids(tmp_path / "run")
    written = [path for path in (tmp_path / "run" / "corpus").iterdir() if path.name.startswith("part-")]
    copied = b"".join(path.read_bytes() for path in written)
    assert copied == b"".join(line for line in lines if json.loads(line)["id"] in kept)


def test_a_whole_gzip_shard_is_read_cut_and_copied(shared_data, tmp_path):
    source = str(shared_data / "web" / "part-00001.jsonl.gz")
    report = run_d4(source, tmp_path / "run", recipe="random", keep="0.1", vector=None, tokens=None, clusters=None)
    totals = report["totals"]
    assert totals["records"] == 14585 == totals["documents"] + totals["rejected"]
    assert totals["kept"] == ceil(0.1 * totals["documents"])
    kept = set()
    for path in (tmp_path / "run" / "corpus").glob("part-*.jsonl.gz"):
        with gzip.open(path) as file:
            kept |= {json.loads(line)["id"] for line in file}
    assert kept == kept_ids(tmp_path / "run")


def test_real_archives_become_documents_and_archives_again(shared_data, tmp_path):
    report = run_d4(
        str(shared_data / "warc" / "pages.warc.gz"),
        tmp_path / "run",
        recipe="random",
        keep="0.5",
        id=None,
        vector=None,
        tokens=None,
        clusters=None,
        max_reject_share=0.2,
    )
    totals = report["totals"]
    assert totals["records"] == 90
    again = run_d4(
        str(tmp_path / "run" / "corpus"),
        tmp_path / "again",
        recipe="random",
        keep="1",
        id=None,
        vector=None,
        tokens=None,
        clusters=None,
    )
    assert again["totals"]["documents"] == totals["kept"]
