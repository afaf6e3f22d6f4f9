"""A step of a recipe: its options, what it needs, and the stages that score documents."""

from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np

from sluice.pipelines.base.cuts import ColumnOrder, Cut, SourceOrder, Strict
from sluice.pipelines.base.layout import SCORED, Clustering, Find, Slot
from sluice.pipelines.base.runs import CurrentRun, FinishedRun
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.scores.base import Guard


class Step(Strict):
    """A step of a recipe: its options, and the stages that score the documents still in; the cut is the same for all.

    only, protect: sources that the step may remove from, or never removes from.
    A file in pipelines/steps/ defines one subclass, with a field `step` that holds its name.
    """

    # What it needs to be there: vectors (given or from a model), the text itself, hashes of the texts.
    needs_vectors: ClassVar[bool] = False
    needs_texts: ClassVar[bool] = False
    needs_text_hashes: ClassVar[bool] = False
    # Whether a removed document has another of the corpus that it resembles.
    names_neighbours: ClassVar[bool] = False
    # Whether its scores are cosines, of which people know what they mean.
    scores_cosines: ClassVar[bool] = False
    # Of its removed documents, so many are shown at the end of a run.
    examples: ClassVar[int] = 1

    step: str
    only: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()

    def layout(self) -> tuple[Slot, ...]:
        """Its stages in order, with all that the data may make necessary; `stages` makes them, or some of them."""
        return SCORED

    def needed(self, find: Find) -> tuple[Slot, ...]:
        """Those of the layout that a run has, as far as its finished stages tell; find: by their folder."""
        return self.layout()

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(slot.folder for slot in self.layout() if not slot.repeat)

    @property
    def over_clusters(self) -> bool:
        """Whether it clusters the documents for itself."""
        return False

    @property
    def clustering_iterations(self) -> int | None:
        """How many times k-means goes over its sample, of steps over clusters."""
        return None

    def planned_clustering(self, documents: int, dimension: int) -> Clustering | None:
        """Its clustering, were so many documents still in; None where it trains no centroids.

        Raises ValueError where so many clusters are too many to train.
        """
        return None

    def most_in_cluster(self, dimension: int) -> int | None:
        """Documents that a cluster can have before it is split; None where none is."""
        return None

    @property
    def vector_scale(self) -> int | None:
        """Where it scores pairs of documents within clusters: what vectors are scaled by, whose products are scores."""
        return None

    @property
    def binding_rule(self) -> str | None:
        """The rule by which its scores hold for its own threshold only; None where they hold for any."""
        return None

    @property
    def other_runs(self) -> tuple[str, ...]:
        """Earlier runs that documents are compared with."""
        return ()

    @property
    def asked(self) -> Cut | None:
        """Its cut, of steps that have one."""
        return getattr(self, "cut", None)

    @property
    def guard(self) -> Guard:
        return Guard(self.only, self.protect)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric columns of the input that the step looks at."""
        order = getattr(self, "order", None)
        return (order.column,) if isinstance(order, ColumnOrder) else ()

    @property
    def named_sources(self) -> tuple[str, ...]:
        """Every source that an option names."""
        order = getattr(self, "order", None)
        return (*self.only, *self.protect, *(order.sources if isinstance(order, SourceOrder) else ()))

    @property
    def needs_source(self) -> bool:
        return bool(self.named_sources)

    @property
    def needs_tokens(self) -> bool:
        return self.asked is not None and self.asked.tokens is not None

    def bins(self, counts: np.ndarray, dimension: int) -> dict[int, float]:
        """What each bin of its scores weighs, by number, where it makes bins of its clusters.

        counts: documents of each cluster, int [k]; dimension: of their vectors.
        """
        return {}

    def notes(self, totals: dict[str, Any]) -> list[str]:
        """Sentences for the summary, from the totals in the manifest of the finished scores."""
        return []

    def not_compared(self, step: AuditedStep) -> list[str]:
        """Sentences for the summary about texts and items that the finished step could not look at."""
        return []

    def check(self, run: CurrentRun) -> None:
        """Look at the files that the step names, before any work. Raises ValueError or FileNotFoundError."""

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        """The stages up to the scores, each asked for when those before it are finished; returns what they made."""
        raise TypeError(f"{type(self).__name__} must define stages")

    def matched(self, run: FinishedRun, name: str, row: dict[str, Any]) -> dict[str, Any] | None:
        """What outside the run a document resembles, from its row of scores/: where, id, text and problem."""
        return None

    def rules(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The rules that cost a document most, from its row of scores/: rule, and cost as a share of the best score."""
        return []

    def details(self, step: AuditedStep) -> dict[str, Any] | None:
        """What the report says about the finished step that no other step has."""
        return None
