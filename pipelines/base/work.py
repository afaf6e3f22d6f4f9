"""A step at work: the artifacts and stages that any step makes, from the documents still in to those it keeps."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from sluice.models.cut import select
from sluice.pipelines.base.step import Step
from sluice.transforms.outcome.cut import Cut, Ranked
from sluice.transforms.outcome.decisions import Step as DecidedStep
from sluice.transforms.scores.copies import Digests, FindCopies
from sluice.transforms.scores.simple import WriteScores
from sluice.transforms.stages.artifacts import Artifact, Maker
from sluice.transforms.stages.order import Order
from sluice.transforms.stages.stage import WriteUnits

if TYPE_CHECKING:
    from sluice.pipelines.run.run import Run


class UnreachableTarget(ValueError):
    """A step cannot remove as much as its cut asks for."""


@dataclass(frozen=True)
class Stage:
    """One job: `transform` fills `artifacts` (the last one is the stage's own) and finishes them."""

    name: str
    artifacts: tuple[Artifact, ...]
    transform: beam.PTransform

    @property
    def finished(self) -> bool:
        return all(artifact.finished for artifact in self.artifacts)


class Work:
    """One step of a run. The step's stages fill in `scores`, and `threshold` and `scale` where they have one.

    before: who is still in (None: every document); embeddings: None unless the step needs vectors.
    """

    scores: Artifact
    keep: Artifact

    def __init__(self, run: "Run", folder: str, step: Step, *, before: Artifact | None, embeddings: Artifact | None):
        self.run, self.folder, self.step = run, folder, step
        self.before, self._embeddings = before, embeddings
        self.name = folder.removeprefix("steps/")
        self.seed, self.units, self.inventory = run.recipe.seed, run.units, run.inventory
        # A score divided by the scale is what people see (a cosine); scores strictly above the threshold go.
        self.scale = 1
        self.threshold: int | float | None = None
        # Its last clustering, where it has one.
        self.clusters: Artifact | None = None

    @property
    def documents(self) -> Artifact:
        return self.run.documents

    @property
    def embeddings(self) -> Artifact:
        if self._embeddings is None:
            raise ValueError(f"step {self.name} needs embeddings")
        return self._embeddings

    @property
    def alive(self) -> int:
        """How many documents are still in."""
        if self.before is None:
            return self.documents.manifest["totals"]["documents"]
        return self.before.manifest["totals"]["kept"]

    @property
    def target(self) -> int:
        """How many documents (or tokens, as the step's cut says) are left after the step at most."""
        return self._by_and_target[1]

    @property
    def _by_and_target(self) -> tuple[str, int]:
        totals = self.documents.manifest["totals"]
        assert self.step.asked is not None, self.name
        return self.step.asked.target(documents=totals["documents"], tokens=totals["tokens"])

    def stages(self) -> Iterator[Stage]:
        yield from self.step.stages(self)
        yield self._cut()

    # Parts of steps ---------------------------------------------------------------------------------------------

    def artifact(self, folder: str, maker: type[Maker], config: Any, *inputs: Artifact | None) -> Artifact:
        """The artifact in a folder of the step, keyed as Run.artifact does, and by the seed."""
        return self.run.artifact(f"{self.folder}/{folder}", maker, [config, self.seed], *inputs)

    def stage(self, name: str, artifact: Artifact, transform: beam.PTransform) -> Stage:
        return Stage(f"{self.name}/{name}", (artifact,), transform)

    def find_copies(self, source: Artifact, column: str, order: Order) -> tuple[Artifact, Stage]:
        """Documents with equal 16-byte values in a column of `source`: each one's first in the order."""
        copies = self.artifact("copies", FindCopies, [column, asdict(order)], self.documents, source, self.before)
        digests = Digests(self.documents, source, column, self.before, order, self.seed)
        transform = FindCopies(self.inventory, copies, digests, self.documents.manifest["rows"])
        return copies, self.stage("copies", copies, transform)

    def score_units(self, write: WriteScores) -> Stage:
        """Scores that every unit finds by itself."""
        self.scores = write.target
        return self.stage("scores", self.scores, WriteUnits(self.inventory, self.scores, write))

    # The cut ----------------------------------------------------------------------------------------------------

    def _cut(self) -> Stage:
        by, target = "documents", None
        if self.threshold is None:
            by, target = self._by_and_target
            self._check_reachable(by, target)
        self.keep = self.artifact("keep", Cut, [by, target, self.threshold], self.documents, self.scores)
        found = self.scores.manifest["totals"]
        scale = select.Scale.of(found.get("min_score"), found.get("max_score"))
        cut = Cut(
            self.inventory,
            self.keep,
            Ranked(self.documents, self.scores, self.seed, by, scale),
            most=target,
            threshold=self.threshold,
            documents=found["alive"],
            shown_scale=self.scale,
        )
        return self.stage("keep", self.keep, cut)

    def _check_reachable(self, by: str, target: int) -> None:
        scores = self.scores.manifest["totals"]
        suffix = "" if by == "documents" else "_tokens"
        everything = self.documents.manifest["totals"][by]
        alive, removable = scores[f"alive{suffix}"], scores[f"removable{suffix}"]
        if target < alive - removable:
            guarded = [f"{name} {', '.join(sources)}" for name, sources in asdict(self.step.guard).items() if sources]
            raise UnreachableTarget(
                f"step {self.name} cannot go down to {target:,} of {everything:,} {by} "
                f"({target / everything:.1%}): of the {alive:,} still in it can remove {removable:,}, so it can keep "
                f"from {(alive - removable) / everything:.1%} ({alive - removable:,}) "
                f"to {alive / everything:.1%} ({alive:,})"
                + (f"; its sources, which must be spelt as the documents' are: {'; '.join(guarded)}" if guarded else "")
            )

    def decided(self) -> DecidedStep:
        """The finished step as decisions show it; call once its stages are finished."""
        threshold = self.threshold
        if threshold is None:
            # The lowest score that was removed: what the target came out as.
            threshold = self.keep.manifest["totals"].get("min_removed_score")
        shown = None if threshold is None else threshold / self.scale
        return DecidedStep(self.name, self.scores, self.keep, float(self.scale), shown, self.clusters, self.before)
