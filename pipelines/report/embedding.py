"""What embedding did to the documents, for the report: by which model, how many were cut, how many it cannot read."""

import json
from typing import Any

from sluice.models.checkpoints.default import NAME
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.terminal.printing import number, printable

COUNTED = ("truncated", "tokens_cut", "unknown", "chunked", "windows", "without_vector", "tokens", "padded_tokens")


def embedding_counts(run: Finished) -> dict[str, Any] | None:
    """The model, how it was used, and totals of the embeddings' manifest; None where no model was run.

    `how` is what decided the vectors (Embedder.recipe). `embedded` documents are what the other numbers
    are about: those `reused` were embedded, and counted, before. A count is None where an older version left none.
    """
    found = run.find("embeddings") if run.recipe.needs_vectors else None
    if found is None or "dtypes" not in found.manifest["totals"]:
        return None
    totals = found.manifest["totals"]
    return {
        "model": run.recipe.embedding.model or NAME,
        "how": found.manifest["config"]["embedder"],
        "max_tokens_wanted": run.recipe.embedding.max_tokens,
        **{name: totals.get(name, None if name == "unknown" else 0) for name in ("embedded", "reused", *COUNTED)},
        "dtypes": totals["dtypes"],
    }


def embedding_lines(found: dict[str, Any] | None) -> list[str]:
    """Sentences about the model, about texts that it sees in part or cannot read, and about mixed precision."""
    if found is None:
        return []
    lines = [_model(found)]
    if found["truncated"]:
        lines.append(
            f"{number(found['truncated'])} of {number(found['embedded'])} embedded documents were truncated: the model "
            f"did not see {number(found['tokens_cut'])} of their tokens ({_longer(found)})."
        )
    if found["chunked"]:
        lines.append(
            f"{number(found['chunked'])} of {number(found['embedded'])} embedded documents were long: their vectors "
            f"are means over {number(found['windows'])} windows."
        )
    if found["unknown"]:
        lines.append(
            f"Warning: of {number(found['unknown'])} of {number(found['embedded'])} embedded documents the model knows "
            "less than half of the tokens: texts that it cannot read get like vectors, and pass for duplicates of each "
            "other. A multilingual --model tells them apart."
        )
    if found["reused"]:
        lines.append(
            f"{number(found['reused'])} documents have the vectors of an earlier embedding: what was truncated or "
            "unknown to the model there is not counted again."
        )
    if len(found["dtypes"]) > 1:
        named = ", ".join(f"{name} in {number(units)} units" for name, units in sorted(found["dtypes"].items()))
        lines.append(f"Warning: vectors of several precisions ({named}): --dtype names one.")
    return lines


def _longer(found: dict[str, Any]) -> str:
    """What would show the model more of a text."""
    most, of_table = found["how"]["max_tokens"], found["how"]["family"] == "static"
    options = [
        *(["--max-tokens"] if most == found["max_tokens_wanted"] else []),
        *([] if of_table else ["--long-documents"]),
    ]
    limit = [] if "--max-tokens" in options else [f"it takes no more than {most}"]
    return "; ".join([*limit, *([", ".join(options)] if options else [])])


def _model(found: dict[str, Any]) -> str:
    how = found["how"]
    parts = [f"{how['dimension']} dimensions", *_steps(how["pooling"]), f"{how['max_tokens']} tokens at most"]
    parts += list(found["dtypes"]) if len(found["dtypes"]) == 1 else []
    parts += [f"layers {how['layers']}"] if how.get("layers") else []
    parts += [f"prompt {printable(json.dumps(how['prompt'], ensure_ascii=False), 60)}"] if how.get("prompt") else []
    return f"Embedded by {printable(found['model'], 120)} ({how['family']}): {', '.join(parts)}."


def _steps(steps: list[dict[str, Any]]) -> list[str]:
    """Every vector is of unit length in the end, so that is not said."""
    named = {"pool": lambda step: f"{' and '.join(step['modes'])} pooling", "dense": lambda _: "a dense layer"}
    return [named[step["kind"]](step) for step in steps if step["kind"] in named]
