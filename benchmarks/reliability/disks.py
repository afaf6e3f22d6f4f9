"""Disks that fill up, of many sizes: no short file counts as whole, and with room again the same command ends well."""

import shutil
import subprocess
from pathlib import Path

from benchmarks import measure
from benchmarks.reliability.runs import Reference, digest

ROOM = "256m"


def disks(reference: Reference, sizes: int) -> str:
    """`sizes` file systems in memory, from almost none of a run's bytes to almost all; needs root."""
    mounted = reference.run.parent / "disk"
    mounted.mkdir(exist_ok=True)
    whole = sum(path.stat().st_size for path in reference.run.rglob("*") if path.is_file())
    full = named = short = identical = 0
    for number in range(1, sizes + 1):
        size = whole * number // (sizes + 1) // 4096 * 4096
        if not _mount(mounted, f"size={size}"):
            return "Not tried: no file system could be mounted."
        try:
            run = mounted / "run"
            ended = reference.launcher.run(reference.curate(run))
            full += ended.code != 0
            named += ended.code == 1 and "could not be written" in ended.message
            short += sum(_is_short(reference, path, run) for path in run.rglob("*") if path.is_file())
            _mount(mounted, f"remount,size={ROOM}")
            again = reference.launcher.run(reference.curate(run))
            identical += again.code == 0 and digest(run) == reference.digest
        finally:
            subprocess.run(["umount", str(mounted)], check=True)
    shutil.rmtree(mounted)
    header = ("sizes", "filled up", "file named", "short files that look whole", "identical with room again")
    return measure.table(header, [(sizes, full, named, short, identical)])


def _mount(place: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True).returncode == 0


def _is_short(reference: Reference, path: Path, run: Path) -> bool:
    """Whether a file has the name of a whole one and another size; JSON files hold times, so theirs differ."""
    twin = reference.run / path.relative_to(run)
    return path.suffix != ".json" and twin.exists() and path.stat().st_size != twin.stat().st_size
