"""The sequences in the documents run as they stand, in an empty folder."""

import pytest

from tests.docs.pages import ROOT, blocks, play

PAGES = {"laptop.md": 10, "runbook.md": 10}


@pytest.mark.parametrize("name", PAGES)
def test_the_sequence_of_a_page_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert play(ROOT / "docs" / name) >= PAGES[name]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_mark_without_its_block(name):
    for block in blocks(ROOT / "docs" / name):
        assert block.kind == "before" or block.text.strip(), block
