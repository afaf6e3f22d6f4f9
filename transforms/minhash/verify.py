"""Candidate pairs whose shingles are compared: a document's shingle hashes travel to the unit of its band's first.

Hashes travel in blocks of bounded size and are compared as they arrive, so a document that millions are linked to
costs its unit no more memory than one block and its own set.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import apache_beam as beam
import numpy as np

from sluice.models.methods.minhash import similar
from sluice.transforms.minhash.bands import FIRST, Bands, band_edges
from sluice.transforms.minhash.edges import ROW, UNIT, unique_edges, write_edges
from sluice.transforms.records.records import Unit
from sluice.transforms.stages import counters
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import read_numbers
from sluice.transforms.stages.writing import WriteUnit

# What a worker holds before it sends: one block for each unit that it has anything for.
BLOCK_BYTES = 16 << 20
WINDOW = 4096


@dataclass(frozen=True)
class Verification:
    """Where shingle hashes are, and the least Jaccard similarity that counts."""

    documents: Artifact
    signatures: Artifact
    least: Decimal

    def sets(self, unit: int, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(row, its shingle hashes) for some rows of a unit, in order; the unit is read in windows."""
        wanted = np.unique(rows)
        position = np.searchsorted(read_numbers(self.documents, unit, "row"), wanted)
        start = 0
        for batch in self.signatures.windows(unit, ["shingles"], WINDOW):
            low, high = np.searchsorted(position, (start, start + len(batch)))
            for index in range(low, high):
                stored = batch.column(0)[int(position[index]) - start].as_py()
                yield int(wanted[index]), np.frombuffer(stored or b"", "<u8")
            start += len(batch)


# (edges, how many hashes each edge's document has, their hashes), as bytes.
Block = tuple[bytes, bytes, bytes]


class SendSets(beam.DoFn):
    """Unit and its FIRST rows -> (unit of the first, block): each linked document's hashes, by the links' other end."""

    def __init__(self, bands: Bands, verification: Verification):
        self.bands, self.verification = bands, verification

    def process(self, group: tuple[int, Iterable[Unit | bytes]]) -> Iterator[tuple[int, Block]]:
        values = list(group[1])
        unit = next(value for value in values if isinstance(value, Unit))
        firsts = np.frombuffer(b"".join(value for value in values if isinstance(value, bytes)), FIRST)
        edges = band_edges(self.bands, unit.id, firsts, contract=False)
        row = edges[:, 0] & ROW
        held: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        size = 0
        for wanted, hashes in self.verification.sets(unit.id, row):
            for edge in edges[np.searchsorted(row, wanted) : np.searchsorted(row, wanted, side="right")]:
                to = int(edge[1] >> UNIT)
                held.setdefault(to, []).append((edge, hashes))
                size += hashes.nbytes + edge.nbytes
                if size >= BLOCK_BYTES:
                    yield from _packed(held)
                    held, size = {}, 0
        yield from _packed(held)


def _packed(held: dict[int, list[tuple[np.ndarray, np.ndarray]]]) -> Iterator[tuple[int, Block]]:
    for to, pairs in held.items():
        edges = np.stack([edge for edge, _ in pairs])
        sizes = np.array([len(hashes) for _, hashes in pairs], "<i8")
        yield to, (edges.tobytes(), sizes.tobytes(), b"".join(hashes.tobytes() for _, hashes in pairs))


def _unpacked(block: Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    edges, sizes, hashes = (np.frombuffer(data, kind) for data, kind in zip(block, ("<u8", "<i8", "<u8")))
    yield from zip(edges.reshape(-1, 2), np.split(hashes, np.cumsum(sizes)[:-1]))


class KeepSimilar(WriteUnit):
    """Unit and blocks of hashes -> its part of links/: the pairs that are similar enough."""

    def __init__(self, target: Artifact, verification: Verification):
        super().__init__(target)
        self.verification = verification

    def process(self, group: tuple[int, Iterable[Unit | Block]]) -> Iterator[Part]:  # type: ignore[override]
        # Read twice rather than held: first which documents are asked for, then what is compared with them.
        self.values = group[1]
        unit = next(value for value in self.values if isinstance(value, Unit))
        yield from super().process(unit)

    def write(self, unit: Unit) -> None:
        asked = [np.frombuffer(value[0], "<u8").reshape(-1, 2)[:, 1] for value in self._blocks()]
        rows = np.unique(np.concatenate(asked)) & ROW if asked else np.empty(0, np.uint64)
        own = dict(self.verification.sets(unit.id, rows)) if len(rows) else {}
        least = Fraction(self.verification.least)
        compared, kept = 0, [np.empty((0, 2), np.uint64)]
        for block in self._blocks():
            for edge, hashes in _unpacked(block):
                compared += 1
                if similar(hashes, own[int(edge[1] & ROW)], least):
                    kept.append(edge[None])
        counters.add("pairs", compared)
        write_edges(self.target, unit.id, unique_edges(np.concatenate(kept)), {"compared": compared})

    def _blocks(self) -> Iterator[Block]:
        return (value for value in self.values if not isinstance(value, Unit))
