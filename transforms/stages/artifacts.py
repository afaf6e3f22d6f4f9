"""What a stage leaves behind: one part per unit and a manifest, written last, that says the stage is finished.

A part's name carries the stage's key, a digest of its configuration and inputs, so parts of different configurations
never mix; a stage whose manifest has the wanted key is skipped, and so is a part that is already there.

Every file carries a checksum of its own (storage.sealed): parts of a stage under way are taken only where it is
right, and a damaged manifest is none, so that the stage is done again from its parts. Of a finished stage the manifest
has the parts' sizes and checksums too, and the names of the files that lie beside them.
"""

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms import storage
from sluice.transforms.stages import counters
from sluice.transforms.stages.stats import merge_stats
from sluice.transforms.storage import committing, sealed
from sluice.transforms.storage.damage import ArtifactError, Damaged, damaged

MANIFEST = "manifest.json"
FIELDS = {"key", "digest", "config", "rows", "totals", "parts"}
STATS = b"sluice.stats"
# A part, a file of a bin, or the folder of what is done of a unit: their names carry ten digits of the key.
PART = re.compile(r"^(?:bins/)?[a-z]+(?:-\d+)?-([0-9a-f]{10})(?:/|\..*)")


@dataclass(frozen=True)
class Part:
    """One unit's file in an artifact. stats are numbers about it, added up over the parts."""

    folder: str
    unit: int
    name: str
    rows: int
    bytes: int
    crc32c: int
    stats: dict[str, Any] = field(default_factory=dict)


class Maker(Protocol):
    """What fills an artifact: a stage's transform, or the DoFn that makes its scores.

    version: part of the artifact's key. Raise it when a change alters what is written: runs made before then make the
    artifact, and what depends on its content, again. Stages of the first releases had one number, 3; new ones begin
    at 1.
    """

    version: ClassVar[int]


@dataclass(frozen=True)
class Artifact:
    """A stage's folder and the key of the configuration that its parts must have."""

    url: str
    key: str

    def path(self, unit: int, suffix: str = ".parquet") -> str:
        return storage.join(self.url, f"part-{unit:05d}-{self.key[:10]}{suffix}")

    def file(self, name: str, suffix: str) -> str:
        """The path of a sealed file that belongs to the artifact as a whole."""
        return storage.join(self.url, f"{name}-{self.key[:10]}{suffix}")

    @property
    def finished(self) -> bool:
        """Whether the manifest is there and has this key."""
        found = find_manifest(self.url)
        return found is not None and found["key"] == self.key

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest. Raises ArtifactError unless the stage is finished with this key."""
        return _manifest(self.url, self.key)

    @property
    def digest(self) -> str:
        """A digest of the content: of the key and every part's rows, size and checksum."""
        return self.manifest["digest"]

    def part(self, unit: int) -> dict[str, Any]:
        return _parts(self.url, self.key)[unit]

    # Reading ----------------------------------------------------------------------------------------------------

    def read(self, unit: int, columns: list[str] | None = None) -> pa.Table:
        """A part's table. Raises Damaged when its size or checksum is not the manifest's, or it is gone."""
        with self.checked(unit) as path:
            return pq.read_table(path, columns=columns, partitioning=None)

    def windows(self, unit: int, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """A part in batches of at most `rows`, in row order, in bounded memory."""
        with self.checked(unit) as path, pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=rows, columns=columns)

    @contextlib.contextmanager
    def checked(self, unit: int) -> Iterator[str]:
        """A local path with a part's content. Raises Damaged."""
        part = self.part(unit)
        url = storage.join(self.url, part["name"])
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(storage.local_copy(url))
                checksum, size = sealed.checksum_of(path)
            except FileNotFoundError:
                raise damaged(url, "it is missing", folder=self.url) from None
            counters.add("bytes_read", size)
            if (checksum, size) != (part["crc32c"], part["bytes"]):
                found = f"it has {size} bytes, checksum {checksum:08x}"
                said = f"{part['bytes']} bytes, checksum {part['crc32c']:08x}"
                raise damaged(url, f"{found}; its manifest says {said}", folder=self.url)
            yield path

    # Reading while the stage is under way ---------------------------------------------------------------------------

    def read_unfinished(self, unit: int, columns: list[str] | None = None) -> pa.Table:
        """The table of a part that no manifest lists yet. Raises Damaged when its own checksum is not right."""
        with self.unfinished(unit) as path:
            return pq.read_table(path, columns=columns, partitioning=None)

    @contextlib.contextmanager
    def unfinished(self, unit: int) -> Iterator[str]:
        """A local path of such a part, checked."""
        with storage.local_copy(self.path(unit)) as path:
            found = sealed.check_part(path)[2]
            if found is not None:
                raise damaged(self.path(unit), found, folder=self.url)
            yield path

    @contextlib.contextmanager
    def opened(self, name: str, suffix: str) -> Iterator[str]:
        """A local path of a sealed file of the artifact as a whole, checked; those of versions before are not."""
        path = self.file(name, suffix)
        manifest = find_manifest(self.url)
        if manifest is not None and "check" not in manifest:
            with storage.local_copy(path) as local:
                yield local
            return
        with sealed.opened(path, folder=self.url) as local:
            yield local

    # Writing ----------------------------------------------------------------------------------------------------

    def write(self, unit: int, tables: Iterable[pa.Table], schema: pa.Schema, stats: dict[str, Any]) -> None:
        """Write a part from tables (one row group each), unless it is there. `stats` is read after the last table."""
        with self.writer(unit, schema, stats) as write:
            for table in tables:
                write(table)

    @contextlib.contextmanager
    def writer(
        self, unit: int, schema: pa.Schema, stats: dict[str, Any] | None = None
    ) -> Iterator[Callable[[pa.Table], None]]:
        """Yields a function that appends a table to the part; the part appears when the block ends without error."""
        with committing.create(self.path(unit)) as path:
            with pq.ParquetWriter(path, schema, **_writer_options(schema)) as out:
                yield (lambda table: out.write_table(table, row_group_size=max(len(table), 1)) if len(table) else None)
                out.add_key_value_metadata({STATS: json.dumps(stats or {}, sort_keys=True).encode()})
                out.add_key_value_metadata({sealed.PART_KEY: sealed.UNSET})
            sealed.seal_part(path)

    def existing(self, unit: int) -> Part | None:
        """The part that a unit already has, or None; a damaged one is deleted, which the log says."""
        try:
            return self.describe(unit)
        except FileNotFoundError:
            return None
        except Damaged as error:
            sealed.discard(self.path(unit), error.problem)
            return None

    def discard_damaged(self, unit: int) -> None:
        """Make room for a part that is written anew, which one that is there would keep out."""
        self.existing(unit)

    def describe(self, unit: int) -> Part:
        """Rows, size, checksum and stats of a Parquet part. Raises FileNotFoundError, and Damaged."""
        path = self.path(unit)
        with storage.local_copy(path) as local:
            checksum, size, found = sealed.check_part(local)
            if found is not None:
                raise damaged(path, found, folder=self.url)
            metadata = pq.read_metadata(local)
        stats = json.loads((metadata.metadata or {}).get(STATS, b"{}"))
        return Part(self.url, unit, path.rsplit("/", 1)[-1], metadata.num_rows, size, checksum, stats)


