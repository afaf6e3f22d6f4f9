"""Random controls with a plan: how long another selection's documents are, and which epochs a document is read in."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.models.cut.ranks import length_bins
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.ranks import lengths
from sluice.transforms.scores.simple import WriteScores
from sluice.transforms.stages import progress
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, numbers, read_numbers, survivors
from sluice.transforms.stages.writing import WriteUnit

NOTHING = pa.schema([("bin", pa.int64()), ("documents", pa.int64())])
EPOCHS = pa.schema([("row", pa.uint32()), ("id", pa.string()), ("epochs", pa.list_(pa.uint16()))])


class CountLengths(WriteUnit):
    """Unit of another run -> how many of its kept documents are in each bin of length; totals are in the manifest."""

    version = 3

    def __init__(self, target: Artifact, documents: Artifact, keep: Artifact, length: str):
        super().__init__(target)
        self.documents, self.keep, self.length = documents, keep, length

    def write(self, unit: Unit) -> None:
        documents = self.documents.read(unit.id, [self.length])
        kept = survivors(self.keep, unit.id, len(documents))
        counts = Counter(length_bins(lengths(documents, self.length)[kept]).tolist())
        table = pa.table([list(counts), list(counts.values())], schema=NOTHING)
        self.target.write(unit.id, [table], NOTHING, {"bins": {str(one): count for one, count in counts.items()}})
        progress.add(self.stage, len(documents))


def quotas_of(quotas: Artifact) -> dict[int, int]:
    """Documents by bin of length, of a finished artifact."""
    return {int(one): count for one, count in quotas.manifest["totals"].get("bins", {}).items()}


@dataclass(frozen=True)
class Epochs:
    """RS2 without replacement (arXiv 2305.18424): every epoch reads the next `share` of a shuffled corpus.

    When one shuffle is used up the next begins, with another hash; a document is read once in each of them.
    """

    epochs: int
    share: Fraction
    seed: int

    def of(self, ids: np.ndarray) -> list[list[int]]:
        """V16 [n] hashes of ids -> for each the epochs, from 0, that read it, in order."""
        found: list[list[int]] = [[] for _ in range(len(ids))]
        last = self.epochs * self.share
        shuffle = 0
        while shuffle < last:
            ticket = seeded(ids, self.seed, f"rs2:{shuffle}")
            # Where each epoch ends within this shuffle, as a ticket; the last one may go on in the next.
            first = int(shuffle // self.share)
            ends = [self._ticket((epoch + 1) * self.share - shuffle) for epoch in range(first, self._until(shuffle))]
            places = first + np.searchsorted(np.array(ends, np.uint64), ticket, side="right")
            for document, epoch in enumerate(places.tolist()):
                # An epoch that spans two shuffles may meet a document in both; it reads it once.
                if epoch < self.epochs and epoch not in found[document][-1:]:
                    found[document].append(epoch)
            shuffle += 1
        return found

    def _until(self, shuffle: int) -> int:
        """One past the last epoch that ends within a shuffle."""
        return min(int((shuffle + 1) // self.share), self.epochs)

    @staticmethod
    def _ticket(place: Fraction) -> int:
        return min(int(place * 2**64), 2**64 - 1)


@dataclass
class EpochScores(WriteScores):
    """1 for a document that no epoch reads; the plan lies beside the scores, a part for every unit."""

    version = 3

    plan: Artifact

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        return np.where(np.isin(numbers(documents, "row"), read_numbers(self.plan, unit, "row")), 0, 1), None


class WriteEpochs(WriteUnit):
    """Unit -> the documents that any epoch reads, with their epochs from 1."""

    version = 3

    def __init__(self, target: Artifact, documents: Artifact, keep: Artifact | None, epochs: Epochs):
        super().__init__(target)
        self.documents, self.keep, self.epochs = documents, keep, epochs

    def write(self, unit: Unit) -> None:
        documents = self.documents.read(unit.id, ["row", "id", "id_hash"])
        alive = survivors(self.keep, unit.id, len(documents))
        plan = self.epochs.of(fixed_bytes(documents["id_hash"], "V16"))
        rows = [place for place in np.flatnonzero(alive).tolist() if plan[place]]
        chosen = documents.take(pa.array(rows, pa.int64()))
        numbers = [[epoch + 1 for epoch in plan[place]] for place in rows]
        table = pa.table([chosen["row"], chosen["id"], numbers], schema=EPOCHS)
        sizes = Counter(str(epoch) for epochs in numbers for epoch in epochs)
        self.target.write(unit.id, [table], EPOCHS, {"epochs": dict(sizes)})
        progress.add(self.stage, len(documents))
