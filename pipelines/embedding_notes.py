"""What embedding did to the documents, for the report: how many were cut, how much of them, in which precision."""

from typing import Any

from sluice.pipelines.finished import Finished
from sluice.pipelines.printing import number

COUNTED = ("truncated", "tokens_cut", "chunked", "windows", "without_vector", "tokens", "padded_tokens")


def embedding_counts(run: Finished) -> dict[str, Any] | None:
    """Totals of the embeddings' manifest; None where no model was run.

    `embedded` documents are what the other numbers are about: those `reused` were embedded, and counted, before.
    """
    found = run.find("embeddings") if run.recipe.needs_vectors else None
    if found is None or "dtypes" not in found.manifest["totals"]:
        return None
    totals = found.manifest["totals"]
    return {name: totals.get(name, 0) for name in ("embedded", "reused", *COUNTED)} | {"dtypes": totals["dtypes"]}


def embedding_lines(found: dict[str, Any] | None) -> list[str]:
    """Sentences about texts that are longer than what the model sees at a time, and about mixed precision."""
    if found is None:
        return []
    lines = []
    if found["truncated"]:
        lines.append(
            f"{number(found['truncated'])} of {number(found['embedded'])} embedded documents were truncated: the model "
            f"did not see {number(found['tokens_cut'])} of their tokens (--max-tokens, --long-documents)."
        )
    if found["chunked"]:
        lines.append(
            f"{number(found['chunked'])} of {number(found['embedded'])} embedded documents were long: their vectors "
            f"are means over {number(found['windows'])} windows."
        )
    if len(found["dtypes"]) > 1:
        named = ", ".join(f"{name} in {number(units)} units" for name, units in sorted(found["dtypes"].items()))
        lines.append(f"Warning: vectors of several precisions ({named}): --dtype names one.")
    return lines
