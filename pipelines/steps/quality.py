"""quality: text of low quality by simple rules about its lines."""

from collections.abc import Generator
from dataclasses import asdict
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sluice.models.methods import quality
from sluice.models.methods.parser_rules import PREFIX, SpacyParser
from sluice.pipelines.base.cuts import Cut, only_targets
from sluice.pipelines.base.layout import SCORED, Slot
from sluice.pipelines.base.runs import CurrentRun
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.documents.texts import Texts

# Learning takes about 60 times that much memory.
MOST_BYTES = 40_000_000


class Quality(Step):
    """Documents of poor text go: those whose lines satisfy the fewest of ten rules, by weight (arXiv 2405.01582).

    weights: by rule, as {terminal_punctuation: 1, ...}, or `learn`: from a byte-level n-gram model trained on about
    `sample` of the documents still in and the first `sample_bytes` of each. parser: spacy:MODEL adds four rules about
    the parse of a line; spaCy and the model must be installed, on workers too.
    """

    needs_texts: ClassVar[bool] = True

    step: Literal["quality"] = "quality"
    weights: dict[str, float] | Literal["learn"] = "learn"
    sample: int = Field(default=5000, ge=2, le=200_000)
    sample_bytes: int = Field(default=4000, ge=100, le=100_000)
    parser: str | None = None
    cut: Cut

    @field_validator("parser")
    @classmethod
    def _known_parser(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith(PREFIX) or value == PREFIX):
            raise ValueError(f"parser is {PREFIX} and the name of a model, as {PREFIX}en_core_web_sm, not {value!r}")
        return value

    @model_validator(mode="after")
    def _targets(self) -> "Quality":
        only_targets(self.step, self.cut)
        if self.weights != "learn":
            quality.whole_weights(self.weights, parser=self.parser is not None)
        if self.sample * self.sample_bytes > MOST_BYTES:
            raise ValueError(
                f"quality: a sample of {self.sample:,} documents of {self.sample_bytes:,} bytes is more than a worker "
                f"learns from ({MOST_BYTES:,} bytes)"
            )
        return self

    def layout(self) -> tuple[Slot, ...]:
        return (Slot("weights", most=self.sample), *SCORED) if self.weights == "learn" else SCORED

    @property
    def parse(self) -> SpacyParser | None:
        return None if self.parser is None else SpacyParser(self.parser.removeprefix(PREFIX))

    def check(self, run: CurrentRun) -> None:
        if self.parse is not None:
            self.parse.check()

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.quality import FindWeights, LowQualityFirst, Validation, WriteTextScores
        from sluice.transforms.stages.stage import WriteUnits

        # Other versions parse otherwise: what is made with them is another artifact.
        described = [] if self.parse is None else [self.parse.describe()]
        texts = Texts(work.documents, work.before, work.run.fields, work.run.recipe.input.unreadable)
        weights = self.weights
        if weights == "learn":
            validation = Validation(self.sample, self.sample_bytes, work.alive, work.seed)
            config = [asdict(validation), *described]
            learnt = work.artifact("weights", FindWeights, config, work.documents, work.before)
            find = FindWeights(work.inventory, learnt, texts, validation, self.parse)
            yield work.stage("weights", learnt, find)
            weights = learnt.manifest["totals"]["weights"]
        assert isinstance(weights, dict), weights
        whole = quality.whole_weights(weights, parser=self.parser is not None)
        scored = [whole, *described, asdict(self.guard)]
        scores = work.artifact("scores", WriteTextScores, scored, work.documents, work.before)
        write = WriteTextScores(scores, texts, self.guard, LowQualityFirst(whole, self.parse))
        names = quality.RULES if self.parser is None else quality.ALL_RULES
        shown = {"weights": {name: weights.get(name, 0) for name in names}}
        yield work.stage("scores", scores, WriteUnits(work.inventory, scores, write, shown))
        return Scored(scores, scale=quality.SCALE)

    def rules(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        # Runs of earlier versions have no such column.
        return [one | {"cost": one["cost"] / quality.SCALE} for one in row.get("rules") or ()]

    def details(self, step: AuditedStep) -> dict[str, Any] | None:
        return {"weights": step.scores.manifest["config"]["weights"]}
