"""Reads finished runs back, changes them behind their backs, and shows pages as a plain terminal does."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console, RenderableType

from sluice.transforms.stages.manifests import write_manifest
from sluice.transforms.storage.sealed import checksum_of
from tests.pipelines.corpora import artifact


def whole(run: Path, folder: str, columns: list[str] | None = None) -> pa.Table:
    """All parts of an artifact, by unit."""
    found = artifact(run, folder)
    return pa.concat_tables([found.read(part["unit"], columns) for part in found.manifest["parts"]])


def rewrite(run: Path, folder: str, change: Callable[[pa.Table], pa.Table], *, unit: int = 1) -> None:
    """Replace a part by a changed one, its size and checksum in the manifest too, as if it had been written so."""
    place = run / folder / "manifest.json"
    manifest = json.loads(place.read_text())
    part = next(part for part in manifest["parts"] if part["unit"] == unit)
    path = run / folder / part["name"]
    table = change(pq.read_table(path))
    path.unlink()
    pq.write_table(table, path)
    part["crc32c"], part["bytes"] = checksum_of(str(path))
    part["rows"] = len(table)
    write_manifest(str(place.parent), manifest)


def shown(page: RenderableType, *, width: int = 200, **options) -> str:
    """What a console prints."""
    file = io.StringIO()
    Console(file=file, width=width, **options).print(page)
    return file.getvalue()
