"""What a plan is made of: the run's own code at work on the sample, timed, and what came out of it, counted."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models.forecast.ranges import Range, spread
from sluice.pipelines.plan.sample import Sample
from sluice.pipelines.plan.texts import choose_texts, count_tokens
from sluice.pipelines.run.run import Run
from sluice.transforms.corpus import reading
from sluice.transforms.documents.documents import WriteDocuments
from sluice.transforms.records import validation
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.commit import commit

DAMAGED = validation.UNREADABLE.format("")
# A piece that ends inside of a record has a reject that the corpus has not.
TORN = tuple(validation.UNREADABLE.format(how) for how in ("ends inside", "no end of the WARC header"))
# What a part takes beside its rows.
PART_BYTES = 2600


@dataclass(frozen=True)
class Counted:
    """records, rejected: of the sample; documents: of the corpus; the rest is per document.

    read_seconds: core-seconds of the documents stage without counting tokens; stored: bytes it leaves behind beside
    those of every part.
    tokens: None where nothing counts them. token_seconds: core-seconds of counting. equal_texts: share of copies, None
    where texts are not compared; damaged: files that cannot be read to their end, with a reason each.
    """

    records: int
    sampled: int
    rejected: int
    reasons: dict[str, int]
    documents: Range
    characters: Range
    tokens: Range | None
    read_seconds: float
    token_seconds: float
    stored: float
    equal_texts: float | None
    texts: list[str]
    damaged: dict[str, str]


@dataclass(frozen=True)
class Exported:
    """Core-seconds a document of the corpus stage at the recipe's share, and bytes of a kept document."""

    core_seconds: float
    stored: float


def read_documents(run: Run, sample: Sample, folder: str, *, total_bytes: int, texts: int) -> tuple[Counted, Artifact]:
    """The documents stage on the sample; at most `texts` of its texts are kept and have their tokens counted.

    Raises ValueError where the sample holds no document.
    """
    kind, name = run.reading.tokens
    counts_tokens = kind in ("tokenizer", "model")
    how = replace(run.reading, on_unreadable="reject")
    if counts_tokens:
        how = replace(how, tokens=("none", ""))
    target = Artifact(f"{folder}/documents", "1" * 32)
    work_through(
        WriteDocuments(Artifact(f"{folder}/first", "0" * 32), Artifact(f"{folder}/none", "0" * 32), how), sample, 1
    )
    seconds = work_through(WriteDocuments(target, Artifact(f"{folder}/rejected", "1" * 32), how), sample)
    parts = [target.describe(piece.unit.id) for piece in sample.pieces]
    commit(target, parts=parts, config={})
    stats = [_without_torn(part.stats, piece.cut_off) for part, piece in zip(parts, sample.pieces)]
    documents = sum(one["documents"] for one in stats)
    reasons: dict[str, int] = {}
    for one in stats:
        for reason, count in one["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    if not documents:
        listed = ", ".join(f"{count} x {reason}" for reason, count in reasons.items())
        raise ValueError(f"the sample holds no document that can be used ({listed or 'no records at all'})")
    chosen = choose_texts(run, sample, texts)
    tokens, token_seconds = count_tokens((kind, name), chosen, stats, documents)
    found, characters = _counts(sample, stats, total_bytes)
    return Counted(
        records=sum(one["records"] for one in stats),
        sampled=documents,
        rejected=sum(one["rejected"] for one in stats),
        reasons=reasons,
        documents=found,
        characters=characters,
        tokens=tokens,
        read_seconds=seconds / documents,
        token_seconds=token_seconds,
        stored=max(sum(part.bytes - PART_BYTES for part in parts), 0) / documents,
        equal_texts=_equal_texts(target, sample) if how.hash_texts else None,
        texts=chosen,
        damaged=_damaged(sample, stats),
    ), target


def work_through(write: Any, sample: Sample, most: int | None = None) -> float:
    """Core-seconds of a DoFn on (the first `most` of) the sample's pieces, once it is set up."""
    write.setup()
    started = time.process_time()
    for piece in sample.pieces[:most]:
        write.write(piece.unit)
    return time.process_time() - started


def _without_torn(stats: dict[str, Any], cut_off: bool) -> dict[str, Any]:
    torn = sum(count for reason, count in stats["reasons"].items() if reason.startswith(TORN)) if cut_off else 0
    if not torn:
        return stats
    reasons = {reason: count for reason, count in stats["reasons"].items() if not reason.startswith(TORN)}
    return stats | {
        "records": stats["records"] - torn,
        "rejected": stats["rejected"] - torn,
        "reasons": reasons,
    }


def _counts(sample: Sample, stats: list[dict[str, Any]], total_bytes: int) -> tuple[Range, Range]:
    """(documents of the corpus, characters of one), from the sample's pieces."""
    counts, characters = (np.array([one[name] for one in stats], float) for name in ("documents", "characters"))
    if sample.everything:
        return Range.exactly(float(counts.sum())), Range.exactly(float(characters.sum() / counts.sum()))
    sizes = np.array([max(piece.stands_for, 1.0) for piece in sample.pieces])
    places = np.array([piece.places for piece in sample.pieces])
    if sample.texts is not None:
        # Large files are met more often, so what is met says little of how many or how long they are.
        mean = total_bytes / sample.texts * float(characters.sum() / sizes.sum())
        return Range(0.9 * sample.texts, sample.texts, sample.texts), Range.around(mean, 0.1)
    per_byte = float(np.average(counts / sizes, weights=places))
    # Of files that are smaller than a piece, the larger are met more often.
    mean = float((places * characters / sizes).sum() / (places * counts / sizes).sum())
    lengths = (characters[counts > 0] / counts[counts > 0]).tolist()
    return spread((counts / sizes).tolist(), per_byte).times(total_bytes), spread(lengths, mean)


def _damaged(sample: Sample, stats: list[dict[str, Any]]) -> dict[str, str]:
    return {
        piece.path: reason
        for piece, one in zip(sample.pieces, stats)
        for reason in one["reasons"]
        if reason.startswith(DAMAGED)
    }


def _equal_texts(documents: Artifact, sample: Sample) -> float:
    hashes = [documents.read(piece.unit.id, ["text_hash"])["text_hash"].to_pylist() for piece in sample.pieces]
    flat = [value for part in hashes for value in part]
    return 1 - len(set(flat)) / max(len(flat), 1)


def export_sample(run: Run, sample: Sample, folder: str, counted: Artifact, *, share: float) -> Exported:
    """The corpus stage on the sample, at the share of the documents that the recipe keeps."""
    rng = np.random.default_rng(0)
    seconds, stored, kept, documents = 0.0, 0, 0, 0
    for piece in sample.pieces:
        records = counted.describe(piece.unit.id).stats["records"]
        rows = counted.read(piece.unit.id, ["row"])["row"].to_numpy()
        keep = np.zeros(records, bool)
        keep[rows[rng.random(len(rows)) < share]] = True
        started = time.process_time()
        stored += _export(run, piece.unit, keep, f"{folder}/corpus/{piece.unit.id:03d}/part")
        seconds += time.process_time() - started
        kept += int(keep.sum())
        documents += len(rows)
    return Exported(seconds / max(documents, 1), stored / max(kept, 1))


def _export(run: Run, unit: Unit, keep: np.ndarray, stem: str) -> int:
    """Bytes written."""
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    limit = run.recipe.input.max_document_bytes
    names = reading.export_unit(unit, keep, stem, max_document_bytes=limit, on_unreadable="reject")
    return sum((Path(stem).parent / name).stat().st_size for name, _ in names)
