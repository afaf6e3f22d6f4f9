"""Documents of a report as its page shows them: in groups, or in pairs, with the words that differ."""

from typing import Any

from sluice.pipelines.report.html.differences import marked, shown
from sluice.pipelines.terminal.printing import number, printable


def show_group(group: dict[str, Any]) -> dict[str, Any]:
    """A group of documents that resemble one another: the kept one first, the others with the words that differ."""
    members = sorted(group["members"], key=lambda member: member["fate"] != "kept")
    first = members[0]
    return {
        "size": number(group["size"]),
        "shown": len(members),
        "first": _document(first) | {"fate": printable(first["fate"])},
        "others": [_beside(member, first) | {"fate": printable(member["fate"])} for member in members[1:]],
    }


def show_example(example: dict[str, Any]) -> dict[str, Any]:
    """A removed document beside what it resembles: another document, or the rest of its cluster."""
    neighbour = example["neighbour"]
    score = example["score"]
    return {
        "step": printable(example["step"]),
        "score": None if score is None or neighbour is None else f"{score:.3f}",
        "removed": _document(example) if neighbour is None else _beside(example, neighbour),
        "neighbour": None if neighbour is None else _beside(neighbour, example),
        "central": [printable(one["id"], 120) for one in (example.get("cluster") or {}).get("central", ())],
    }


def _document(document: dict[str, Any]) -> dict[str, Any]:
    text, problem = document["text"], document["problem"]
    plain = shown(text) if text is not None else f"({printable(problem or 'no text')})"
    return {"id": printable(document["id"], 200), "pieces": [{"text": plain, "other": False}]}


def _beside(document: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A document whose words that another one has not are marked."""
    if document["text"] is None or other["text"] is None:
        return _document(document)
    return _document(document) | {"pieces": [one._asdict() for one in marked(document["text"], other["text"])]}
