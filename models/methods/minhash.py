"""MinHash signatures and their bands (Broder 1997; LSH as in Leskovec, Rajaraman and Ullman, chapter 3).

Two texts of Jaccard similarity s share a band of r values with probability s**r, and at least one of b bands with
1 - (1 - s**r)**b. Hash functions are odd multipliers modulo 2**32 over 64-bit shingle hashes, computed in NumPy.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sluice.models.arrays.hashing import mix
from sluice.models.methods.shingles import Shingling, shingle

# Characters, and shingles, that are worked on together: what stays in a core's cache.
BATCH = 1 << 17
BLOCK = 1 << 15


@dataclass(frozen=True)
class Scheme:
    """What is compared: shingles, and a signature of bands * rows values."""

    shingling: Shingling
    bands: int
    rows: int

    @property
    def threshold(self) -> float:
        """The similarity at which about half of all pairs share a band: (1/b)**(1/r)."""
        return (1 / self.bands) ** (1 / self.rows)

    def probability(self, similarity: float) -> float:
        """Of a pair of this Jaccard similarity to share a band."""
        return 1 - (1 - similarity**self.rows) ** self.bands


# What published pipelines use. datatrove: its defaults, FineWeb. nemo: NeMo Curator's fuzzy deduplication. slimpajama:
# what datasketch chooses for Jaccard 0.8 with 128 values; texts under 200 characters were dropped there.
PRESETS = {
    "datatrove": Scheme(Shingling("words", 5, "simple"), bands=14, rows=8),
    "nemo": Scheme(Shingling("characters", 24, "plain"), bands=20, rows=13),
    "slimpajama": Scheme(Shingling("characters", 6, "letters", shortest=200), bands=9, rows=13),
}


def batches(texts: Sequence[str]) -> Iterator[slice]:
    """Consecutive texts of about BATCH characters together; a longer one by itself."""
    start = size = 0
    for index, text in enumerate(texts):
        if index > start and size + len(text) > BATCH:
            yield slice(start, index)
            start, size = index, 0
        size += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


def band_hashes(texts: Sequence[str], scheme: Scheme, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 [n, bands], bool [n]: whether a text has shingles; without, its bands mean nothing)."""
    bands = np.zeros((len(texts), scheme.bands), np.uint64)
    known = np.zeros(len(texts), bool)
    for chosen in batches(texts):
        hashes, sizes = shingle(texts[chosen], scheme.shingling)
        bands[chosen] = bands_of(signatures(hashes, sizes, scheme.bands * scheme.rows, seed=seed), scheme)
        known[chosen] = sizes > 0
    return bands, known


def functions(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd multipliers and shifts, uint32 [count] each."""
    drawn = [hashlib.blake2b(f"minhash:{seed}:{k}".encode(), digest_size=8).digest() for k in range(count)]
    words = np.frombuffer(b"".join(drawn), "<u4").reshape(count, 2)
    return words[:, 0] | np.uint32(1), words[:, 1].copy()


def signatures(hashes: np.ndarray, sizes: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """uint32 [n, count]: the least value of each function over each document's shingles; all ones without any."""
    multipliers, shifts = functions(count, seed)
    values = (hashes >> np.uint64(32)).astype(np.uint32)
    filled = np.flatnonzero(sizes)
    found = np.full((count, len(sizes)), 2**32 - 1, np.uint32)
    starts = np.cumsum(sizes) - sizes
    at = 0
    while at < len(filled):
        first = starts[filled[at]]
        stop = max(int(np.searchsorted(starts[filled], first + BLOCK)), at + 1)
        members = filled[at:stop]
        block = values[first : starts[members[-1]] + sizes[members[-1]]]
        offsets = starts[members] - first
        hashed = np.empty_like(block)
        with np.errstate(over="ignore"):
            for number in range(count):
                np.multiply(block, multipliers[number], out=hashed)
                np.add(hashed, shifts[number], out=hashed)
                found[number, members] = np.minimum.reduceat(hashed, offsets)
        at = stop
    return np.ascontiguousarray(found.T)


def bands_of(signature: np.ndarray, scheme: Scheme) -> np.ndarray:
    """uint32 [n, bands * rows] -> uint64 [n, bands]: a hash of each band's values and of its number."""
    values = signature.reshape(len(signature), scheme.bands, scheme.rows).astype(np.uint64)
    found = np.tile(mix(np.arange(scheme.bands, dtype=np.uint64)), (len(signature), 1))
    for row in range(scheme.rows):
        found = mix(found ^ values[:, :, row])
    return found


def shingle_sets(texts: Sequence[str], scheme: Scheme) -> list[np.ndarray]:
    """Each text's distinct shingle hashes, sorted: uint64 arrays, empty where there are none."""
    found: list[np.ndarray] = []
    for chosen in batches(texts):
        hashes, sizes = shingle(texts[chosen], scheme.shingling)
        found += [np.unique(part) for part in np.split(hashes, np.cumsum(sizes)[:-1])]
    return found


def similar(a: np.ndarray, b: np.ndarray, least: Fraction) -> bool:
    """Whether the Jaccard similarity of two sets (sorted, distinct) is at least `least`, compared exactly."""
    if min(len(a), len(b)) * least.denominator < least.numerator * max(len(a), len(b)):
        return False
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared * least.denominator >= least.numerator * (len(a) + len(b) - shared)
