"""Why a document was kept or went, next to the text it resembles.

sluice explain runs/first DOCUMENT        DOCUMENT is an id, or unit:row
"""

import argparse
import difflib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.rule import Rule
from rich.text import Text

from sluice.pipelines.report.central import cluster_of
from sluice.pipelines.run.finished import WINDOW, Address, Finished, plain
from sluice.pipelines.terminal.printing import cell, emit, printable
from sluice.transforms.outcome.decisions import KEPT
from sluice.transforms.scores.base import NEVER

CHARACTERS = 800
SHORT = 160  # characters of a most central document
RULE = 80  # columns
# Chains are short; this only ends a walk through a run that is not what it should be.
MOST_LINKS = 100
MOST_SHOWN = 3
MOST_CANDIDATES = 1000


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
    found = explain(args.url, args.document, characters=None if args.full else args.characters)
    emit(found, render(found), as_json=args.json)
    return 0


def explain(url: str, document: str, *, characters: int | None = None) -> dict[str, Any]:
    """What became of a document of a finished run, at which score against which threshold, and what it resembles.

    document: an id, or unit:row. characters: texts are cut to so many; None: whole. Raises FileNotFoundError for a run
    that has no decisions yet, ValueError for an unknown document, naming ids that are nearly the same.
    """
    return Explanation(Finished(url), characters).of(document)


