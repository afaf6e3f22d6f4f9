"""target: what is most like benchmark examples stays."""

from collections.abc import Generator
from dataclasses import asdict
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sluice.models.arrays.vectors import COARSE
from sluice.pipelines.base.cuts import Cut, only_targets
from sluice.pipelines.base.items import check_dimension, check_items
from sluice.pipelines.base.layout import SCORED, Slot
from sluice.pipelines.base.places import absolute_paths
from sluice.pipelines.base.runs import CurrentRun
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.clusters.members import Members
from sluice.transforms.scores.benchmark_items.items import Items
from sluice.transforms.stages.manifests import find_manifest


class Target(Step):
    """Benchmark-targeted ranking, BETR (arXiv 2507.12466): documents least like the targets go.

    targets: files of benchmark examples (training examples, never test items), JSON lines as a rule; text, id and
    vector are fields of their records (a vector only where the documents' are given too). A sample of documents is
    ranked by similarity to every target; the share `positives` with the best ranks teaches a logistic regression on
    the vectors (penalty on the squared weights), which scores all documents.
    """

    needs_vectors: ClassVar[bool] = True

    step: Literal["target"] = "target"
    targets: tuple[str, ...] = Field(min_length=1)
    text: str | None = "text"
    id: str | None = None
    vector: str | None = None
    sample: int = Field(default=100_000, ge=2, le=4_000_000)
    positives: float = Field(default=0.1, gt=0, lt=1)
    penalty: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    cut: Cut

    _absolute = field_validator("targets")(absolute_paths)

    @model_validator(mode="after")
    def _ranks(self) -> "Target":
        only_targets(self.step, self.cut)
        return self

    @property
    def items(self) -> Items:
        return Items(self.targets, self.text, self.id, self.vector)

    def layout(self) -> tuple[Slot, ...]:
        return (Slot("items", "one", law="fixed"), Slot("classifier", most=self.sample), *SCORED)

    def check(self, run: CurrentRun) -> None:
        check_items(self.items, run, by_vectors=True)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.benchmark_items.read_items import ReadItems
        from sluice.transforms.scores.benchmark_items.target import MakeClassifier, TargetScores, Teaching

        items = work.artifact("items", ReadItems, [self.items.digest(), work.run.embedding_recipe])
        yield work.stage("items", items, ReadItems(items, self.items, work.run.embedder, embed=True))
        check_dimension(work.name, items, work.embeddings)
        members = Members(work.documents, work.embeddings, work.before)
        teaching = Teaching(min(self.sample, work.alive), work.alive, self.positives, self.penalty, work.seed)
        classifier = work.artifact(
            "classifier", MakeClassifier, asdict(teaching), items, members.documents, members.embeddings, members.keep
        )
        make = MakeClassifier(work.inventory, classifier, members, items, teaching)
        yield work.stage("classifier", classifier, make)
        scores = work.artifact(
            "scores", TargetScores, asdict(self.guard), classifier, members.documents, members.embeddings, members.keep
        )
        yield work.score_units(
            TargetScores(scores, work.documents, work.before, self.guard, work.embeddings, classifier)
        )
        return Scored(scores, scale=COARSE**2)

    def details(self, step: AuditedStep) -> dict[str, Any] | None:
        manifest = find_manifest(step.scores.url.rsplit("/", 1)[0] + "/classifier")
        return None if manifest is None else {"classifier": manifest["totals"]}
