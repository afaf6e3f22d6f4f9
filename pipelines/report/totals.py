"""What the report says about the run as a whole: from bytes read to bytes written."""

from collections import Counter
from typing import Any

from sluice.pipelines.report.gathering import Gathered
from sluice.pipelines.run.finished import Finished
from sluice.transforms.outcome.fates import KEPT
from sluice.transforms.stages.units import read_units


def describe_totals(gathered: Gathered) -> dict[str, Any]:
    """Files, records, documents, tokens and characters: read, rejected, removed by each step, kept."""
    totals, documents = gathered.totals, gathered.sources.documents.manifest["totals"]
    inventory = gathered.run.artifact("inventory").manifest["totals"]
    corpus = gathered.sources.corpus.manifest["totals"]
    return {
        "units": inventory["units"],
        "files": inventory["files"],
        "bytes_in": inventory["bytes"],
        "unread": inventory.get("unread", {}),
        "records": totals.records,
        "rejected": totals.rejected,
        "reasons": documents["reasons"],
        "barren": _barren(gathered.run, documents.get("barren") or {"files": 0, "empty": 0, "named": {}}),
        "documents": sum(totals.documents.values()),
        "characters": sum(totals.characters.values()),
        "tokens": gathered.tokens(sum(totals.tokens.values())),
        "removed": [
            {
                "step": step.name,
                "documents": totals.documents[step.name],
                "tokens": gathered.tokens(totals.tokens[step.name]),
                "characters": totals.characters[step.name],
            }
            for step in gathered.steps
        ],
        "kept": totals.documents[KEPT],
        "kept_tokens": gathered.tokens(totals.tokens[KEPT]),
        "kept_characters": totals.characters[KEPT],
        "files_out": corpus["files"],
        "bytes_out": corpus["corpus_bytes"],
    }


def _barren(run: Finished, barren: dict[str, Any]) -> dict[str, Any]:
    """Files without a document: how many are empty, and those with nothing but rejects, some of them by name."""
    ranges: Counter[str] = Counter()
    if barren["named"]:
        units = read_units(run.artifact("inventory"))
        ranges.update(span.relative for unit in units for span in unit.spans if span.relative in barren["named"])
    # Another range of a file may hold documents.
    named = {name: file["reasons"] for name, file in barren["named"].items() if file["ranges"] == ranges[name]}
    partly = len(barren["named"]) - len(named)
    return {"empty": barren["empty"], "rejected": barren["files"] - barren["empty"] - partly, "named": named}
