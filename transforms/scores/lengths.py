"""Length as a score: the number of characters or tokens that documents/ holds."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sluice.transforms.scores.base import NEVER
from sluice.transforms.scores.simple import WriteScores


@dataclass
class LengthScores(WriteScores):
    """The longest first; nothing against a document whose length is not known. by: `tokens` or `characters`."""

    version = 3

    by: str = "tokens"

    def columns(self) -> list[str]:
        return [] if self.by == "tokens" else [self.by]

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        column = documents[self.by].combine_chunks()
        known = column.is_valid().to_numpy(zero_copy_only=False)
        length = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        return np.where(known, length, NEVER), None
