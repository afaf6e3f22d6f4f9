"""The manifest of a finished stage: JSON in the stage's folder, with a checksum of itself, written last."""

import functools
import hashlib
import json
from typing import Any

from sluice.transforms import storage
from sluice.transforms.storage import committing, sealed
from sluice.transforms.storage.damage import ArtifactError, damaged

MANIFEST = "manifest.json"
FIELDS = {"key", "digest", "config", "rows", "totals", "parts"}


def find_manifest(url: str) -> dict[str, Any] | None:
    """The manifest in a folder, whatever its key, or None; a damaged one, or half of one, is none."""
    try:
        data = storage.read_bytes(storage.join(url, MANIFEST))
        found = json.loads(data)
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    whole = isinstance(found, dict) and found.keys() >= FIELDS and sealed.sound_manifest(data)
    return found if whole else None


@functools.lru_cache(maxsize=64)
def load_manifest(url: str, key: str) -> dict[str, Any]:
    """The manifest of the stage that is finished in a folder with that key. Raises ArtifactError where none is."""
    found = find_manifest(url)
    if found is None:
        place = storage.join(url, MANIFEST)
        if storage.exists(place):
            raise damaged(place, "it is not what was written", folder=url)
        raise ArtifactError(f"{url} is not finished: it has no {MANIFEST}")
    if found["key"] != key:
        raise ArtifactError(f"{url} was made with another configuration ({found['key'][:10]}, wanted {key[:10]})")
    return found


@functools.lru_cache(maxsize=64)
def parts_by_unit(url: str, key: str) -> dict[int, dict[str, Any]]:
    """What the manifest lists of each unit's part. Raises as load_manifest does."""
    return {part["unit"]: part for part in load_manifest(url, key)["parts"]}


def digest_of(value: Any) -> str:
    """32 hex digits of a JSON-able value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def write_manifest(url: str, manifest: dict[str, Any]) -> None:
    """Write the manifest of the folder `url` with its checksum, which comes first."""
    whole = {"check": sealed.UNSET.decode()} | {name: value for name, value in manifest.items() if name != "check"}
    data = sealed.seal_manifest(json.dumps(whole, indent=1, default=str).encode())
    committing.replace_bytes(storage.join(url, MANIFEST), data)
