"""The units of a finished inventory."""

from collections.abc import Sequence

from sluice.transforms.corpus.inventory import table_to_units
from sluice.transforms.records.records import Unit
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import digest_of


def read_units(inventory: Artifact) -> list[Unit]:
    """The units of a finished inventory, by id."""
    return table_to_units(inventory.read(0))


def units_digest(units: Sequence[Unit]) -> str:
    """Changes with any file's path, size or etag, and with how units are cut."""
    return digest_of([(unit.id, unit.format, unit.compression, unit.spans) for unit in units])
