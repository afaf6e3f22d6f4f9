"""What steps over benchmark items share: their paths, checks before any work, and what is shown of them."""

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from sluice.transforms.artifacts import Artifact, ArtifactError, find_manifest
from sluice.transforms.items import Items

if TYPE_CHECKING:
    from sluice.pipelines.finished import Finished
    from sluice.pipelines.stages import Run

LISTED = 50


def check_items(items: Items, run: "Run", *, by_vectors: bool) -> None:
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
    """Totals for each benchmark, and the LISTED items that most documents hold, from found/ beside scores/."""
    url = scores.rsplit("/", 1)[0] + "/found"
    manifest = find_manifest(url)
    if manifest is None:
        raise ArtifactError(f"{url} is not finished")
    table = Artifact(url, manifest["key"]).read(0)
    table = table.append_column("hits", pc.add(table["overlapping"], table["similar"]))
    table = table.filter(pc.greater(table["hits"], 0))
    order = [("hits", "descending"), ("benchmark", "ascending"), ("id", "ascending")]
    listed = table.take(pc.sort_indices(table, order)[:LISTED]).drop_columns("hits").to_pylist()
    return {"benchmarks": manifest["totals"]["benchmarks"], "items": listed}


def item_of(run: "Finished", name: str, number: int) -> dict[str, Any]:
    """A step's item as Step.matched gives it."""
    found = run.artifact(f"steps/{name}/items").read(0, ["benchmark", "id", "text"]).slice(number, 1).to_pylist()[0]
    problem = None if found["text"] is not None else "the item has no text"
    return {"where": found["benchmark"], "id": found["id"], "text": found["text"], "problem": problem}
