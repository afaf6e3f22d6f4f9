"""The end of a stage: all parts are there, so its manifests are written; unless too much of the input was bad."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import apache_beam as beam

from sluice.transforms import storage
from sluice.transforms.records.validation import is_fault
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.manifests import digest_of, write_manifest
from sluice.transforms.stages.stats import merge_stats
from sluice.transforms.storage.damage import ArtifactError

# A part, a file of a bin, or the folder of what is done of a unit: their names carry ten digits of the key.
PART = re.compile(r"^(?:bins/)?[a-z]+(?:-\d+)?-([0-9a-f]{10})(?:/|\..*)")


@dataclass
class Commit(beam.PTransform):
    """Parts and totals -> the manifests of the artifacts they belong to.

    Totals are dicts {"folder": the artifact's url, "totals": numbers for its manifest}. inventory: each of its units
    must have a part; None: there is one part. max_reject_share fails a run whose inputs are worse than that.
    """

    artifacts: tuple[Artifact, ...]
    inventory: Artifact | None = None
    config: dict[str, Any] = field(default_factory=dict)
    max_reject_share: float | None = None

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        return (
            parts
            | "KeyByFolder" >> beam.Map(_by_folder).with_output_types(tuple[str, Any])
            | "GroupByFolder" >> beam.GroupByKey()
            | "WriteManifest" >> beam.Map(self._write)
        )

    def _write(self, group: tuple[str, Iterable[Part | dict]]) -> str:
        folder, values = group
        artifact = next(artifact for artifact in self.artifacts if artifact.url == folder)
        parts: list[Part] = []
        totals: list[dict[str, Any]] = []
        for value in values:
            if isinstance(value, Part):
                parts.append(value)
            else:
                totals.append(value)
        units = {part.unit for part in parts}
        # Read here, on a worker: where stages share a pipeline the inventory is not finished when the graph is made.
        expected = 1 if self.inventory is None else self.inventory.manifest["totals"]["units"]
        if len(units) != expected:
            raise ArtifactError(f"{folder}: {len(units)} parts of {expected} were written")
        merged = merge_stats([part.stats for part in parts])
        if self.max_reject_share is not None and "reasons" in merged:
            check_rejects(merged, self.max_reject_share)
        if merged.get("min_dimension") != merged.get("max_dimension"):
            raise ArtifactError(
                f"vectors have from {merged['min_dimension']} to {merged['max_dimension']} numbers each"
            )
        commit(
            artifact,
            parts=parts,
            config=self.config,
            totals=merge_stats(t["totals"] for t in totals),
        )
        return folder


def _by_folder(value: Part | dict) -> tuple[str, Any]:
    return (value.folder if isinstance(value, Part) else value["folder"]), value


class TooManyRejects(RuntimeError):
    """The input has more bad records than the run allows."""


# A share says little about a small file: one bad line of five is a fifth. The default lets this many records be bad.
DEFAULT_REJECT_SHARE = 0.01
HANDFUL = 10


def allowed_rejects(records: float, limit: float) -> float:
    """How many of so many records may be bad: at the default share a handful in an input of any size; any other share
    is exact.
    """
    return max(limit * records, HANDFUL if limit == DEFAULT_REJECT_SHARE else 0)


def check_rejects(totals: dict[str, Any], limit: float) -> None:
    """Raises TooManyRejects when more records are bad than are allowed, or a column that is needed is nowhere."""
    reasons = {reason: count for reason, count in totals["reasons"].items() if is_fault(reason)}
    records, bad = totals["records"], sum(reasons.values())
    if bad > allowed_rejects(records, limit):
        listed = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:10]
        place = totals.get("places", {}).get(listed[0][0], {}).get("min_place")
        raise TooManyRejects(
            f"{bad} of {records} records were rejected, more than --max-reject-share {limit} allows: "
            + ", ".join(f"{count} x {reason}" for reason, count in listed)
            + (f" (the first of {listed[0][0]!r} in {place})" if place else "")
        )
    if not totals["documents"]:
        raise TooManyRejects(f"none of {records} records is a document")
    for name, count in totals.get("filled", {}).items():
        if not count:
            raise TooManyRejects(f"no record has anything usable in column {name!r}")


# The manifest ----------------------------------------------------------------------------------------------------


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
