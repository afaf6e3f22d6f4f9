"""The accounting identity: every record of a run is rejected, removed by one step, or kept, and so is every token.

records = rejected + removed by each step + kept, and documents = decisions = rows of every step, in each unit and in
total; the same for tokens. Masks, decisions, files and manifests must all agree: none is asked about itself alone.
"""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from sluice.models.reporting.audit import repeats
from sluice.transforms import storage
from sluice.transforms.audit.views import AccountingError, Sources, View, read_view, same
from sluice.transforms.outcome.copied import corpus_folder
from sluice.transforms.outcome.fates import KEPT
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes

# Hashes of ids that are compared at a time, 16 bytes each and as much again to sort; files to spread more of them over.
IDS_IN_MEMORY = 4_000_000
MOST_BUCKETS = 512


@dataclass
class Totals:
    """Sums over the units: records and documents, and per fate documents, tokens and characters."""

    records: int = 0
    rejected: int = 0
    documents: Counter = field(default_factory=Counter)
    tokens: Counter = field(default_factory=Counter)
    characters: Counter = field(default_factory=Counter)


def views(sources: Sources, totals: Totals) -> Iterator[View]:
    """Every unit's numbers, each checked; after the last one `totals` is whole and was checked against the manifests.

    Raises AccountingError naming the unit and the numbers, ArtifactError for damaged parts.
    """
    for unit in sources.units:
        view = read_view(sources, unit)
        _check_unit(sources, view)
        totals.records += view.records
        totals.rejected += view.rejected
        for number, name in enumerate(sources.names):
            here = view.fate == number
            totals.documents[name] += int(here.sum())
            totals.tokens[name] += int(view.tokens[here].sum())
            if view.characters is not None:
                totals.characters[name] += int(view.characters[here].sum())
        yield view
    _check_totals(sources, totals)


def _check_unit(sources: Sources, view: View) -> None:
    where = f"unit {view.unit}"
    size = len(view.rows)
    stats = sources.documents.part(view.unit)["stats"]
    same(where, "records", view.records, "rejected + documents", view.rejected + size)
    same(where, "documents counted", stats["documents"], "rows of documents", size)
    same(where, "tokens counted", stats["tokens"], "tokens of documents", int(view.tokens.sum()))
    alive = np.ones(size, bool)
    left, left_tokens = size, int(view.tokens.sum())
    for number, step in enumerate(view.steps):
        name = sources.steps[number].name
        same(where, f"documents before {name}", left, f"documents scored by {name}", int(step.alive.sum()))
        if not np.array_equal(alive, step.alive):
            raise AccountingError(f"{where}: {name} scored other documents than those still in")
        removed = int(step.removed.sum())
        same(where, f"removed by {name}", removed, "decisions that say so", int((view.fate == number).sum()))
        if not np.array_equal(step.removed, view.fate == number):
            raise AccountingError(f"{where}: the keep mask of {name} and the decisions name different documents")
        counted = sources.steps[number].keep.part(view.unit)["stats"]
        tokens = int(view.tokens[step.removed].sum())
        left, left_tokens = left - removed, left_tokens - tokens
        alive &= ~step.removed
        for label, here, said in (
            ("removed", removed, counted["removed"]),
            ("kept", left, counted["kept"]),
            ("removed tokens", tokens, counted["removed_tokens"]),
            ("kept tokens", left_tokens, counted["kept_tokens"]),
        ):
            same(where, f"{label} by {name}", here, "its manifest", said)
    kept = int((view.fate == len(view.steps)).sum())
    same(where, "kept", kept, "documents - removed by each step", left)
    written = sources.corpus.read(view.unit, ["documents"])["documents"]
    same(where, "documents in the corpus", pc.sum(written).as_py() or 0, "kept", kept)


def _check_totals(sources: Sources, totals: Totals) -> None:
    found = sources.documents.manifest["totals"]
    decided = sources.decisions.manifest["totals"]
    removed = {step.name: totals.documents[step.name] for step in sources.steps}
    kept = totals.documents[KEPT]
    whole = "in total"
    same(
        whole,
        "records",
        found.get("records", 0),
        "rejected + removed + kept",
        totals.rejected + sum(removed.values()) + kept,
    )
    same(whole, "rejected", found.get("rejected", 0), "rows of rejected", totals.rejected)
    same(whole, "reasons of rejects", sum(found.get("reasons", {}).values()), "rejected", totals.rejected)
    same(whole, "tokens", found.get("tokens", 0), "removed + kept tokens", sum(totals.tokens.values()))
    for name in sources.names:
        same(whole, f"decisions {name}", decided["fates"][name], "documents with that fate", totals.documents[name])
        same(whole, f"tokens decided {name}", decided["tokens"][name], "tokens with that fate", totals.tokens[name])
    same(whole, "documents in the corpus", sources.corpus.manifest["totals"]["kept"], "kept", kept)
    check_files(sources.corpus)


def check_files(corpus: Artifact) -> None:
    """Raises AccountingError unless every file of the corpus is there in the size that its unit wrote."""
    folder = corpus_folder(corpus)
    there = {name: entry["size"] for name, entry in storage.find(folder).items()}
    for part in corpus.manifest["parts"]:
        table = corpus.read(part["unit"], ["name", "bytes"])
        for name, size in zip(table["name"].to_pylist(), table["bytes"].to_pylist()):
            same(f"unit {part['unit']}", f"bytes of {folder}/{name}", there.get(name, 0), "bytes written", size)


def duplicate_ids(documents: Artifact, *, in_memory: int = IDS_IN_MEMORY) -> dict[str, int]:
    """Documents whose id another one has, and distinct ids among them.

    Above `in_memory` documents their ids' hashes are first spread over temporary files, 16 bytes a document, so that
    every part is read once however many there are.
    """
    buckets = min(max(-(-documents.manifest["rows"] // in_memory), 1), MOST_BUCKETS)
    found = {"documents": 0, "ids": 0}
    with tempfile.TemporaryDirectory(prefix="sluice-ids-") as folder:
        for hashes in _hashes(documents, buckets, Path(folder)):
            members, distinct = repeats(hashes)
            found["documents"] += members
            found["ids"] += distinct
    return found


def _hashes(documents: Artifact, buckets: int, folder: Path) -> Iterator[np.ndarray]:
    """The ids' hashes of all documents, uint64 [n, 2] at a time; equal ones come together."""
    blocks = (_words(documents, part["unit"]) for part in documents.manifest["parts"])
    if buckets == 1:
        yield np.concatenate([np.empty((0, 2), np.uint64), *blocks])
        return
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(folder / str(number), "wb")) for number in range(buckets)]
        for words in blocks:
            number = words[:, 0] % np.uint64(buckets)
            order = np.argsort(number, kind="stable")
            bounds = np.searchsorted(number[order], np.arange(buckets + 1, dtype=np.uint64))
            for file, start, stop in zip(files, bounds[:-1], bounds[1:]):
                file.write(words[order[start:stop]].tobytes())
    for file in files:
        yield np.fromfile(file.name, np.uint64).reshape(-1, 2)


def _words(documents: Artifact, unit: int) -> np.ndarray:
    column = documents.read(unit, ["id_hash"])["id_hash"]
    return fixed_bytes(column, "<u8") if len(column) else np.empty((0, 2), np.uint64)
