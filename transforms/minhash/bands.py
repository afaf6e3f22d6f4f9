"""Documents that share a band, found without moving any text.

Of all documents that share a band the first by the seeded hash of the id is the band's first, and every other one is
linked to it. Units send one row for each band value they have, so a band of millions of documents is a row a unit; what
comes back are the first ones elsewhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np

from sluice.models.arrays.hashing import seeded
from sluice.models.methods.components import stars
from sluice.transforms.minhash.edges import by_unit, unique_edges, vertices
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import fixed_bytes, not_null, numbers

BAND = np.dtype([("band", "<u8"), ("tie", "<u8"), ("vertex", "<u8")])
FIRST = np.dtype([("band", "<u8"), ("vertex", "<u8")])


@dataclass(frozen=True)
class Bands:
    """Where band hashes are, and how documents are told apart."""

    documents: Artifact
    signatures: Artifact
    count: int
    seed: int

    def read(self, unit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(band hashes uint64 [n, bands], ties uint64 [n], vertices uint64 [n]) of the documents that have any."""
        table = self.signatures.read(unit, ["bands"])
        signed = np.flatnonzero(not_null(table, "bands"))
        documents = self.documents.read(unit, ["row", "id_hash"])
        tie = seeded(fixed_bytes(documents["id_hash"], "V16"), self.seed, "tie")
        found = fixed_bytes(table["bands"], "<u8").reshape(-1, self.count)
        return found[signed], tie[signed], vertices(unit, numbers(documents, "row")[signed])


def first_of_bands(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BAND rows -> (their sorting order, for each sorted row the sorted position of its band's first document)."""
    order = np.lexsort((rows["vertex"], rows["tie"], rows["band"]))
    band = rows["band"][order]
    starts = np.flatnonzero(np.r_[True, band[1:] != band[:-1]]) if len(band) else np.empty(0, np.int64)
    return order, np.repeat(starts, np.diff(np.r_[starts, len(band)]))


class SendBands(beam.DoFn):
    """Unit -> (key, BAND bytes): the unit's first document of every band value."""

    def __init__(self, bands: Bands, keys: int):
        self.bands, self.keys = bands, keys

    def process(self, unit: Unit) -> Iterator[tuple[int, bytes]]:
        hashes, tie, vertex = self.bands.read(unit.id)
        for number in range(self.bands.count):
            rows = np.empty(len(hashes), BAND)
            rows["band"], rows["tie"], rows["vertex"] = hashes[:, number], tie, vertex
            order, first = first_of_bands(rows)
            firsts = rows[order[np.unique(first)]]
            key = firsts["band"] % np.uint64(self.keys)
            sort = np.argsort(key, kind="stable")
            bounds = np.searchsorted(key[sort], np.arange(self.keys + 1, dtype=np.uint64))
            for which in np.flatnonzero(np.diff(bounds)):
                yield int(which), firsts[sort[bounds[which] : bounds[which + 1]]].tobytes()


def link_bands(group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
    """(key, BAND blocks) -> (unit, FIRST bytes): to units whose first document of a band is not the band's first."""
    rows = np.frombuffer(b"".join(group[1]), BAND)
    order, first = first_of_bands(rows)
    later = np.flatnonzero(first != np.arange(len(order)))
    links = np.empty(len(later), FIRST)
    links["band"], links["vertex"] = rows["band"][order[later]], rows["vertex"][order[first[later]]]
    for unit, chosen in by_unit(rows["vertex"][order[later]]):
        yield unit, links[chosen].tobytes()


def band_edges(bands: Bands, unit: int, firsts: np.ndarray, *, contract: bool) -> np.ndarray:
    """FIRST rows that came back -> uint64 [m, 2]: (document, first of one of its bands), sorted, each once.

    contract: as few links as connect the same documents.
    """
    hashes, tie, vertex = bands.read(unit)
    links = np.sort(firsts, order="band")
    found = np.empty((0, 2), np.uint64)
    for number in range(bands.count):
        rows = np.empty(len(hashes), BAND)
        rows["band"], rows["tie"], rows["vertex"] = hashes[:, number], tie, vertex
        order, first = first_of_bands(rows)
        ordered = rows[order]
        ends = ordered["vertex"][first]
        if len(links):
            at = np.minimum(np.searchsorted(links["band"], ordered["band"]), len(links) - 1)
            elsewhere = links["band"][at] == ordered["band"]
            ends = np.where(elsewhere, links["vertex"][at], ends)
        linked = ends != ordered["vertex"]
        here = np.stack([ordered["vertex"][linked], ends[linked]], axis=1)
        found = np.concatenate([found, here])
        if contract:
            found = stars(found)
    return found if contract else unique_edges(found)
