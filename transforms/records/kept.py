"""Which of a unit's records are kept, handed out in order while the unit is read again."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from sluice.transforms.storage.streams import UnreadableFile


class KeepMask:
    """One bool for every record of a unit, taken from the front; as many must be found as are known."""

    def __init__(self, keep: Any, *, on_unreadable: str = "fail"):
        self._keep = np.asarray(keep, bool)
        self._on_unreadable = on_unreadable
        self._at = 0
        self.kept = int(np.count_nonzero(self._keep))

    def take(self, records: int) -> np.ndarray:
        """The bools of the next `records` records. Raises ValueError when there are not that many."""
        chosen = self._keep[self._at : self._at + records]
        self._at += records
        if len(chosen) < records:
            raise ValueError(f"the unit has more records than the {len(self._keep)} it was read with")
        return chosen

    @contextlib.contextmanager
    def tolerate(self) -> Iterator[None]:
        """Around a span: an unreadable file counts as one record more, as it did when first read."""
        try:
            yield
        except UnreadableFile:
            if self._on_unreadable == "fail":
                raise
            if self.take(1).any():
                raise

    def finish(self) -> None:
        """Raises ValueError when records known before were not found again."""
        if self._at != len(self._keep):
            raise ValueError(f"the unit has {self._at} records; it was read with {len(self._keep)}")
