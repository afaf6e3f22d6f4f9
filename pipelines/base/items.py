"""What steps over benchmark items share: their paths, checks before any work, and what is shown of them."""

from typing import Any

import pyarrow.compute as pc

from sluice.pipelines.base.runs import CurrentRun, FinishedRun
from sluice.pipelines.terminal.printing import counted, number, printable
from sluice.transforms.scores.benchmark_items.items import Items
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.storage.damage import ArtifactError

LISTED = 50
# Items too short to be looked for that the page names.
NAMED = 5


def check_items(items: Items, run: CurrentRun, *, by_vectors: bool) -> None:
    """Raises FileNotFoundError for files that are not there, ValueError where items cannot have the run's vectors."""
    items.units()
    if not by_vectors:
        return
    if run.embedder is None and items.vector is None:
        raise ValueError(
            "the documents' vectors are given, so benchmark items need theirs: say with `vector` which field has them"
        )
    if run.embedder is not None and (items.vector is not None or items.text is None):
        raise ValueError("documents are embedded by a model, and so are benchmark items: give their text, no vector")


def check_dimension(step: str, items: Artifact, embeddings: Artifact) -> None:
    """Raises ValueError unless the vectors of items are as long as the documents'."""
    found, wanted = (one.manifest["totals"]["max_dimension"] for one in (items, embeddings))
    if found != wanted:
        raise ValueError(f"step {step}: benchmark items have vectors of {found} numbers, documents of {wanted}")


def details_of_items(scores: str) -> dict[str, Any]:
    """Totals for each benchmark, the LISTED items that most documents hold, and LISTED of those too short to look for,
    from found/ beside scores/."""
    url = scores.rsplit("/", 1)[0] + "/found"
    manifest = find_manifest(url)
    if manifest is None:
        raise ArtifactError(f"{url} is not finished")
    table = Artifact(url, manifest["key"]).read(0)
    too_short = table.filter(table["too_short"]).select(["benchmark", "id"]).slice(0, LISTED).to_pylist()
    table = table.append_column("hits", pc.add(table["overlapping"], table["similar"]))
    table = table.filter(pc.greater(table["hits"], 0))
    order = [("hits", "descending"), ("benchmark", "ascending"), ("id", "ascending")]
    listed = table.take(pc.sort_indices(table, order)[:LISTED]).drop_columns("hits").to_pylist()
    return {"benchmarks": manifest["totals"]["benchmarks"], "items": listed, "too_short": too_short}


def too_short_lines(details: dict[str, Any], shortest: int, *, by_vectors: bool) -> list[str]:
    """A sentence about the items of fewer words than are looked for, from details_of_items; none where there are none.

    by_vectors: such items are compared by their vectors all the same.
    """
    count = sum(one["too_short"] for one in details["benchmarks"].values())
    if not count:
        return []
    names = [f"{printable(one['id'], 60)} of {printable(one['benchmark'], 60)}" for one in details["too_short"][:NAMED]]
    more = f" and {number(count - len(names))} more" if count > len(names) else ""
    which = "compared by vectors alone" if by_vectors else "not looked for"
    has = "has" if count == 1 else "have"
    return [
        f"{counted(count, 'item')} of the benchmarks {has} fewer than {counted(shortest, 'word')}, too short to be "
        f"told from chance, and {'was' if count == 1 else 'were'} {which}: {', '.join(names)}{more}."
    ]


def item_of(run: FinishedRun, name: str, number: int) -> dict[str, Any]:
    """A step's item as Step.matched gives it."""
    found = run.artifact(f"steps/{name}/items").read(0, ["benchmark", "id", "text"]).slice(number, 1).to_pylist()[0]
    problem = None if found["text"] is not None else "the item has no text"
    return {"where": found["benchmark"], "id": found["id"], "text": found["text"], "problem": problem}
