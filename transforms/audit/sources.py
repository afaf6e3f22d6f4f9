"""What became of each source, counted while a report's units pass by."""

from collections import defaultdict
from typing import Any

import numpy as np

from sluice.models.clustering import skew
from sluice.transforms.audit.views import View

# Sources that are counted one by one (a web corpus has a source for each site), and those that a report lists.
MOST_COUNTED = 100_000
LISTED = 50


class SourceTally:
    """Documents of each source by fate; further sources than MOST_COUNTED, and no source, count together."""

    def __init__(self, fates: int):
        self.fates = fates
        self.counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(fates, np.int64))
        self.others = np.zeros(fates, np.int64)
        self.told_apart = False

    def add(self, view: View) -> None:
        if view.sources is None:
            return
        self.told_apart = True
        codes, names = view.sources
        found = np.bincount(codes * self.fates + view.fate, minlength=(len(names) + 1) * self.fates)
        table = found.reshape(-1, self.fates)
        self.others += table[-1]
        for name, row in zip(names, table[:-1]):
            if name in self.counts or len(self.counts) < MOST_COUNTED:
                self.counts[name] += row
            else:
                self.others += row

    def summary(self, steps: list[str], named: dict[str, tuple[str, ...]]) -> dict[str, Any] | None:
        """The LISTED largest sources and how many there are; None where the run does not tell them apart.

        named: sources by the step whose options say them; `unknown` are those that no document has. `skewed` are those
        that kept much less or more than the average, as clustering.skew.marks tells them, furthest from it first.
        """
        if not self.told_apart:
            return None
        ordered = sorted(self.counts, key=lambda name: (-int(self.counts[name].sum()), name))
        rows = [{"source": name, **self._row(self.counts[name], steps)} for name in ordered]
        without = self._row(self.others, steps)
        documents, kept = (sum(row[count] for row in [*rows, without]) for count in ("documents", "kept"))
        marks = skew.marks([(row["documents"], row["kept"]) for row in rows], documents=documents, kept=kept)
        for row, mark in zip(rows, marks):
            row["mark"] = mark
        skewed = [row for row in rows if row["mark"]]
        skewed.sort(key=lambda row: (-abs(row["kept"] * documents - row["documents"] * kept), row["source"]))
        return {
            "sources": len(self.counts),
            "share": kept / documents if documents else None,
            "largest": rows[:LISTED],
            "few": marks.count(skew.FEW),
            "many": marks.count(skew.MANY),
            "skewed": skewed[:LISTED],
            "without": without,
            "unknown": {} if len(self.counts) >= MOST_COUNTED else self._unknown(named),
        }

    def _unknown(self, named: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
        unknown = {step: [name for name in names if name not in self.counts] for step, names in named.items()}
        return {step: names for step, names in unknown.items() if names}

    @staticmethod
    def _row(counts: np.ndarray, steps: list[str]) -> dict[str, Any]:
        return {
            "documents": int(counts.sum()),
            "kept": int(counts[len(steps)]),
            "removed": {step: int(count) for step, count in zip(steps, counts)},
        }
