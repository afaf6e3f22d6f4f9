"""Length as a score: the number of characters or tokens that documents/ holds."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sluice.transforms.scores.base import NEVER
from sluice.transforms.scores.simple import WriteScores
from sluice.transforms.stages.columns import not_null, numbers


@dataclass
class LengthScores(WriteScores):
    """The longest first; nothing against a document whose length is not known. by: `tokens` or `characters`."""

    version = 3

    by: str = "tokens"

    def columns(self) -> list[str]:
        return [] if self.by == "tokens" else [self.by]

    def score(self, unit: int, documents: pa.Table) -> tuple[np.ndarray, None]:
        length = numbers(documents, self.by, missing=0).astype(np.int64)
        return np.where(not_null(documents, self.by), length, NEVER), None
