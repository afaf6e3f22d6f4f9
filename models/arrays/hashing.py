"""Hashes that decide ties, samples and the random control: functions of a document's id and a seed alone."""

import hashlib
import unicodedata

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def id_hash(identity: str) -> bytes:
    """16 bytes that stand for a document's id."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def text_hash(text: str) -> bytes:
    """16 bytes equal for texts that differ only in case, white space or Unicode compatibility forms (NFKC)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = text.casefold()
    else:
        text = text.lower()
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def seeded(id_hashes: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Uniform uint64 [n] from 16-byte hashes (V16 or uint8 [n, 16]), a seed and what the numbers are for.

    Two rounds of splitmix64's finaliser (Steele et al. 2014) over a blake2b hash: vectorised, the same everywhere.
    """
    words = np.ascontiguousarray(id_hashes).view("<u8").reshape(-1, 2)
    salt = hashlib.blake2b(f"{purpose}:{seed}".encode(), digest_size=16).digest()
    low, high = np.frombuffer(salt, dtype="<u8")
    return mix(words[:, 0] ^ mix(words[:, 1] ^ high) ^ low)


def mix(value: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser: uint64 -> uint64, one to one.

    >>> mix(np.arange(2, dtype=np.uint64))
    array([16294208416658607535, 10451216379200822465], dtype=uint64)
    """
    with np.errstate(over="ignore"):
        value = value + _GAMMA
        value = (value ^ (value >> np.uint64(30))) * _MIX_1
        value = (value ^ (value >> np.uint64(27))) * _MIX_2
        return value ^ (value >> np.uint64(31))
