"""What a stage leaves behind: one part per unit and a manifest, written last, that says the stage is finished.

A part's name carries the stage's key, a digest of its configuration and inputs, so parts of different configurations
never mix; a stage whose manifest has the wanted key is skipped, and so is a part that is already there.
"""

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms import committing, counters, storage

MANIFEST = "manifest.json"
FIELDS = {"key", "digest", "config", "rows", "totals", "parts"}
STATS = b"sluice.stats"
# A part, a file of a bin, or the folder of what is done of a unit: their names carry ten digits of the key.
PART = re.compile(r"^(?:bins/)?[a-z]+(?:-\d+)?-([0-9a-f]{10})(?:/|\..*)")


class ArtifactError(RuntimeError):
    """An artifact is missing, unfinished, made with another configuration, or damaged."""


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


@dataclass(frozen=True)
class Artifact:
    """A stage's folder and the key of the configuration that its parts must have."""

    url: str
    key: str

    def path(self, unit: int, suffix: str = ".parquet") -> str:
        return storage.join(self.url, f"part-{unit:05d}-{self.key[:10]}{suffix}")

    def file(self, name: str, suffix: str) -> str:
        """The path of a file that belongs to the artifact as a whole."""
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
        """A part's table. Raises ArtifactError when its size or checksum is not the manifest's."""
        with self._checked(unit) as path:
            return pq.read_table(path, columns=columns, partitioning=None)

    def windows(self, unit: int, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """A part in batches of at most `rows`, in row order, in bounded memory."""
        with self._checked(unit) as path, pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=rows, columns=columns)

    def _checked(self, unit: int) -> Any:
        return _checked_copy(self, unit)

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
        with (
            committing.create(self.path(unit)) as path,
            pq.ParquetWriter(path, schema, **_writer_options(schema)) as out,
        ):
            yield (lambda table: out.write_table(table, row_group_size=max(len(table), 1)) if len(table) else None)
            out.add_key_value_metadata({STATS: json.dumps(stats or {}, sort_keys=True).encode()})

    def existing(self, unit: int) -> Part | None:
        """The part that a unit already has, or None."""
        try:
            return self.describe(unit)
        except FileNotFoundError:
            return None

    def describe(self, unit: int) -> Part:
        """Rows, size, checksum and stats of a Parquet part. Raises FileNotFoundError."""
        path = self.path(unit)
        with storage.local_copy(path) as local:
            checksum, size = checksum_of(local)
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


class _checked_copy:
    def __init__(self, artifact: Artifact, unit: int):
        self.part = artifact.part(unit)
        self.copy = storage.local_copy(storage.join(artifact.url, self.part["name"]))

    def __enter__(self) -> str:
        path = self.copy.__enter__()
        checksum, size = checksum_of(path)
        counters.add("bytes_read", size)
        if (checksum, size) != (self.part["crc32c"], self.part["bytes"]):
            raise ArtifactError(
                f"{path} has {size} bytes, checksum {checksum:08x}; its manifest says "
                f"{self.part['bytes']} bytes, checksum {self.part['crc32c']:08x}"
            )
        return path

    def __exit__(self, *error: Any) -> None:
        self.copy.__exit__(*error)


def checksum_of(path: str) -> tuple[int, int]:
    """crc32c and size in bytes of a local file."""
    checksum, size = google_crc32c.Checksum(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            checksum.update(block)
            size += len(block)
    return int.from_bytes(checksum.digest(), "big"), size


# Manifests ------------------------------------------------------------------------------------------------------


def find_manifest(url: str) -> dict[str, Any] | None:
    """The manifest in a folder, whatever its key, or None; half of one, which a store may show, is none."""
    try:
        found = json.loads(storage.read_bytes(storage.join(url, MANIFEST)))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= FIELDS else None


@functools.lru_cache(maxsize=64)
def _manifest(url: str, key: str) -> dict[str, Any]:
    found = find_manifest(url)
    if found is None:
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
    manifest = {
        "stage": artifact.url.rstrip("/").rsplit("/", 1)[-1],
        "key": artifact.key,
        "digest": digest_of([artifact.key, [(p["unit"], p["rows"], p["bytes"], p["crc32c"]) for p in listed]]),
        "config": config,
        "rows": sum(part["rows"] for part in listed),
        "totals": merged,
        "parts": listed,
    }
    committing.replace_bytes(storage.join(artifact.url, MANIFEST), json.dumps(manifest, indent=1, default=str).encode())
    drop_other_keys(artifact.url, artifact.key)
    return manifest


def drop_other_keys(url: str, key: str) -> None:
    """Delete the parts in a folder whose name carries another key; files that are no parts are left alone."""
    old = {found[0] for name in storage.find(url, depth=2) if (found := PART.search(name)) and found[1] != key[:10]}
    for name in old:
        remove = storage.delete_folder if name.endswith("/") else storage.delete
        remove(storage.join(url, name))


def merge_stats(many: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Numbers and lists of numbers add up, nested objects merge; names that start with min_ or max_ do that."""
    merged: dict[str, Any] = {}
    for stats in many:
        for name, value in stats.items():
            merged[name] = value if name not in merged else _merge(name, merged[name], value)
    return merged


def _merge(name: str, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, dict):
        return merge_stats([a, b])
    if isinstance(a, list):
        return np.add(a, b).tolist()
    if name.startswith("min_"):
        return min(a, b)
    if name.startswith("max_"):
        return max(a, b)
    return a + b
