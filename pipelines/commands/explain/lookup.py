"""A document of a finished run by what a person knows of it: its id, or unit:row. An unknown id gets suggestions."""

import difflib
import json
import re

import pyarrow as pa
import pyarrow.compute as pc

from sluice.pipelines.run.finished import WINDOW, Address, Finished
from sluice.pipelines.terminal.printing import printable

MOST_REJECTED = 3
MOST_CANDIDATES = 1000
MOST_SUGGESTIONS = 3


def addresses_of(run: Finished, document: str) -> list[Address]:
    """(unit, row) of every document with this id, or of the one that `unit:row` names.

    Raises ValueError for an unknown document, naming ids that are nearly the same and rejected records with this id.
    """
    decisions = run.artifact("decisions")
    addresses: list[Address] = []
    candidates: list[str] = []
    for part in decisions.manifest["parts"]:
        for batch in decisions.windows(part["unit"], ["row", "id"], WINDOW):
            rows, ids = batch.column(0), batch.column(1)
            same = pc.equal(ids, document)
            addresses += [(part["unit"], row) for row in rows.filter(same).to_pylist()]
            if not addresses and len(candidates) < MOST_CANDIDATES:
                candidates += _candidates(ids, document)
    if addresses:
        return addresses
    if place := re.fullmatch(r"(\d{1,9}):(\d{1,10})", document):
        address = int(place[1]), int(place[2])
        if any(part["unit"] == address[0] for part in decisions.manifest["parts"]):
            return [address]
    hints = _suggestions(candidates, document) + _rejected_hint(run, document)
    raise ValueError(f"{run.url} has no document {printable(document, 200)}{hints}")


def _suggestions(candidates: list[str], document: str) -> str:
    candidates = candidates[:MOST_CANDIDATES]
    nearest = sorted(candidates, key=lambda name: _difference(name, document))[:MOST_SUGGESTIONS]
    if not nearest:
        return ""
    return f"; near it are {', '.join(printable(name, 80) for name in nearest)}"


def _rejected_hint(run: Finished, document: str) -> str:
    rejected = _rejected_with(run, document)
    if not rejected:
        return ""
    return f"; rejected records have this id: {', '.join(rejected)} (unit:row shows one)"


def _rejected_with(run: Finished, document: str) -> list[str]:
    """`unit:row (reason)` of the first rejected records of JSON whose first characters have this as their id."""
    field = run.recipe.input.id
    if field is None:
        return []
    written = {json.dumps(document)[1:-1], json.dumps(document, ensure_ascii=False)[1:-1]}
    values = "|".join(re.escape(value) for value in sorted(written))
    # A string in quotes, or a number without: "id": "7" and "id": 7.
    pattern = rf'"{re.escape(field.rpartition(".")[2])}"\s*:\s*("({values})"|{re.escape(document)}\s*[,}}])'
    rejected = run.artifact("rejected")
    records: list[str] = []
    for part in rejected.manifest["parts"]:
        for batch in rejected.windows(part["unit"], ["row", "reason", "head"], WINDOW):
            same = pc.fill_null(pc.match_substring_regex(batch.column("head"), pattern), False)
            for row in batch.filter(same).to_pylist():
                records.append(f"{part['unit']}:{row['row']} ({printable(row['reason'], 80)})")
                if len(records) == MOST_REJECTED:
                    return records
    return records


def _candidates(ids: pa.Array, document: str) -> list[str]:
    """Ids that hold the wanted one, or begin as it does."""
    if not document:
        return []
    similar = pc.or_(
        pc.match_substring(ids, document, ignore_case=True),
        pc.starts_with(ids, document[: max(len(document) * 2 // 3, 1)], ignore_case=True),
    )
    return ids.filter(similar).to_pylist()[:MOST_CANDIDATES]


def _difference(name: str, document: str) -> float:
    """0 for equal ids, 1 for ids without a common character; upper and lower case are the same.

    >>> _difference("Doc-7", "doc-7"), _difference("abc", "xyz")
    (0.0, 1.0)
    """
    short = name[:200].casefold(), document[:200].casefold()
    return 1 - difflib.SequenceMatcher(None, *short, autojunk=False).ratio()
