"""The sample read and copied out by the run's own code, timed and counted; and how fast this machine is."""

import functools
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models.arrays import hashing
from sluice.models.arrays.parallel import cores, parallel
from sluice.models.forecast.ranges import Range, spread
from sluice.pipelines.plan.prices import Machine
from sluice.pipelines.plan.sample import Sample
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
# Core-seconds of `_loop` on a core of speed 1.
REFERENCE_LOOP = 0.0223


@dataclass(frozen=True)
class Counted:
    """stats: of each piece; documents: of the corpus; characters, tokens (None where nothing counts them): of one.

    read_seconds: core-seconds of the documents stage for one; equal_texts: share of copies, None
    where texts are not compared; damaged: files that cannot be read to their end, with a reason each.
    """

    stats: list[dict[str, Any]]
    documents: Range
    characters: Range
    tokens: Range | None
    read_seconds: float
    equal_texts: float | None
    damaged: dict[str, str]

    def total(self, name: str) -> int:
        """records, documents or rejected of the whole sample."""
        return sum(one[name] for one in self.stats)

    @property
    def reasons(self) -> dict[str, int]:
        """Of rejects."""
        reasons: dict[str, int] = {}
        for one in self.stats:
            for reason, count in one["reasons"].items():
                reasons[reason] = reasons.get(reason, 0) + count
        return reasons


def read_documents(run: Run, sample: Sample, folder: str, *, total_bytes: int) -> tuple[Counted, Artifact]:
    """The documents stage on the sample. Raises ValueError where that holds no document."""
    how = replace(run.reading, on_unreadable="reject")
    target = Artifact(f"{folder}/documents", "1" * 32)
    first = WriteDocuments(Artifact(f"{folder}/first", "0" * 32), Artifact(f"{folder}/none", "0" * 32), how)
    _work_through(first, sample, 1)
    seconds = _work_through(WriteDocuments(target, Artifact(f"{folder}/rejected", "1" * 32), how), sample)
    parts = [target.describe(piece.unit.id) for piece in sample.pieces]
    commit(target, parts=parts, config={})
    stats = [_without_torn(part.stats, piece.cut_off) for part, piece in zip(parts, sample.pieces)]
    documents, characters = _counts(sample, stats, total_bytes)
    count = sum(one["documents"] for one in stats)
    counted = Counted(
        stats=stats,
        documents=documents,
        characters=characters,
        tokens=None if how.tokens[0] == "none" else _tokens(stats),
        read_seconds=seconds / max(count, 1),
        equal_texts=_equal_texts(target, sample) if how.hash_texts else None,
        damaged=_damaged(sample, stats),
    )
    if not count:
        listed = ", ".join(f"{number} x {reason}" for reason, number in counted.reasons.items())
        raise ValueError(f"the sample holds no document that can be used ({listed or 'no records at all'})")
    return counted, target


def _work_through(write: Any, sample: Sample, most: int | None = None) -> float:
    """Core-seconds of a DoFn on (the first `most` of) the sample's pieces, once it is set up."""
    write.setup()
    started = time.process_time()
    for piece in sample.pieces[:most]:
        write.write(piece.unit)
    return time.process_time() - started


def _without_torn(stats: dict[str, Any], cut_off: bool) -> dict[str, Any]:
    torn = sum(count for reason, count in stats["reasons"].items() if reason.startswith(TORN)) if cut_off else 0
    reasons = {reason: count for reason, count in stats["reasons"].items() if not torn or not reason.startswith(TORN)}
    return stats | {"records": stats["records"] - torn, "rejected": stats["rejected"] - torn, "reasons": reasons}


def _counts(sample: Sample, stats: list[dict[str, Any]], total_bytes: int) -> tuple[Range, Range]:
    """(documents of the corpus, characters of one), from the sample's pieces."""
    counts, characters = (np.array([one[name] for one in stats], float) for name in ("documents", "characters"))
    if not counts.any():
        return Range.exactly(0.0), Range.exactly(0.0)
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


