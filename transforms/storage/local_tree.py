"""The entries below a local folder, through links, each file and folder once."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sluice.transforms.storage import FileInfo

HIDDEN = "hidden names"
BROKEN = "broken links"
AGAIN = "links to what is read already"
FOLDER = "folders"
SPECIAL = "special files"


class Entry(NamedTuple):
    """A file to read, or what is not read and why: one of the kinds above."""

    path: str
    unread: str = ""
    folder: bool = False
    info: FileInfo | None = None


class Tree:
    """Walks folders. What is reached without a link comes first, so that it keeps its own path.

    hidden(name, depth) and enter(name, depth) judge the names of entries; those directly in the folder have depth 0.
    """

    def __init__(
        self, hidden: Callable[[str, int], bool], enter: Callable[[str, int], bool] = lambda name, depth: True
    ):
        self._hidden, self._enter = hidden, enter
        self._folders: set[str] = set()
        self._files: set[str] = set()
        self._links: list[tuple[str, int]] = []

    def entries(self, folder: str) -> Iterator[Entry]:
        """All entries below a folder, in no order. Raises OSError for a folder that cannot be listed."""
        if os.path.isdir(folder):
            yield from self._below(folder, os.path.realpath(folder), 0)
        while self._links:
            links, self._links = sorted(self._links), []
            for path, depth in links:
                yield from self._followed(path, depth)

    def _below(self, folder: str, real: str, depth: int) -> Iterator[Entry]:
        stack = [(folder, real, depth)]
        while stack:
            folder, real, depth = stack.pop()
            if real in self._folders:
                yield Entry(folder, AGAIN, folder=True)
                continue
            self._folders.add(real)
            with os.scandir(folder) as found:
                for entry in found:
                    path = f"{folder.rstrip('/')}/{entry.name}"
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if self._hidden(entry.name, depth):
                        yield Entry(path, HIDDEN, folder=is_folder)
                    elif entry.is_symlink():
                        self._links.append((path, depth))
                    elif is_folder and self._enter(entry.name, depth):
                        stack.append((path, f"{real.rstrip('/')}/{entry.name}", depth + 1))
                    elif is_folder:
                        yield Entry(path, FOLDER)
                    elif not entry.is_file():
                        yield Entry(path, SPECIAL)
                    else:
                        yield from self._file(path, f"{real.rstrip('/')}/{entry.name}")

    def _followed(self, path: str, depth: int) -> Iterator[Entry]:
        name, real = path.rpartition("/")[2], os.path.realpath(path)
        if not os.path.exists(path):
            yield Entry(path, BROKEN)
        elif os.path.isdir(real):
            if self._enter(name, depth):
                yield from self._below(path, real, depth + 1)
            else:
                yield Entry(path, FOLDER)
        elif not os.path.isfile(real):
            yield Entry(path, SPECIAL)
        else:
            yield from self._file(path, real)

    def _file(self, path: str, real: str) -> Iterator[Entry]:
        if real in self._files:
            yield Entry(path, AGAIN)
            return
        self._files.add(real)
        yield Entry(path)
