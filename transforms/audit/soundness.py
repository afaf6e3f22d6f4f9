"""Whether a run directory holds what was written: every manifest, part and corpus file, compared with its record,
and every file beside the parts, compared with the checksum that it carries."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from sluice.transforms import storage
from sluice.transforms.stages.manifests import MANIFEST, find_manifest
from sluice.transforms.storage import sealed
from sluice.transforms.storage.sealed import checksum_of

CORPUS = "corpus/_parts"


@dataclass(frozen=True)
class Checked:
    """A file of a run. url: the file; problem: what is wrong with it, None for nothing; with_it: the URLs of what else
    must go for the file to be made again, in the order in which to delete them."""

    url: str
    bytes: int
    problem: str | None
    with_it: tuple[str, ...]


def stage_folders(run: str) -> list[str]:
    """The URLs of the folders of a run that have a manifest, sound or not, by name."""
    names = (name.removesuffix(f"/{MANIFEST}") for name in storage.find(run) if name.endswith(f"/{MANIFEST}"))
    return [storage.join(run, name) for name in sorted(names)]


def check_stage(folder: str) -> Iterator[Checked]:
    """Every file of a finished stage. A manifest comes first; where it is damaged the stage has no other files."""
    place = storage.join(folder, MANIFEST)
    manifest = find_manifest(folder)
    yield Checked(place, 0, None if manifest else "it is not what was written", ())
    if manifest is None:
        return
    for part in manifest["parts"]:
        url = storage.join(folder, part["name"])
        problem = _problem(url, part)
        yield Checked(url, part["bytes"], problem, (place,))
        if folder.endswith(f"/{CORPUS}") and problem is None:
            yield from _corpus_files(folder.removesuffix("/_parts"), url, place)
    # Manifests of versions before files had checksums list none.
    for name, size in manifest.get("files", {}).items():
        yield Checked(storage.join(folder, name), size, _problem_of_sealed(storage.join(folder, name)), (place,))


def _problem(url: str, said: dict[str, Any]) -> str | None:
    """What is wrong with a file whose record has `bytes` and, perhaps, crc32c."""
    try:
        if said.get("crc32c") is None:
            size = storage.info(url).size
            return None if size == said["bytes"] else f"{size:,} bytes, not {said['bytes']:,}"
        with storage.local_copy(url) as path:
            checksum, size = checksum_of(path)
    except FileNotFoundError:
        return "missing"
    if size != said["bytes"]:
        return f"{size:,} bytes, not {said['bytes']:,}"
    return None if checksum == said["crc32c"] else f"checksum {checksum:08x}, not {said['crc32c']:08x}"


def _problem_of_sealed(url: str) -> str | None:
    try:
        with storage.local_copy(url) as path:
            return sealed.problem(path)
    except FileNotFoundError:
        return "missing"


def _corpus_files(corpus: str, part: str, manifest: str) -> Iterator[Checked]:
    """The files that a unit's part lists."""
    with storage.local_copy(part) as path:
        rows = pq.read_table(path, partitioning=None).to_pylist()
    for row in rows:
        url = storage.join(corpus, row["name"])
        yield Checked(url, row["bytes"], _problem(url, row), (part, manifest))
