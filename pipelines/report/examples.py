"""Texts in the report: removed documents beside what they resemble, and the largest groups of near-duplicates."""

from typing import Any

import numpy as np

from sluice.pipelines.report.central import cluster_of
from sluice.pipelines.report.gathering import Gathered
from sluice.pipelines.run.finished import Address, Text
from sluice.transforms.audit.ledger import Group, Ledger
from sluice.transforms.audit.samples import Example

GROUPS = 20
GROUP_MEMBERS = 3
EXAMPLES = 5
# Characters of a text.
HEAD = 200


def largest_groups(gathered: Gathered, ledger: Ledger) -> tuple[list[Group], dict[Address, str]]:
    """The groups, and the fates of the members that are named."""
    groups = ledger.largest_groups(GROUPS, GROUP_MEMBERS)
    names = gathered.sources.names
    fates = {}
    for unit, row in (member for group in groups for member in group.members):
        place = ledger.index(unit, np.array([row]))
        fates[unit, row] = names[int(ledger.fate[place][0])]
    return groups, fates


def describe_texts(gathered: Gathered, groups: list[Group], fates: dict[Address, str]) -> dict[str, Any]:
    """`largest_groups` and `examples` of the report; all their texts are read at once."""
    examples = _choose(gathered)
    addresses = [at for _, example in examples for at in ((example.unit, example.row), example.neighbour) if at]
    texts = gathered.run.texts([*addresses, *fates])
    return {
        "largest_groups": [
            {"size": group.size, "members": [_shown(texts, at) | {"fate": fates[at]} for at in group.members]}
            for group in groups
        ],
        "examples": [_example(gathered, number, example, texts) for number, example in examples],
    }


def _choose(gathered: Gathered) -> list[tuple[int, Example]]:
    """(step's number, example): EXAMPLES at most, of each step as many as it asks for."""
    chosen = []
    for number, options in enumerate(gathered.run.all_options):
        chosen += [(number, example) for example in gathered.examples.spread(number, options.examples)]
    return chosen[:EXAMPLES]


def _example(gathered: Gathered, number: int, example: Example, texts: dict[Address, Text]) -> dict[str, Any]:
    at, name = (example.unit, example.row), gathered.steps[number].name
    return {
        "step": name,
        "score": example.score,
        **_shown(texts, at),
        "neighbour": None if example.neighbour is None else _shown(texts, example.neighbour),
        "cluster": cluster_of(gathered.run, name, at),
    }


def _shown(texts: dict[Address, Text], at: Address) -> dict[str, Any]:
    text = texts[at]
    return {
        "unit": at[0],
        "row": at[1],
        "id": text.id,
        "text": None if text.text is None else text.text[:HEAD],
        "problem": text.problem,
    }
