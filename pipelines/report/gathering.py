"""One pass over the parts of a finished run, and what the report counts in it."""

from dataclasses import dataclass
from typing import Any

from sluice.pipelines.run.finished import Finished
from sluice.transforms.audit.accounting import Totals, views
from sluice.transforms.audit.ledger import Ledger
from sluice.transforms.audit.samples import Examples, Sample, StepTally
from sluice.transforms.audit.sources import SourceTally
from sluice.transforms.audit.views import AuditedStep, Sources


@dataclass(frozen=True)
class Gathered:
    """A finished run and what was counted in it; `tallies` has one for each of `steps`. counted: tokens are known."""

    run: Finished
    steps: list[AuditedStep]
    sources: Sources
    counted: bool
    totals: Totals
    tallies: list[StepTally]
    sample: Sample
    examples: Examples
    by_source: SourceTally

    def tokens(self, count: int) -> int | None:
        """A number of tokens, or None where nothing counts them."""
        return count if self.counted else None


def open_ledger(run: Finished) -> Ledger:
    """An empty ledger with room for every record of a run."""
    parts = run.artifact("documents").manifest["parts"]
    return Ledger({part["unit"]: part["stats"]["records"] for part in parts})


def gather(run: Finished, ledger: Ledger) -> Gathered:
    """Read all parts once; every document's fate and neighbour are in the ledger afterwards.

    Raises AccountingError where documents or tokens do not add up.
    """
    steps = [run.step(name) for name in run.steps]
    seed = run.recipe.seed
    sources = Sources(
        run.artifact("documents"),
        run.artifact("rejected"),
        run.artifact("decisions"),
        run.artifact("corpus/_parts"),
        tuple(steps),
    )
    gathered = Gathered(
        run,
        steps,
        sources,
        counted=run.recipe.counting[0] != "none",
        totals=Totals(),
        tallies=[StepTally(number, step) for number, step in enumerate(steps)],
        sample=Sample(sources.documents.manifest["rows"], seed),
        examples=Examples(len(steps), seed),
        by_source=SourceTally(len(steps) + 1),
    )
    gatherers: list[Any] = [*gathered.tallies, gathered.sample, gathered.examples, gathered.by_source]
    for view in views(sources, gathered.totals):
        ledger.add(view.unit, view.rows, fate=view.fate, neighbours=view.neighbours, linked=view.linked)
        for gatherer in gatherers:
            gatherer.add(view)
    return gathered
