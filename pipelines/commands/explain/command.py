"""Why a document was kept or went, next to the text it resembles.

sluice explain runs/first DOCUMENT        DOCUMENT is an id, or unit:row
"""

import argparse
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.pipelines.commands.explain.lookup import addresses_of
from sluice.pipelines.commands.explain.page import render
from sluice.pipelines.report.central import cluster_of
from sluice.pipelines.run.finished import Address, Finished, plain
from sluice.pipelines.terminal.printing import emit
from sluice.transforms.outcome.fates import KEPT
from sluice.transforms.scores.base import NEVER
from sluice.transforms.stages.columns import numbers

CHARACTERS = 800
# Chains are short; this only ends a walk through a run that is not what it should be.
MOST_LINKS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="RUN", help="run directory")
    parser.add_argument(
        "document",
        metavar="DOCUMENT",
        nargs="?",
        help="a document's id, or unit:row as reports give it; after -- an id that is an option's name: RUN -- --json",
    )
    parser.add_argument("--full", action="store_true", help="show whole texts")
    parser.add_argument("--characters", type=int, default=CHARACTERS, help=f"of each text (default: {CHARACTERS})")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.document is None:
        raise ValueError("explain needs a DOCUMENT: an id, or unit:row as reports give it")
    if args.characters < 1:
        raise ValueError(f"--characters must be at least 1, not {args.characters}")
    explanation = explain(args.url, args.document, characters=None if args.full else args.characters)
    emit(explanation, render(explanation), as_json=args.json)
    return 0


def explain(url: str, document: str, *, characters: int | None = None) -> dict[str, Any]:
    """The fate of a document of a finished run, its scores beside the thresholds, and what it resembles.

    document: an id, or unit:row. characters: texts are cut to so many; None: whole. Raises FileNotFoundError for a run
    that has no decisions yet, ValueError for an unknown document, naming ids that are nearly the same.
    """
    return Explanation(Finished(url), characters).of(document)


class Explanation:
    """Explains documents of one finished run; texts are cut to `characters`, None: whole."""

    def __init__(self, run: Finished, characters: int | None):
        self.run, self.characters = run, characters
        self._part = lru_cache(maxsize=8)(run.artifact("decisions").read)

    def of(self, document: str) -> dict[str, Any]:
        """As `explain`."""
        addresses = addresses_of(self.run, document)
        address = addresses[0]
        decision = self._decision(address)
        if decision is None:
            return self._rejected(address)
        chain = self._chain(decision)
        steps = list(self._steps(address))
        central = [each for step in steps if step["cluster"] for each in step["cluster"]["central"]]
        self._add_texts([decision, *chain[:1], *chain[-1:], *central])
        ends_kept = bool(chain) and chain[-1]["fate"] == KEPT
        return plain(
            decision
            | {
                "same_id": len(addresses) - 1,
                "steps": steps,
                "neighbour": chain[0] if chain else None,
                "chain": chain,
                "kept_relative": chain[-1]["id"] if ends_kept else None,
            }
        )

    def _add_texts(self, documents: list[dict[str, Any]]) -> None:
        """Enter text, characters and problem into descriptions of documents."""
        texts = self.run.texts([(document["unit"], document["row"]) for document in documents])
        for document in documents:
            text = texts[document["unit"], document["row"]]
            document["text"] = None if text.text is None else text.text[: self.characters]
            document["characters"] = None if text.text is None else len(text.text)
            document["problem"] = text.problem

    # Reading ----------------------------------------------------------------------------------------------------

    def _place(self, address: Address) -> int | None:
        """The position of a document in its unit's parts, whose rows ascend; None for a rejected record."""
        unit, row = address
        rows = numbers(self._part(unit), "row")
        place = int(np.searchsorted(rows, row))
        return place if place < len(rows) and rows[place] == row else None

    def _decision(self, address: Address) -> dict[str, Any] | None:
        place = self._place(address)
        return None if place is None else self._part(address[0]).slice(place, 1).to_pylist()[0]

    def _rejected(self, address: Address) -> dict[str, Any]:
        unit, row = address
        rejected = self.run.artifact("rejected").read(unit)
        records = rejected.filter(pc.equal(rejected["row"], pa.scalar(row, pa.uint32()))).to_pylist()
        if not records:
            raise ValueError(f"{self.run.url}: unit {unit} has no record in row {row}")
        return {"id": None, "unit": unit, "row": row, "fate": "rejected", **records[0]}

    # Following --------------------------------------------------------------------------------------------------

    def _chain(self, decision: dict[str, Any]) -> list[dict[str, Any]]:
        """What a removed document resembles, what that resembles if it was removed too, and so on."""
        chain: list[dict[str, Any]] = []
        seen = {(decision["unit"], decision["row"])}
        while decision["fate"] != KEPT and decision["neighbour_row"] is not None and len(chain) < MOST_LINKS:
            address = decision["neighbour_unit"], decision["neighbour_row"]
            neighbour = self._decision(address)
            if address in seen or neighbour is None:
                break
            seen.add(address)
            chain.append(neighbour)
            decision = neighbour
        return chain

    def _steps(self, address: Address) -> Iterator[dict[str, Any]]:
        """What each step had against a document, up to the one that removed it."""
        for name in self.run.steps:
            step = self._step(name, address)
            yield step
            if step["outcome"] == "removed":
                return

    def _step(self, name: str, address: Address) -> dict[str, Any]:
        unit, place = address[0], self._place(address)
        scores, keep = self.run.artifact(f"steps/{name}/scores"), self.run.artifact(f"steps/{name}/keep")
        row = scores.read(unit).slice(place, 1).to_pylist()[0]
        kept = keep.read(unit)["keep"][place].as_py()
        config = keep.manifest["config"]
        threshold = config["threshold"]
        if threshold is None:
            threshold = keep.manifest["totals"].get("min_removed_score")
        # A step that cannot remove a document gives it the lowest score there is.
        scored = row["score"] not in (None, int(NEVER), float("-inf"))
        neighbour = row["neighbour_unit"], row["neighbour_row"]
        return {
            "step": name,
            "outcome": "kept" if kept else "removed",
            "score": row["score"] / config["scale"] if scored else None,
            "threshold": None if threshold is None else threshold / config["scale"],
            "neighbour": None if None in neighbour else (self._decision(neighbour) or {}).get("id"),
            "match": self._match(name, row),
            "rules": self._rules(name, row, scores.manifest["config"]),
            "cluster": cluster_of(self.run, name, address),
        }

    def _rules(self, name: str, row: dict[str, Any], config: dict[str, Any]) -> list[dict[str, Any]]:
        """What a step that sums rules had most against the document; `weight`: what a rule costs that no line meets."""
        weights = config.get("weights") or {}
        whole = sum(weights.values()) or 1
        rules = self.run.options(name).rules(row)
        return [rule | {"weight": weights.get(rule["rule"], 0) / whole} for rule in rules]

    def _match(self, name: str, row: dict[str, Any]) -> dict[str, Any] | None:
        """What outside the run the document resembles, where a step compares with something there."""
        match = self.run.options(name).matched(self.run, name, row)
        if match is None or match["text"] is None:
            return match
        return match | {"text": match["text"][: self.characters], "characters": len(match["text"])}
