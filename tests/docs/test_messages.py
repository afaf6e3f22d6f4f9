"""Every message that the runbook quotes is one that the code can print, or has just been provoked."""

import re

import pytest

from tests.docs.messages import printed_by
from tests.docs.pages import ROOT

PAGES = ("runbook.md", "observability.md")
FENCE = re.compile(r"(<!-- shows -->\n)?^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def quoted() -> list[str]:
    """The lines of blocks that are no code and were not printed by a test."""
    return [
        line.strip()
        for page in PAGES
        for shows, language, text in FENCE.findall((ROOT / "docs" / page).read_text())
        if not shows and not language
        for line in text.splitlines()
        if line.strip()
    ]


def test_the_runbook_quotes_messages():
    assert len(quoted()) >= 10


@pytest.mark.parametrize("message", quoted())
def test_a_quoted_message_is_one_that_the_code_prints(message):
    assert printed_by(message), message


@pytest.mark.parametrize(
    "message",
    [
        "sluice: stage embeddings: the disk is full",
        "sluice: the run went wrong",
        "unit 3 has other records than it had: was the input changed?",
        "made with another configuration",
    ],
)
def test_a_message_that_no_code_prints_is_noticed(message):
    assert not printed_by(message)