def _writer_options(schema: pa.Schema) -> dict[str, Any]:
    vectors = {name for name, kind in zip(schema.names, schema.types) if pa.types.is_fixed_size_binary(kind)}
    return {
        # Vectors and digests do not compress and never repeat; trying costs more than writing them.
        "use_dictionary": [name for name in schema.names if pa.types.is_string(schema.field(name).type)],
        "compression": {name: "none" if name in vectors else "zstd" for name in schema.names},
        "write_statistics": False,
        "store_schema": True,
    }


# Manifests ------------------------------------------------------------------------------------------------------


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
def _manifest(url: str, key: str) -> dict[str, Any]:
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
def _parts(url: str, key: str) -> dict[int, dict[str, Any]]:
    return {part["unit"]: part for part in _manifest(url, key)["parts"]}


def digest_of(value: Any) -> str:
    """32 hex digits of a JSON-able value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def commit(
    artifact: Artifact, *, parts: Iterable[Part], config: dict[str, Any], totals: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write the manifest of a finished stage, then drop what other configurations left in its folder."""
    unique = {part.unit: part for part in sorted(parts, key=lambda part: (part.unit, part.name))}
    listed = [asdict(part) for part in unique.values()]
    for part in listed:
        del part["folder"]
    merged = merge_stats([part["stats"] for part in listed] + [totals or {}])
    there = storage.find(artifact.url, depth=2)
    manifest = {
        "stage": artifact.url.rstrip("/").rsplit("/", 1)[-1],
        "key": artifact.key,
        "digest": digest_of([artifact.key, [(p["unit"], p["rows"], p["bytes"], p["crc32c"]) for p in listed]]),
        "config": config,
        "rows": sum(part["rows"] for part in listed),
        # By name: the branches of a stage hand over their totals in no certain order.
        "totals": dict(sorted(merged.items())),
        "parts": listed,
        "files": _beside(there, artifact.key, {part["name"] for part in listed}),
    }
    write_manifest(artifact.url, manifest)
    _drop(artifact.url, artifact.key, there)
    return manifest


def write_manifest(url: str, manifest: dict[str, Any]) -> None:
    """Write the manifest of the folder `url` with its checksum, which comes first."""
    whole = {"check": sealed.UNSET.decode()} | {name: value for name, value in manifest.items() if name != "check"}
    data = sealed.seal_manifest(json.dumps(whole, indent=1, default=str).encode())
    committing.replace_bytes(storage.join(url, MANIFEST), data)


def _beside(there: dict[str, dict[str, Any]], key: str, parts: set[str]) -> dict[str, int]:
    """Bytes of the sealed files beside the parts, by name; those of bins are in a folder and are not read again."""
    ours = {name for name in there if "/" not in name and (found := PART.match(name)) and found[1] == key[:10]}
    return {name: there[name]["size"] for name in sorted(ours - parts)}


def drop_other_keys(url: str, key: str) -> None:
    """Delete the parts in a folder whose name carries another key; files that are no parts are left alone."""
    _drop(url, key, storage.find(url, depth=2))


def _drop(url: str, key: str, there: Iterable[str]) -> None:
    old = {found[0] for name in there if (found := PART.search(name)) and found[1] != key[:10]}
    for name in old:
        remove = storage.delete_folder if name.endswith("/") else storage.delete
        remove(storage.join(url, name))
