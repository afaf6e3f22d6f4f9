"""A finished run from Python: what was decided, why, and the report."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.pipelines.commands.explain.command import explain
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.report.report import read_report
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.status.status import status
from sluice.transforms.outcome.fates import KEPT


class Run:
    """The run in a directory, local or at an fsspec URL; what it offers is read when asked for, and checked.

    Raises FileNotFoundError for a place that is no run directory, and, where something is asked for, when that is not
    finished.
    """

    def __init__(self, url: str):
        self._run = Finished(str(url))

    def __repr__(self) -> str:
        return f"sluice.Run({self.url!r})"

    @property
    def url(self) -> str:
        return self._run.url

    @property
    def recipe(self) -> Recipe:
        """What the run was asked to do."""
        return self._run.recipe

    @cached_property
    def report(self) -> dict[str, Any]:
        """report.json: counts, step by step."""
        return read_report(self.url)

    def status(self) -> dict[str, Any]:
        """How far it is, as `sluice status --json` has it."""
        return status(self.url)

    def decisions(self, columns: Sequence[str] | None = None) -> pa.Table:
        """A row for each valid document, in the order of the input: id, unit, row, fate, score, neighbour and so on.

        columns: those to read, None for all. The table is held in memory.
        """
        decisions = self._run.artifact("decisions")
        names = None if columns is None else list(columns)
        return pa.concat_tables(decisions.read(part["unit"], names) for part in decisions.manifest["parts"])

    def kept_ids(self) -> pa.ChunkedArray:
        """The ids of the documents that were kept, in the order of the input."""
        decisions = self.decisions(["id", "fate"])
        return decisions.filter(pc.equal(decisions["fate"], KEPT))["id"]

    def explain(self, document: str, *, characters: int | None = None) -> dict[str, Any]:
        """Why a document was kept or went, and what it resembles, as `sluice explain --json` has it.

        document: an id, or unit:row. characters: texts are cut to so many; None: whole. Raises ValueError for an
        unknown document.
        """
        return explain(self.url, str(document), characters=characters)
