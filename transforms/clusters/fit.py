"""Whether centroids of another run can be used: they are there, whole, and of vectors of the same kind."""

import hashlib
from typing import Any

import numpy as np

from sluice.transforms.clusters.members import load_array
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.storage.damage import Damaged


class UnfitCentroids(ValueError):
    """Centroids that cannot be used here: not there, not finished, or of vectors of another kind."""


def open_centroids(url: str) -> Artifact:
    """The finished centroids in a folder. Raises UnfitCentroids."""
    manifest = find_manifest(url)
    if manifest is None:
        raise UnfitCentroids(f"{url} holds no finished centroids: it has no manifest.json")
    if manifest.get("stage") != "centroids":
        raise UnfitCentroids(f"{url} holds no centroids: it is the folder of a stage {manifest.get('stage')!r}")
    return Artifact(url, manifest["key"])


def content_digest(centroids: Artifact) -> str:
    """32 hex digits of the centroids' numbers, and of the splits of their clusters; not of where they are."""
    totals = centroids.manifest["totals"]
    digest = hashlib.blake2b(digest_size=16)
    for name in ("centroids", "splits")[: 1 + bool(totals.get("splits"))]:
        try:
            array = load_array(centroids, name)
        except (Damaged, ValueError, EOFError) as error:
            raise UnfitCentroids(str(error)) from error
        rows = totals["k"] if name == "centroids" else sum(parts for _, parts in totals["splits"])
        if array.dtype != np.int16 or array.shape != (rows, totals["dimension"]):
            raise UnfitCentroids(
                f"{centroids.file(name, '.npy')} is {array.dtype} {array.shape}; "
                f"its manifest says int16 {(rows, totals['dimension'])}"
            )
        digest.update(np.ascontiguousarray(array).astype("<i2").tobytes())
    digest.update(repr(totals.get("splits") or []).encode())
    return digest.hexdigest()


def check_embedding(centroids: Artifact, embedding: dict[str, Any], dimension: int | None = None) -> None:
    """Raises UnfitCentroids unless the centroids are of vectors that were made in the same way.

    embedding: the configuration of the embeddings' manifest; dimension: theirs, where it is known.
    """
    totals = centroids.manifest["totals"]
    theirs = totals.get("embedding")
    if theirs is None:
        raise UnfitCentroids(f"{centroids.url} does not say which vectors its centroids are of: train them again")
    different = sorted(name for name in {*theirs, *embedding} if theirs.get(name) != embedding.get(name))
    if different:
        named = "; ".join(f"{name}: {theirs.get(name)!r} there, {embedding.get(name)!r} here" for name in different[:3])
        raise UnfitCentroids(f"the centroids of {centroids.url} are of vectors of another kind: {named}")
    if dimension not in (None, totals["dimension"]):
        raise UnfitCentroids(
            f"the centroids of {centroids.url} have {totals['dimension']} dimensions, the vectors here {dimension}"
        )
