"""An explanation as a page for a terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.rule import Rule
from rich.text import Text

from sluice.pipelines.terminal.printing import cell, printable
from sluice.transforms.outcome.fates import KEPT

SHORT = 160  # characters of a most central document
WIDTH = 80  # columns


def render(explanation: dict[str, Any]) -> RenderableType:
    """explanation: as `explain` returns it."""
    if explanation["fate"] == "rejected":
        return _rejected(explanation)
    parts: list[RenderableType] = [*_outcome(explanation), *_document("the document", explanation)]
    for step in explanation["steps"]:
        match = step["match"]
        if match and step["outcome"] == "removed":
            parts += _document(f"resembles {printable(match['id'], 80)} of {printable(match['where'], 200)}", match)
    chain = explanation["chain"]
    if chain:
        parts += _document(f"resembles {printable(chain[0]['id'], 80)}, {_fate(chain[0])}", chain[0])
    for step in explanation["steps"]:
        parts += _most_central(step)
    if len(chain) > 1:
        links = " -> ".join(printable(link["id"], 40) for link in chain)
        parts += [Text(f"\n{links}")]
        parts += _document(f"ends at {printable(chain[-1]['id'], 80)}, {_fate(chain[-1])}", chain[-1])
    return Group(*parts)


def _rejected(record: dict[str, Any]) -> RenderableType:
    lines = [Text(f"record {record['unit']}:{record['row']} was rejected: {printable(record['reason'])}")]
    # Runs made before have no places.
    place = [printable(record[name]) for name in ("file", "place") if record.get(name)]
    if place:
        lines.append(Text(f"it is in {', '.join(place)}"))
    return Group(*lines, cell(record["head"]))


def _outcome(explanation: dict[str, Any]) -> list[Text]:
    address = f"{explanation['unit']}:{explanation['row']}"
    lines = [Text.assemble(cell(explanation["id"], style="bold"), f"  ({address})  {_fate(explanation)}")]
    if explanation["same_id"]:
        lines.append(Text(f"{explanation['same_id']:,} more documents have this id; this is the first of them."))
    return [*lines, *(Text(f"  {_step(step)}") for step in explanation["steps"])]


def _fate(document: dict[str, Any]) -> str:
    return "kept" if document["fate"] == KEPT else f"removed by {document['fate']}"


def _step(step: dict[str, Any]) -> str:
    if step["score"] is None:
        return f"{step['step']}: nothing against it"
    limit = "nothing was removed" if step["threshold"] is None else f"threshold {_score(step['threshold'])}"
    reasons = "" if step["neighbour"] is None else f", nearest {printable(step['neighbour'], 80)}"
    if match := step["match"]:
        reasons += f", nearest {printable(match['id'], 80)} of {printable(match['where'], 200)}"
    rules = ", ".join(f"{rule['rule']} {rule['cost']:.2f} of {rule['weight']:.2f}" for rule in step["rules"])
    reasons += f"; rules that cost most: {rules}" if rules else ""
    return f"{step['step']}: {step['outcome']}, score {_score(step['score'])}, {limit}{reasons}"


def _most_central(step: dict[str, Any]) -> list[RenderableType]:
    cluster = step["cluster"]
    if cluster is None:
        return []
    title = f"{step['step']}: cluster {cluster['cluster']}, cosine {_score(cluster['similarity'])}; most central in it"
    lines = []
    for document in cluster["central"]:
        text = document["problem"] or "" if document["text"] is None else document["text"]
        name = cell(document["id"], style="bold")
        lines.append(Text.assemble(name, f"  {_score(document['similarity'])}  ", cell(text, SHORT)))
    return [_rule(title), *lines]


def _score(value: float) -> str:
    """Cosines and their like in full; numbers that are large, as those of a draw by lot, in short.

    >>> _score(0.93), _score(7.3e17)
    ('0.9300', '7.300e+17')
    """
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.3e}"


def _document(title: str, document: dict[str, Any]) -> list[RenderableType]:
    if document["text"] is None:
        return [_rule(title), cell(f"({document['problem'] or 'no text'})", style="dim")]
    text = Text(printable(document["text"], lines=True))
    left = document["characters"] - len(document["text"])
    more = [Text(f"... {left:,} more characters (--full)", style="dim")] if left > 0 else []
    return [_rule(title), text, *more]


def _rule(title: str) -> RenderableType:
    return Constrain(Rule(Text(title), align="left"), WIDTH)