def _tokens(stats: list[dict[str, Any]]) -> Range:
    means = [one["tokens"] / one["documents"] for one in stats if one["documents"]]
    return spread(means, sum(one["tokens"] for one in stats) / max(sum(one["documents"] for one in stats), 1))


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


# Copies and texts -----------------------------------------------------------------------------------------------


def export_share(run: Run, sample: Sample, documents: Artifact, folder: str, *, share: float) -> tuple[float, float]:
    """The corpus stage on the sample, at random so much of it -> core-seconds for each of all documents, bytes for each
    of those copied."""
    rng = np.random.default_rng(0)
    seconds, stored, kept, count = 0.0, 0, 0, 0
    for piece in sample.pieces:
        keep = np.zeros(documents.describe(piece.unit.id).stats["records"], bool)
        rows = documents.read(piece.unit.id, ["row"])["row"].to_numpy()
        keep[rows[rng.random(len(rows)) < share]] = True
        started = time.process_time()
        stored += _export(run, piece.unit, keep, f"{folder}/{piece.unit.id:03d}/part")
        seconds += time.process_time() - started
        kept += int(keep.sum())
        count += len(rows)
    return seconds / max(count, 1), stored / max(kept, 1)


def _export(run: Run, unit: Unit, keep: np.ndarray, stem: str) -> int:
    """Bytes written."""
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    limit = run.recipe.input.max_document_bytes
    names = reading.export_unit(unit, keep, stem, max_document_bytes=limit, on_unreadable="reject")
    return sum((Path(stem).parent / name).stat().st_size for name, _ in names)


def choose_texts(run: Run, sample: Sample, most: int) -> list[str]:
    """Texts from all pieces, as many of each as it has places."""
    places = sum(piece.places for piece in sample.pieces)
    fields = replace(run.fields, columns=(), vector=None)
    chosen: list[str] = []
    for piece in sample.pieces:
        texts: list[str] = []
        for window in reading.read_unit(piece.unit, fields, on_unreadable="reject"):
            texts += window.texts or []
        count = min(math.ceil(most * piece.places / places), len(texts))
        chosen += [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, count).astype(int))]
    return chosen


# This machine ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """flops: float32 operations a core-second in plain products; loop_seconds: core-seconds of `_loop`."""

    cores: int
    memory_gb: float
    flops: float
    loop_seconds: float

    @property
    def core(self) -> float:
        """Of a core here, beside one of speed 1."""
        return REFERENCE_LOOP / self.loop_seconds

    def machine(self, row: Machine) -> Machine:
        """The row of the price file with what it leaves open filled in."""
        measured = {
            "cores": self.cores,
            "memory_gb": self.memory_gb,
            "speed": self.core,
            "gflops_per_core": self.flops / 1e9,
        }
        return row.model_copy(update={name: value for name, value in measured.items() if getattr(row, name) is None})


@functools.cache
def measure_speed() -> Speed:
    """Takes a second. Processor time, so that other work on the machine changes little; the best of several."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Speed(cores(), pages / 1e9, max(_products() for _ in range(3)), min(_loop() for _ in range(25)))


def _products() -> float:
    left, right = (np.random.default_rng(seed).random((2048, 384), np.float32) for seed in (0, 1))
    started = time.process_time()
    count = sum(1 for _ in parallel(lambda _: left @ right.T, range(cores())))
    return 2.0 * 2048 * 2048 * 384 * count / (time.process_time() - started)


def _loop() -> float:
    """Sorting in NumPy and hashing strings one by one: what stages do beside products. A turn takes 20 ms."""
    numbers = np.random.default_rng(0).integers(0, 1 << 40, 500_000)
    started = time.process_time()
    np.sort(numbers)
    for number in range(20_000):
        hashing.id_hash(f"document-{number}")
    return time.process_time() - started