class Explanation:
    def __init__(self, run: Finished, characters: int | None):
        self.run, self.characters = run, characters
        self.decisions = run.artifact("decisions")
        self._part = lru_cache(maxsize=8)(self.decisions.read)

    def of(self, document: str) -> dict[str, Any]:
        addresses = self._find(document)
        at = addresses[0]
        found = self._decision(at)
        if found is None:
            return self._rejected(at)
        chain = self._chain(found)
        neighbour = chain[0] if chain else None
        last = chain[-1] if chain else None
        shown = [one for one in (found, neighbour, last) if one is not None]
        steps = list(self._steps(at))
        shown += [one for step in steps if step["cluster"] for one in step["cluster"]["central"]]
        texts = self.run.texts([(one["unit"], one["row"]) for one in shown])
        for one in shown:
            text = texts[one["unit"], one["row"]]
            one["text"] = text.text if text.text is None or self.characters is None else text.text[: self.characters]
            one["characters"] = None if text.text is None else len(text.text)
            one["problem"] = text.problem
        return plain(
            found
            | {
                "same_id": len(addresses) - 1,
                "steps": steps,
                "neighbour": neighbour,
                "chain": chain,
                "kept_relative": last["id"] if last is not None and last["fate"] == KEPT else None,
            }
        )

    # Finding ----------------------------------------------------------------------------------------------------

    def _find(self, document: str) -> list[Address]:
        found: list[Address] = []
        near: list[str] = []
        for part in self.decisions.manifest["parts"]:
            for batch in self.decisions.windows(part["unit"], ["row", "id"], WINDOW):
                rows, ids = batch.column(0), batch.column(1)
                same = pc.equal(ids, document)
                found += [(part["unit"], row) for row in rows.filter(same).to_pylist()]
                if not found and len(near) < MOST_CANDIDATES:
                    near += _candidates(ids, document)
        if found:
            return found
        if place := re.fullmatch(r"(\d{1,9}):(\d{1,10})", document):
            at = int(place[1]), int(place[2])
            if any(part["unit"] == at[0] for part in self.decisions.manifest["parts"]):
                return [at]
        close = sorted(near[:MOST_CANDIDATES], key=lambda name: _difference(name, document))[:3]
        hint = f"; near it are {', '.join(printable(name, 80) for name in close)}" if close else ""
        rejected = self._rejected_with(document)
        hint += f"; rejected records have this id: {rejected} (unit:row shows one)" if rejected else ""
        raise ValueError(f"{self.run.url} has no document {printable(document, 200)}{hint}")

    def _rejected_with(self, document: str) -> str:
        """Rejected records of JSON whose first characters have this as their id, and why they were; "" for none."""
        field = self.run.recipe.input.id
        if field is None:
            return ""
        written = {json.dumps(document)[1:-1], json.dumps(document, ensure_ascii=False)[1:-1]}
        values = "|".join(re.escape(value) for value in sorted(written))
        pattern = rf'"{re.escape(field.rpartition(".")[2])}"\s*:\s*("({values})"|{re.escape(document)}\s*[,}}])'
        rejected = self.run.artifact("rejected")
        found: list[str] = []
        for part in rejected.manifest["parts"]:
            for batch in rejected.windows(part["unit"], ["row", "reason", "head"], WINDOW):
                same = pc.fill_null(pc.match_substring_regex(batch.column("head"), pattern), False)
                for row in batch.filter(same).to_pylist():
                    found.append(f"{part['unit']}:{row['row']} ({printable(row['reason'], 80)})")
                    if len(found) == MOST_SHOWN:
                        return ", ".join(found)
        return ", ".join(found)

    def _place(self, at: Address) -> int | None:
        """The position of a document in its unit's parts."""
        rows = self._part(at[0])["row"].to_numpy()
        place = int(np.searchsorted(rows, at[1]))
        return place if place < len(rows) and rows[place] == at[1] else None

    def _decision(self, at: Address) -> dict[str, Any] | None:
        place = self._place(at)
        return None if place is None else self._part(at[0]).slice(place, 1).to_pylist()[0]

    def _rejected(self, at: Address) -> dict[str, Any]:
        rejected = self.run.artifact("rejected").read(at[0])
        found = rejected.filter(pc.equal(rejected["row"], pa.scalar(at[1], pa.uint32()))).to_pylist()
        if not found:
            raise ValueError(f"{self.run.url}: unit {at[0]} has no record in row {at[1]}")
        return {"id": None, "unit": at[0], "row": at[1], "fate": "rejected", **found[0]}

    # Following --------------------------------------------------------------------------------------------------

    def _chain(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        """What a removed document resembles, what that resembles if it was removed too, and so on."""
        chain: list[dict[str, Any]] = []
        seen = {(found["unit"], found["row"])}
        while found["fate"] != KEPT and found["neighbour_row"] is not None and len(chain) < MOST_LINKS:
            at = found["neighbour_unit"], found["neighbour_row"]
            following = self._decision(at)
            if at in seen or following is None:
                break
            seen.add(at)
            chain.append(following)
            found = following
        return chain

    def _steps(self, at: Address) -> Iterator[dict[str, Any]]:
        """What each step had against a document, up to the one that removed it."""
        place = self._place(at)
        for name in self.run.steps:
            scores, keep = self.run.artifact(f"steps/{name}/scores"), self.run.artifact(f"steps/{name}/keep")
            row = scores.read(at[0]).slice(place, 1).to_pylist()[0]
            config = keep.manifest["config"]
            threshold = config["threshold"]
            if threshold is None:
                threshold = keep.manifest["totals"].get("min_removed_score")
            kept = keep.read(at[0])["keep"][place].as_py()
            neighbour = row["neighbour_unit"], row["neighbour_row"]
            yield {
                "step": name,
                "outcome": "kept" if kept else "removed",
                "score": None if row["score"] in (None, int(NEVER), float("-inf")) else row["score"] / config["scale"],
                "threshold": None if threshold is None else threshold / config["scale"],
                "neighbour": None if None in neighbour else (self._decision(neighbour) or {}).get("id"),
                "match": self._match(name, row),
                "rules": self._rules(name, row, scores.manifest["config"]),
                "cluster": cluster_of(self.run, name, at),
            }
            if not kept:
                return

    def _rules(self, name: str, row: dict[str, Any], config: dict[str, Any]) -> list[dict[str, Any]]:
        """What a step that sums rules had most against the document; `weight`: what a rule costs that no line meets."""
        weights = config.get("weights") or {}
        whole = sum(weights.values()) or 1
        found = self.run.options(name).rules(row)
        return [one | {"weight": weights.get(one["rule"], 0) / whole} for one in found]

    def _match(self, name: str, row: dict[str, Any]) -> dict[str, Any] | None:
        """What outside the run the document resembles, where a step compares with something there."""
        found = self.run.options(name).matched(self.run, name, row)
        if found is None or found["text"] is None:
            return found
        return found | {"text": found["text"][: self.characters], "characters": len(found["text"])}


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
    short = name[:200].casefold(), document[:200].casefold()
    return 1 - difflib.SequenceMatcher(None, *short, autojunk=False).ratio()


# A page ---------------------------------------------------------------------------------------------------------


def _where(rejected: dict[str, Any]) -> list[Text]:
    """Where a rejected record is in the input; runs made before have no places."""
    parts = [printable(rejected[name]) for name in ("file", "place") if rejected.get(name)]
    return [Text(f"it is in {', '.join(parts)}")] if parts else []


def render(found: dict[str, Any]) -> RenderableType:
    """An explanation as a page for a terminal."""
    if found["fate"] == "rejected":
        return Group(
            Text(f"record {found['unit']}:{found['row']} was rejected: {printable(found['reason'])}"),
            *_where(found),
            cell(found["head"]),
        )
    lines = [Text.assemble(cell(found["id"], style="bold"), f"  ({found['unit']}:{found['row']})  {_fate(found)}")]
    if found["same_id"]:
        lines.append(Text(f"{found['same_id']:,} more documents have this id; this is the first of them."))
    lines += [Text("  " + line) for line in map(_step, found["steps"])]
    parts: list[RenderableType] = [*lines, *_page("the document", found)]
    for match in [step["match"] for step in found["steps"] if step["match"] and step["outcome"] == "removed"]:
        parts += _page(f"resembles {printable(match['id'], 80)} of {printable(match['where'], 200)}", match)
    chain = found["chain"]
    if chain:
        parts += _page(f"resembles {printable(chain[0]['id'], 80)}, {_fate(chain[0])}", chain[0])
    for step in found["steps"]:
        parts += _most_central(step)
    if len(chain) > 1:
        links = " -> ".join(printable(one["id"], 40) for one in chain)
        parts += [Text(f"\n{links}")]
        parts += _page(f"ends at {printable(chain[-1]['id'], 80)}, {_fate(chain[-1])}", chain[-1])
    return Group(*parts)


def _most_central(step: dict[str, Any]) -> list[RenderableType]:
    if step["cluster"] is None:
        return []
    cluster = step["cluster"]
    title = f"{step['step']}: cluster {cluster['cluster']}, cosine {_score(cluster['similarity'])}; most central in it"
    lines = []
    for one in cluster["central"]:
        text = one["problem"] or "" if one["text"] is None else one["text"]
        lines.append(
            Text.assemble(cell(one["id"], style="bold"), f"  {_score(one['similarity'])}  ", cell(text, SHORT))
        )
    return [_rule(title), *lines]


def _fate(found: dict[str, Any]) -> str:
    return "kept" if found["fate"] == KEPT else f"removed by {found['fate']}"


def _step(step: dict[str, Any]) -> str:
    if step["score"] is None:
        return f"{step['step']}: nothing against it"
    limit = "nothing was removed" if step["threshold"] is None else f"threshold {_score(step['threshold'])}"
    near = "" if step["neighbour"] is None else f", nearest {printable(step['neighbour'], 80)}"
    if match := step["match"]:
        near += f", nearest {printable(match['id'], 80)} of {printable(match['where'], 200)}"
    rules = ", ".join(f"{one['rule']} {one['cost']:.2f} of {one['weight']:.2f}" for one in step["rules"])
    near += f"; rules that cost most: {rules}" if rules else ""
    return f"{step['step']}: {step['outcome']}, score {_score(step['score'])}, {limit}{near}"


def _score(value: float) -> str:
    """Cosines and their like in full; numbers that are large, as those of a draw by lot, in short."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.3e}"


def _page(title: str, document: dict[str, Any]) -> list[RenderableType]:
    if document["text"] is None:
        return [_rule(title), cell(f"({document['problem'] or 'no text'})", style="dim")]
    text = Text(printable(document["text"], lines=True))
    left = document["characters"] - len(document["text"])
    more = [Text(f"... {left:,} more characters (--full)", style="dim")] if left > 0 else []
    return [_rule(title), text, *more]


def _rule(title: str) -> RenderableType:
    return Constrain(Rule(Text(title), align="left"), RULE)
