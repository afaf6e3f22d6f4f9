"""What is done of a unit whose part takes minutes: a worker that was stopped goes on from there."""

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from sluice.transforms import storage
from sluice.transforms.stages.artifacts import Artifact

# A worker that is killed loses the work of so many seconds, and the window that it was at.
SECONDS = 10.0


class Unfinished:
    """Windows of one unit's part of `target`, written beside it every SECONDS until the part is whole.

    windows: (table, stats) of those that an earlier try left, from the unit's first one on.
    """

    def __init__(self, target: Artifact, unit: int) -> None:
        self._files = Artifact(storage.join(target.url, f"windows-{unit:05d}-{target.key[:10]}"), target.key)
        self._written = 0
        self.windows = list(self._left())
        self._held: list[tuple[pa.Table, dict[str, Any]]] = []
        self._since = time.monotonic()

    def add(self, table: pa.Table, stats: dict[str, Any]) -> None:
        """The next window, which took work."""
        self._held.append((table, stats))
        if time.monotonic() - self._since < SECONDS:
            return
        tables = [table for table, _ in self._held]
        stats = {"rows": list(map(len, tables)), "stats": [stats for _, stats in self._held]}
        self._files.write(self._written, tables, table.schema, stats)
        self._written += 1
        self._held, self._since = [], time.monotonic()

    def drop(self) -> None:
        """Delete them: the part is there."""
        if self._written:
            storage.delete_folder(self._files.url)

    def _left(self) -> Iterator[tuple[pa.Table, dict[str, Any]]]:
        while found := self._files.existing(self._written):
            table = self._files.read_unfinished(self._written)
            self._written += 1
            start = 0
            for rows, stats in zip(found.stats["rows"], found.stats["stats"]):
                yield table.slice(start, rows), stats
                start += rows
        # Windows behind a damaged one were of other rows than those that are written in its place.
        behind = self._written + 1
        while storage.exists(path := self._files.path(behind)):
            storage.delete(path)
            behind += 1
