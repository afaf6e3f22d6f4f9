"""What processes that were killed leave in a run directory: temporary files, and windows of parts that are there."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.storage import filesystems, processes

# As committing names them; older releases had the file's name there and nothing of the process.
TEMPORARY = re.compile(r"\.(?:([0-9a-f]{8}-\d+-[0-9a-z]+)\.)?.*[0-9a-f]{32}\.tmp")
WINDOWS = re.compile(r"windows-\d+-([0-9a-f]{10})")
# Of a process on another machine nobody can tell whether it lives; no part takes that long.
OLD = 24 * 3600


def remove_leftovers(url: str) -> int:
    """Delete them below a local run directory; how many there were. Stores hold none: parts are put there whole.

    Files of processes that live stay, and what cannot be deleted.
    """
    if not filesystems.is_local(url):
        return 0
    root = filesystems.filesystem(url)[1]
    removed = 0
    for folder, _, names in os.walk(root):
        for name in names:
            if (match := TEMPORARY.fullmatch(name)) and _abandoned(Path(folder, name), match[1]):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))
                    removed += 1
    return removed + _remove_windows(Path(root) / "embeddings")


def _abandoned(path: Path, process: str | None) -> bool:
    alive = processes.lives(process) if process else None
    if alive is not None:
        return not alive
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > OLD
    return False


def _remove_windows(folder: Path) -> int:
    """Of a finished stage: its parts are there."""
    if not folder.is_dir() or (manifest := find_manifest(str(folder))) is None:
        return 0
    removed = 0
    for path in folder.iterdir():
        if (match := WINDOWS.fullmatch(path.name)) and match[1] == manifest["key"][:10]:
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
    return removed
