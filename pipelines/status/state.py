"""What lies in a run's folders: which units of a stage have their part, since when, how much of the work that is."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sluice.pipelines.base.layout import Slot
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.run.layout import Listed
from sluice.pipelines.status.pace import Piece, largest_left, pace
from sluice.pipelines.status.weights import Weights
from sluice.pipelines.terminal.printing import counted
from sluice.transforms import storage
from sluice.transforms.stages.manifests import find_manifest

PART = re.compile(r"part-(\d+)-([0-9a-f]{10})\.parquet")
WINDOWS = re.compile(r"windows-(\d+)-([0-9a-f]{10})/.*")
BIN = re.compile(r"bins/bin-(\d+)-([0-9a-f]{10})\.npy")
FINISHED, RUNNING, NOTHING, OLD = "finished", "under way", "not started", "of other settings"


@dataclass
class File:
    """Size in bytes and the time of the last change, in seconds since 1970."""

    bytes: int
    changed: float | None


@dataclass
class Folder:
    """What a stage's folder holds: for each key, when the part of each unit appeared, and the result of each bin; the
    units of which a part of the work is there, and when that was last added to.
    """

    bytes: int = 0
    changed: float | None = None
    manifest: bool = False
    parts: dict[str, dict[int, float | None]] = field(default_factory=dict)
    bins: dict[str, dict[int, float | None]] = field(default_factory=dict)
    begun: dict[str, set[int]] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)


def files_of(url: str) -> dict[str, File]:
    """Every file below a folder, from one listing."""
    return {name: File(int(entry["size"] or 0), storage.changed(entry)) for name, entry in storage.find(url).items()}


def _folder_of(folder: str, files: dict[str, File]) -> Folder:
    found = Folder()
    # The corpus itself lies around the folder that lists it.
    root = folder.removesuffix("_parts")
    root = root if root.endswith("/") else f"{root}/"
    for name, file in files.items():
        if name.startswith(root):
            found.bytes += file.bytes
            found.changed = max(filter(None, (found.changed, file.changed)), default=None)
            below = name[len(folder) + 1 :] if name.startswith(f"{folder}/") else ""
            found.manifest |= below == "manifest.json"
            if part := PART.fullmatch(below):
                found.parts.setdefault(part[2], {})[int(part[1])] = file.changed
            elif begun := WINDOWS.fullmatch(below):
                found.begun.setdefault(begun[2], set()).add(int(begun[1]))
                found.newest[begun[2]] = max(found.newest.get(begun[2], 0.0), file.changed or 0.0)
            elif scored := BIN.fullmatch(below):
                found.bins.setdefault(scored[2], {})[int(scored[1])] = file.changed
    return found


@dataclass
class Look:
    """What all stages of a run are looked at with."""

    run: Finished
    files: dict[str, File]
    weights: Weights
    launch: dict[str, Any] | None

    def __post_init__(self) -> None:
        inventory = self.run.find("inventory")
        self.units = None if inventory is None else inventory.manifest["totals"].get("units")

    def units_of(self, slot: Slot) -> int | None:
        """How many parts a stage will have; None where only another run knows."""
        return {"one": 1, "units": self.units, "other units": None}[slot.parts]

    def stage(self, listed: Listed) -> dict[str, Any]:
        name, folder = listed.name, listed.folder
        on_disk = _folder_of(folder, self.files)
        manifest = find_manifest(storage.join(self.run.url, folder))
        # Parts of another key than the manifest's are newer: a finished stage drops those of older ones.
        keys = {*on_disk.parts, *on_disk.bins, *on_disk.begun} - ({manifest["key"][:10]} if manifest else set())
        stage: dict[str, Any] = {"stage": name, "bytes": on_disk.bytes, "changed": shown_time(on_disk.changed)}
        if manifest is not None and not keys:
            done = len(manifest["parts"])
            finished = {"state": FINISHED, "units": done, "units_done": done}
            if wrong := self._not_whole(folder, manifest):
                stage["problem"] = (
                    f"{counted(wrong, 'file')} missing, or of another size; `sluice check {self.run.url} --repair` "
                    "removes what must be made again, the same command makes it"
                )
            return stage | finished | {"rows": manifest["rows"], "totals": manifest["totals"]}
        key = max(
            keys, key=lambda key: (len(on_disk.parts.get(key, {})), on_disk.newest.get(key, 0.0), key), default=""
        )
        parts, bins = on_disk.parts.get(key, {}), on_disk.bins.get(key, {})
        state = RUNNING if keys else NOTHING
        stage |= {
            "state": state,
            "units": self.units_of(listed.slot),
            "units_done": len(parts),
            "rows": None,
            "totals": {},
        }
        if manifest is None and on_disk.manifest:
            stage["problem"] = "its manifest.json cannot be read; the stage is done again from its parts"
        if begun := sorted(on_disk.begun.get(key, set()) - parts.keys()):
            stage["units_begun"] = begun
        if state == RUNNING:
            stage |= self._progress(listed, parts, bins)
        return stage

    def _not_whole(self, folder: str, manifest: dict[str, Any]) -> int:
        """How many files of a finished stage are missing or have other sizes than its manifest says."""
        sizes = {part["name"]: part["bytes"] for part in manifest["parts"]} | manifest.get("files", {})
        there = ((self.files.get(f"{folder}/{name}"), size) for name, size in sizes.items())
        return sum(file is None or file.bytes != size for file, size in there)

    def _progress(
        self, listed: Listed, parts: dict[int, float | None], bins: dict[int, float | None]
    ) -> dict[str, Any]:
        begun = None
        if self.launch is not None and self.launch["stage"] == listed.name:
            begun = datetime.fromisoformat(self.launch["stage_started"]).timestamp()
        if bins and not parts and listed.step_name is not None:
            planned = self.weights.bins(listed.step_name)
            done = [Piece(planned.get(number, 0.0), changed) for number, changed in bins.items()]
            found = pace(done, total=sum(planned.values()), begun=begun)
            return found | {"measure": "pairs", "bins_done": len(bins), "bins": len(planned) or None}
        weights = self.weights.units if self.units_of(listed.slot) == self.units else {}
        done = [Piece(weights.get(unit, 0.0), changed) for unit, changed in parts.items()]
        found = pace(done, total=sum(weights.values()), begun=begun) | {"measure": self.weights.measure}
        if weights and self.weights.measure == "documents":
            found["rows"] = int(sum(piece.weight for piece in done))
        if left := largest_left(weights, parts):
            found["largest_left"] = {"unit": left[0], "weight": int(left[1])}
        return found


def shown_time(changed: float | None) -> str | None:
    return None if changed is None else datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")
