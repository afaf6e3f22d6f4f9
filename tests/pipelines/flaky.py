"""flaky://: an object store in memory whose operations can be made to fail, each one or every n-th.

Its puts are worse than a real store's: one that fails may leave the first half of the object.
"""

from collections.abc import Callable
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

PROTOCOL = "flaky"
# What Sluice asks of a store; what else fsspec offers is made of these.
READS = ("cat_file", "info", "find", "get_file")
WRITES = ("put_file", "pipe_file", "rm_file")


class StoreDown(OSError):
    """What the store answers when it fails."""


class FlakyFileSystem(MemoryFileSystem):
    """`fails(name, path, number)` says whether an operation fails; the first one since `reset` has number 1."""

    protocol = PROTOCOL
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec's memory file system keeps its files in the class
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    fails: Callable[[str, str, int], bool] = staticmethod(lambda name, path, number: False)
    operations: list[tuple[str, str]] = []  # noqa: RUF012
    failures: list[tuple[str, str]] = []  # noqa: RUF012

    @classmethod
    def reset(cls, fails: Callable[[str, str, int], bool] | None = None) -> None:
        """Nothing fails any more, or what `fails` says; the counts start again, files stay."""
        cls.fails = staticmethod(fails or (lambda name, path, number: False))
        cls.operations, cls.failures = [], []

    def _operation(self, name: str, path: str) -> bool:
        self.operations.append((name, path))
        failed = type(self).fails(name, path, len(self.operations))
        if failed:
            self.failures.append((name, path))
        return failed

    def _read(self, name: str, path: str, *args: Any, **options: Any) -> Any:
        if self._operation(name, path):
            raise StoreDown(f"503 Service Unavailable: {name} {path}")
        return getattr(super(), name)(path, *args, **options)

    def cat_file(self, path: str, *args: Any, **options: Any) -> bytes:
        return self._read("cat_file", path, *args, **options)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return self._read("info", path, **options)

    def find(self, path: str, *args: Any, **options: Any) -> Any:
        return self._read("find", path, *args, **options)

    def get_file(self, rpath: str, lpath: str, *args: Any, **options: Any) -> None:
        failed = self._operation("get_file", rpath)
        found = self.store.get(self._strip_protocol(rpath))
        if found is None:
            raise FileNotFoundError(rpath)
        # Not by way of open(): the memory file system gives all readers one file with one position.
        data = found.getvalue()
        with open(lpath, "wb") as file:
            file.write(data[: len(data) // 2] if failed else data)
        if failed:
            raise StoreDown(f"503 Service Unavailable: get_file {rpath}")

    def put_file(self, lpath: str, rpath: str, *args: Any, **options: Any) -> None:
        if options.get("mode") == "create" and self._strip_protocol(rpath) in self.store:
            raise FileExistsError(rpath)
        with open(lpath, "rb") as file:
            self._put("put_file", rpath, file.read())

    def pipe_file(self, path: str, value: bytes, *args: Any, **options: Any) -> None:
        self._put("pipe_file", path, value)

    def _put(self, name: str, path: str, data: bytes) -> None:
        failed = self._operation(name, path)
        super().pipe_file(path, data[: len(data) // 2] if failed else data)
        if failed:
            raise StoreDown(f"503 Service Unavailable: {name} {path}")

    def rm_file(self, path: str) -> None:
        if self._operation("rm_file", path):
            raise StoreDown(f"503 Service Unavailable: rm_file {path}")
        super().rm_file(path)


fsspec.register_implementation(PROTOCOL, FlakyFileSystem, clobber=True)
