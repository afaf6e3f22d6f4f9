"""What a run's bookkeeping costs as units and files grow: manifests, the list of units, listing the input.

    python -m benchmarks.scale.limits              # 1,000 to 1,000,000 units, 100,000 files; three minutes
    python -m benchmarks.scale.limits --quick      # 1,000 and 10,000 units, 10,000 files
    python -m benchmarks.scale.limits --constants  # and keep what was found in benchmarks/scale/constants.json

A manifest lists every part with its statistics, and each process that reads an artifact holds it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.scale import costs

# What one unit says about itself in scores/, the longest of the usual ones.
STATS = {
    "alive": 131072,
    "alive_tokens": 0,
    "copies": 1310,
    "max_score": 16516096,
    "min_score": -3162598,
    "removable": 131071,
    "removable_tokens": 0,
}


def write_manifest(folder: str, units: int) -> dict[str, float]:
    """Commit an artifact of so many parts, which are described but not there."""
    from sluice.transforms.stages import artifacts
    from sluice.transforms.stages.commit import commit
    from sluice.transforms.stages.manifests import MANIFEST

    artifact = artifacts.Artifact(folder, "0" * 32)
    parts = [
        artifacts.Part(folder, unit, artifact.path(unit).rsplit("/", 1)[-1], 131072, 1 << 20, 1 << 31, dict(STATS))
        for unit in range(units)
    ]
    started = time.monotonic()
    commit(artifact, parts=parts, config={})
    return {"seconds": time.monotonic() - started, "bytes": (Path(folder) / MANIFEST).stat().st_size}


def read_manifest(folder: str) -> dict[str, float]:
    """Read it as a worker does, and find one part."""
    from sluice.transforms.stages.artifacts import Artifact

    before, started = measure.peak_memory(), time.monotonic()
    Artifact(folder, "0" * 32).part(0)
    return {"seconds": time.monotonic() - started, "mb": measure.peak_memory() - before}


def list_units(units: int) -> dict[str, float]:
    """The inventory's table of so many units of two ranges each, and back, as every bin's worker does it."""
    from sluice.transforms.corpus.inventory import table_to_units, units_to_table
    from sluice.transforms.records.records import Span, Unit

    name = "gs://bucket/corpus/dump=2024-10/part-{:06d}.jsonl.zst"
    made = [
        Unit(n, "jsonl", "zstd", tuple(Span(name.format(n), name.format(n)[12:], 0, 0, 1 << 27, "etag") for _ in "12"))
        for n in range(units)
    ]
    table = units_to_table(made)
    before, started = measure.peak_memory(), time.monotonic()
    table_to_units(table)
    return {"seconds": time.monotonic() - started, "mb": measure.peak_memory() - before}


def list_files(folder: str, files: int) -> dict[str, float]:
    """Plan the units of so many small files on this machine's disk."""
    from sluice.transforms.corpus.inventory import plan_units

    for number in range(files):
        place = Path(folder) / f"{number // 1000:04d}" / f"{number:07d}.jsonl"
        if number % 1000 == 0:
            place.parent.mkdir(parents=True)
        place.write_bytes(b"{}\n")
    started = time.monotonic()
    units = plan_units([folder], unit_bytes=300)
    return {"seconds": time.monotonic() - started, "units": len(units)}


def measure_units(units: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        wrote, peak = measure.run("scale.limits", "write_manifest", folder=folder, units=units)
        read, _ = measure.run("scale.limits", "read_manifest", folder=folder)
    listed, _ = measure.run("scale.limits", "list_units", units=units)
    return {"units": units, "wrote": wrote, "commit_peak_mb": peak, "read": read, "listed": listed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--constants", action="store_true", help="keep the result in benchmarks/scale/constants.json")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.units, options.files = [1000, 10_000], 10_000
    print(measure.machine())
    found = [measure_units(units) for units in options.units]
    rows = [
        (
            f"{one['units']:,}",
            f"{one['wrote']['bytes'] / 1e6:,.1f}",
            f"{one['wrote']['seconds']:.2f}",
            f"{one['commit_peak_mb']:,.0f}",
            f"{one['read']['seconds']:.2f}",
            f"{one['read']['mb']:,.0f}",
            f"{one['listed']['seconds']:.2f}",
            f"{one['listed']['mb']:,.0f}",
        )
        for one in found
    ]
    header = ["units", "manifest MB", "commit s", "its peak MB", "read s", "and MB", "list of units s", "and MB"]
    print(measure.table(header, rows))
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        files, _ = measure.run("scale.limits", "list_files", folder=folder, files=options.files)
    print(f"\nListing {options.files:,} files on a local disk and planning units: {files['seconds']:.1f} s")
    if options.constants:
        data = json.loads(costs.CONSTANTS.read_text()) if costs.CONSTANTS.exists() else {"measured": {}}
        data["units"] = {
            "machine": measure.machine(),
            "manifest_bytes": found[-1]["wrote"]["bytes"] / found[-1]["units"],
            "commit_seconds": found[-1]["wrote"]["seconds"] / found[-1]["units"],
            "read_seconds": found[-1]["read"]["seconds"] / found[-1]["units"],
            "read_mb": found[-1]["read"]["mb"] / found[-1]["units"],
            "list_seconds_per_file": files["seconds"] / options.files,
        }
        costs.CONSTANTS.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
