"""What a stage leaves behind: one part per unit and a manifest, written last, that says the stage is finished.

A part's name carries the stage's key, a digest of its configuration and inputs, so parts of different configurations
never mix; a stage whose manifest has the wanted key is skipped, and so is a part that is already there.

Every file carries a checksum of its own (storage.sealed): parts of a stage under way are taken only where it is
right, and a damaged manifest is none, so that the stage is done again from its parts. Of a finished stage the manifest
has the parts' sizes and checksums too, and the names of the files that lie beside them.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms import storage
from sluice.transforms.stages import counters
from sluice.transforms.stages.manifests import find_manifest, load_manifest, parts_by_unit
from sluice.transforms.storage import committing, sealed
from sluice.transforms.storage.damage import Damaged, damaged

STATS = b"sluice.stats"


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
        return load_manifest(self.url, self.key)

    @property
    def digest(self) -> str:
        """A digest of the content: of the key and every part's rows, size and checksum."""
        return self.manifest["digest"]

    def part(self, unit: int) -> dict[str, Any]:
        return parts_by_unit(self.url, self.key)[unit]

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
