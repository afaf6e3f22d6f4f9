"""A step at work: the artifacts and stages that any step makes, from the documents still in to their scores."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sluice.pipelines.base.cuts import Cut
from sluice.pipelines.base.runs import CurrentRun
from sluice.transforms.stages.artifacts import Artifact, Maker
from sluice.transforms.stages.order import Order

if TYPE_CHECKING:  # heavy: Beam, which commands that only read a run do without
    import apache_beam as beam

    from sluice.transforms.scores.simple import WriteScores


@dataclass(frozen=True)
class Stage:
    """One job: `transform` fills `artifacts` (the last one is the stage's own) and finishes them."""

    name: str
    artifacts: tuple[Artifact, ...]
    transform: "beam.PTransform"

    @property
    def finished(self) -> bool:
        return all(artifact.finished for artifact in self.artifacts)


@dataclass(frozen=True)
class Scored:
    """What a step's stages made. artifact: its scores; those strictly above the threshold go, None: as the target asks.

    scale: a score divided by it is what people see (a cosine); clusters: the step's last clustering, where it has one.
    """

    artifact: Artifact
    threshold: int | float | None = None
    scale: int = 1
    clusters: Artifact | None = None


class Work:
    """What the stages of a step are made of.

    folder: the step's own in the run. before: who is still in (None: every document); embeddings: None unless the step
    needs vectors; cut: how much stays, of steps whose options say so.
    """

    def __init__(
        self, run: CurrentRun, folder: str, cut: Cut | None, *, before: Artifact | None, embeddings: Artifact | None
    ):
        self.run, self.folder, self.cut, self.before, self._embeddings = run, folder, cut, before, embeddings
        self.name = folder.removeprefix("steps/")
        self.seed, self.inventory = run.recipe.seed, run.inventory

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
        return self.by_and_target[1]

    @property
    def by_and_target(self) -> tuple[str, int]:
        """What is counted, documents or tokens, and `target`."""
        totals = self.documents.manifest["totals"]
        assert self.cut is not None, self.name
        return self.cut.target(documents=totals["documents"], tokens=totals["tokens"])

    # Parts of steps ---------------------------------------------------------------------------------------------

    def artifact(self, folder: str, maker: type[Maker], config: Any, *inputs: Artifact | None) -> Artifact:
        """The artifact in a folder of the step, keyed as Run.artifact does, and by the seed."""
        return self.run.artifact(f"{self.folder}/{folder}", maker, [config, self.seed], *inputs)

    def stage(self, name: str, artifact: Artifact, transform: "beam.PTransform") -> Stage:
        return Stage(f"{self.name}/{name}", (artifact,), transform)

    def find_copies(self, source: Artifact, column: str, order: Order) -> tuple[Artifact, Stage]:
        """Documents with equal 16-byte values in a column of `source`: each one's first in the order."""
        # heavy: Beam
        from sluice.transforms.scores.copies import Digests, FindCopies

        copies = self.artifact("copies", FindCopies, [column, asdict(order)], self.documents, source, self.before)
        digests = Digests(self.documents, source, column, self.before, order, self.seed)
        transform = FindCopies(self.inventory, copies, digests, self.documents.manifest["rows"])
        return copies, self.stage("copies", copies, transform)

    def score_units(self, write: "WriteScores") -> Stage:
        """Scores that every unit finds by itself."""
        # heavy: Beam
        from sluice.transforms.stages.stage import WriteUnits

        return self.stage("scores", write.target, WriteUnits(self.inventory, write.target, write))
