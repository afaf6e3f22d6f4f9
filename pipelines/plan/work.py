"""A stage's work, before anything is known about machines, and what all stages share of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from sluice.models.forecast import growth
from sluice.models.forecast.clusters import Skew
from sluice.models.forecast.ranges import ZERO, Range
from sluice.pipelines.base.step import Step
from sluice.pipelines.plan.embed import Embedded, Given
from sluice.pipelines.plan.measure import PART_BYTES, Counted, Exported
from sluice.pipelines.plan.rates import NOT_MEASURED, PART_SHUFFLED, SPREAD, Rates
from sluice.pipelines.plan.survivors import Alive
from sluice.pipelines.recipe.recipe import Recipe
from sluice.transforms.stages import memory

MANIFEST_BYTES = 2500
# A part of two columns takes a fifth of what one of ten does.
BESIDE_ROWS = Range(0.2, 0.5, 1.4)


@dataclass(frozen=True)
class Work:
    """A stage. seconds: core-seconds at speed 1, shared out over `tasks`; alone: those of one worker. flops: of matrix
    products, as if they ran as fast as a plain one, shared out; trained: those of one worker.

    Where a model runs on an accelerator, device_flops are its operations and host core-seconds of tokenization, and
    flops count for nothing.
    """

    stage: str
    tasks: float
    basis: str
    seconds: Range = ZERO
    alone: Range = ZERO
    flops: Range = ZERO
    trained: Range = ZERO
    device_flops: Range = ZERO
    host: Range = ZERO
    memory: int = memory.PROCESS
    shuffled: Range = ZERO
    stored: Range = ZERO


@dataclass(frozen=True)
class Facts:
    """Everything that is known before a run.

    everything: the sample is the corpus; largest_unit: its share of all bytes; speed: of a core here beside those of
    the rates; plain_flops: operations of plain products a core-second here; steps: by name, with who is still in.
    """

    recipe: Recipe
    names: list[str]
    everything: bool
    units: int
    largest_unit: float
    files: int
    counted: Counted
    alive: list[Alive]
    rates: Rates
    dimension: int
    vectors: Embedded | Given | None
    weights: int
    exported: Exported
    skew: Skew | None
    speed: float
    plain_flops: float
    steps: dict[str, tuple[Step, Alive]] = field(default_factory=dict)

    @property
    def documents(self) -> Range:
        return self.counted.documents

    @property
    def kept(self) -> Range:
        return self.alive[-1].after

    @cached_property
    def tasks(self) -> float:
        """Units, or fewer where one of them is most of the corpus."""
        return min(float(self.units), 1 / max(self.largest_unit, 1e-9))


def ends(value: Range, of: Callable[[float], float]) -> Range:
    """A growing function of each end."""
    return Range(of(value.low), of(value.likely), of(value.high))


def parts_bytes(facts: Facts) -> Range:
    """Bytes that a stage stores beside its rows: its manifest and what every part takes."""
    return Range.exactly(MANIFEST_BYTES + facts.units * PART_BYTES).times(BESIDE_ROWS)


def parts_sent(facts: Facts) -> Range:
    """Bytes of the descriptions of parts, on their way to the manifest."""
    return Range.around(PART_SHUFFLED * facts.units, 0.3)


def job(facts: Facts) -> Range:
    """Core-seconds of starting a job, more in a process that has not run one."""
    return Range.exactly(facts.rates.job_seconds).times(Range(0.7, 1.3, 3.0))


def sent_bytes(facts: Facts, part: str, *, clusters: int, documents: Range) -> Range:
    """Arrays of counts go once for each bundle: at least one, at most one for each unit."""

    def counts(bundles: float, count: float) -> float:
        return growth.shuffled_counts(part, clusters=clusters, bundles=bundles, documents=count)

    likely = min(facts.units, 4)
    return (
        parts_sent(facts)
        .plus(Range(counts(1, documents.low), counts(likely, documents.likely), counts(facts.units, documents.high)))
        .times(Range(0.8, 1.0, 1.2))
    )


def plain_stage(facts: Facts, name: str, kind: str, alive: Range) -> Work:
    """What the rates say of a kind of stage, as semdedup/scores, over the documents still in."""
    rate = facts.rates.stage(kind, characters=facts.counted.characters.likely)
    sent = sent_bytes(facts, kind.rpartition("/")[2], clusters=1, documents=alive)
    wide = Range(0.1, 1.0, 10.0) if rate.basis == NOT_MEASURED else Range(0.8, 1.0, 1.2)
    return Work(
        name,
        facts.tasks,
        rate.basis,
        alive.times(rate.seconds).times(SPREAD[rate.basis]),
        job(facts),
        shuffled=alive.times(rate.shuffled).times(wide).plus(sent),
        stored=alive.times(rate.stored).times(wide).plus(parts_bytes(facts)),
    )
