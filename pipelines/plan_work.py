"""What every stage of a recipe has to do: core-seconds, matrix products, memory, bytes; nothing yet about machines."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sluice.models import growth, two_level
from sluice.models.assign import choose_method
from sluice.models.cluster_forecast import Skew, largest_cluster
from sluice.models.ranges import ZERO, Range
from sluice.models.vectors import COARSE
from sluice.pipelines.clustering import Clustered
from sluice.pipelines.plan_measure import Counted, Embedded, Exported, Given
from sluice.pipelines.plan_rates import ELSEWHERE, MEASURED, NOT_MEASURED, PART_SHUFFLED, SAMPLE, SPREAD, Rates
from sluice.pipelines.plan_survivors import Alive
from sluice.pipelines.recipe import Recipe
from sluice.pipelines.step import Step
from sluice.pipelines.steps.semdedup import SemDeDup
from sluice.transforms import memory
from sluice.transforms.clusters import RUN_BYTES, most_in_bin, record_dtype, run_bytes
from sluice.transforms.embeddings import WINDOW_CHARACTERS
from sluice.transforms.semdedup import scale_for

# A stage's manifest, and what a part takes beside its rows.
MANIFEST_BYTES, PART_BYTES = 2500, 2600
# Of the trainer's work beside products, what grows with the sample; the rest does with the documents. From a million
# and four million documents with as many clusters (docs/scale.md).
BY_SAMPLE = 0.75
# Listing an input file, twice (benchmarks/limits.py).
FILE_SECONDS = 2 * 65e-6
STORED = Range(0.85, 1.0, 1.2)
# The report of a million documents beside that of few: most of it are probes of a fixed number (docs/scale.md).
REPORT_FIXED, REPORT_EACH = 3.0, 1.5e-6


@dataclass(frozen=True)
class Work:
    """A stage. seconds: core-seconds at speed 1, shared out over `tasks`; alone: those of one worker. flops: of matrix
    products, as if they ran as fast as a plain one, shared out; trained: those of one worker. device_flops: of a model.
    """

    stage: str
    tasks: float
    basis: str
    seconds: Range = ZERO
    alone: Range = ZERO
    flops: Range = ZERO
    trained: Range = ZERO
    device_flops: Range = ZERO
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


def clusters_of(step: Step, alive: float) -> int:
    """How many clusters a step makes of so many documents; 0 where it has none, or takes those of another run."""
    if not isinstance(step, Clustered) or "centroids" not in step.folders:
        return 0
    return step.auto_clusters(max(int(alive), 1)) if step.clusters == "auto" else step.clusters


def ends(value: Range, of: Callable[[float], float]) -> Range:
    """A growing function of each end."""
    return Range(of(value.low), of(value.likely), of(value.high))


def forecast_work(facts: Facts) -> list[Work]:
    """Every stage of `facts.names`, in order."""
    found = []
    for name in facts.names:
        step, _, part = name.partition("/")
        found.append(_step_stage(facts, name, step, part) if part else _own_stage(facts, name))
    return found


# Stages that every run has --------------------------------------------------------------------------------------


def _own_stage(facts: Facts, name: str) -> Work:
    n, units = facts.documents, facts.units
    start = _job(facts)
    base = Range.around(MANIFEST_BYTES + units * PART_BYTES, 0.4)
    sent = Range.around(PART_SHUFFLED * units, 0.3)
    if name == "inventory":
        listing = Range.exactly(FILE_SECONDS * facts.files).times(SPREAD[MEASURED])
        return Work(
            name,
            1,
            MEASURED,
            alone=start.plus(listing),
            stored=Range.around(3000 + 60 * facts.files, 0.5),
            shuffled=sent,
        )
    if name == "documents":
        counted = facts.counted
        each = (counted.read_seconds + counted.token_seconds) * facts.speed
        seconds = n.times(each).times(SPREAD[SAMPLE])
        column = 3.0 if counted.token_seconds else 0.0
        stored = n.times(counted.stored + column).times(STORED).plus(base.times(2))
        return Work(name, facts.tasks, SAMPLE, seconds, start, stored=stored, shuffled=sent.times(2))
    if name == "embeddings":
        return _embeddings(facts, start, base, sent)
    if name == "corpus":
        seconds = n.times(facts.exported.core_seconds * facts.speed).times(SPREAD[SAMPLE])
        stored = facts.kept.times(facts.exported.stored).times(STORED).plus(base)
        return Work(name, facts.tasks, SAMPLE, seconds, start, stored=stored, shuffled=sent)
    if name == "report":
        alone = ends(n, lambda count: min(REPORT_FIXED * min(count / 50_000, 1.0) + 0.5 + REPORT_EACH * count, 1e9))
        return Work(name, 1, MEASURED, alone=alone.times(SPREAD[ELSEWHERE]), stored=Range(15_000, 60_000, 400_000))
    rate = facts.rates.stage(name)
    return Work(
        name,
        facts.tasks,
        rate.basis,
        n.times(rate.seconds).times(SPREAD[rate.basis]),
        start,
        stored=n.times(rate.stored).times(STORED).plus(base),
        shuffled=_sent(facts, sent, name, clusters=_most_clusters(facts), documents=n),
    )


def _job(facts: Facts) -> Range:
    """Core-seconds of starting a job, more in a process that has not run one."""
    return Range.exactly(facts.rates.job_seconds).times(Range(0.7, 1.3, 3.0))


def _sent(facts: Facts, sent: Range, part: str, *, clusters: int, documents: Range) -> Range:
    """Arrays of counts go once for each bundle: at least one, at most one for each unit."""

    def counts(bundles: float, count: float) -> float:
        return growth.shuffled_counts(part, clusters=clusters, bundles=bundles, documents=count)

    likely = min(facts.units, 4)
    return sent.plus(
        Range(counts(1, documents.low), counts(likely, documents.likely), counts(facts.units, documents.high))
    ).times(Range(0.8, 1.0, 1.2))


def _most_clusters(facts: Facts) -> int:
    return max((clusters_of(step, alive.before.likely) for step, alive in facts.steps.values()), default=0)


def _embeddings(facts: Facts, start: Range, base: Range, sent: Range) -> Work:
    alive = next((one.before for step, one in facts.steps.values() if step.needs_vectors), facts.documents)
    vectors, each = facts.vectors, facts.counted.read_seconds * facts.speed
    stored = alive.times(2 * facts.dimension + 16).times(Range(0.95, 1.0, 1.03)).plus(base)
    needs = memory.embedding(weights=facts.weights, window_characters=WINDOW_CHARACTERS)
    if isinstance(vectors, Given):
        seconds = alive.times(vectors.core_seconds * facts.speed).times(SPREAD[SAMPLE])
        return Work("embeddings", facts.tasks, SAMPLE, seconds, start, memory=needs, shuffled=sent, stored=stored)
    assert vectors is not None
    spread = SPREAD[SAMPLE]
    return Work(
        "embeddings",
        facts.tasks,
        SAMPLE,
        alive.times(each).times(spread),
        start.plus(Range(1.0, 5.0, 40.0)),
        flops=alive.times(vectors.core_seconds * facts.plain_flops).times(spread),
        device_flops=alive.times(vectors.tokens * vectors.flops_per_token),
        memory=needs,
        shuffled=sent,
        stored=stored,
    )


# Stages of steps ------------------------------------------------------------------------------------------------


def _step_stage(facts: Facts, name: str, folder: str, part: str) -> Work:
    step, alive = facts.steps[folder]
    kind = f"{step.step}/{part}"
    last = part.rpartition("/")[2]
    if last == "centroids" and isinstance(step, Clustered):
        return _centroids(facts, name, kind, step, alive.before)
    if last == "clusters":
        return _clusters(facts, name, kind, step, alive.before)
    work = _plain(facts, name, kind, alive.before)
    if isinstance(step, SemDeDup) and part == "scores":
        return _pairs(facts, work, step, alive.before)
    return _with_memory(facts, work, step, part)


def _plain(facts: Facts, name: str, kind: str, alive: Range) -> Work:
    rate = facts.rates.stage(kind, characters=facts.counted.characters.likely)
    part = kind.rpartition("/")[2]
    sent = _sent(facts, Range.around(PART_SHUFFLED * facts.units, 0.3), part, clusters=1, documents=alive)
    wide = Range(0.1, 1.0, 10.0) if rate.basis == NOT_MEASURED else Range(0.8, 1.0, 1.2)
    base = Range.around(MANIFEST_BYTES + facts.units * PART_BYTES, 0.4)
    return Work(
        name,
        facts.tasks,
        rate.basis,
        alive.times(rate.seconds).times(SPREAD[rate.basis]),
        _job(facts),
        shuffled=alive.times(rate.shuffled).times(wide).plus(sent),
        stored=alive.times(rate.stored).times(wide).plus(base),
    )


def _with(work: Work, **changed: Any) -> Work:
    return Work(**{**vars(work), **changed})


def _centroids(facts: Facts, name: str, kind: str, step: Clustered, alive: Range) -> Work:
    work, d = _plain(facts, name, kind, alive), facts.dimension
    parts = Range.around(MANIFEST_BYTES + facts.units * PART_BYTES, 0.4)
    if step.centroids is not None:
        copied = Range(100 * d, 10_000 * d, 400_000 * d)
        return _with(work, tasks=1, seconds=ZERO, stored=copied, basis=NOT_MEASURED)
    k = clusters_of(step, alive.likely)
    if "/refine-" in name or "/split-" in name:
        flops = Range.exactly(growth.assignment_flops(alive.likely, k, d)) if "/refine-" in name else ZERO
        return _with(work, flops=flops.times(Range(0.7, 1.2, 3.0)), stored=parts.plus(Range(1, 2 * k * d, 4 * k * d)))

    def sample(count: float) -> int:
        return sample_of(step, count)

    levels = levels_of(step, alive.likely, d)
    flops = ends(alive, lambda n: growth.training_flops(sample(n), clusters_of(step, n), d, step.iterations))
    if levels is not None:
        first = growth.training_flops(levels.first_sample, levels.first, d, step.iterations)
        flops = Range.exactly(first + flops.likely / levels.first)
    # Iterations end when they gain little.
    flops = flops.times(Range(0.5, 1.0, 1.1)).times(1 / facts.rates.reached("train"))
    measured = facts.rates.sample_share
    by_sample = ends(alive, sample).over(max(measured, 1e-9))
    rate = facts.rates.stage(kind)
    grown = alive.times(1 - BY_SAMPLE).plus(by_sample.times(BY_SAMPLE))
    needs = memory.training(sample=sample(alive.likely), dimension=d, k=k)
    if levels is not None:
        needs = memory.training_in_two_levels(trainer_bytes=step.trainer_bytes, dimension=d, k=k)
    return _with(
        work,
        seconds=grown.times(rate.seconds).times(SPREAD[rate.basis]),
        flops=ZERO if levels is None else flops,
        trained=flops if levels is None else ZERO,
        memory=needs,
        stored=ends(alive, sample).times(2 * d + 8).times(Range(0.9, 1.0, 1.05)).plus(2 * k * d).plus(parts),
    )


def sample_of(step: Clustered, alive: float) -> int:
    """Documents that a step's centroids are trained on."""
    count = max(int(alive), 1)
    k = clusters_of(step, count)
    return growth.sample_for(count, k, per_cluster=step.sample_per_cluster, most=step.max_sample)


def levels_of(step: Clustered, alive: float, dimension: int) -> two_level.Levels | None:
    """The levels that training needs; None for one. Raises ValueError where two are not enough."""
    k = clusters_of(step, alive)
    return two_level.plan_levels(
        k=k, sample=sample_of(step, alive), dimension=dimension, trainer_bytes=step.trainer_bytes
    )


def _clusters(facts: Facts, name: str, kind: str, step: Step, alive: Range) -> Work:
    work, d = _plain(facts, name, kind, alive), facts.dimension
    run = run_bytes(step.bin_bytes) if isinstance(step, SemDeDup) else RUN_BYTES if step.step == "reference" else 0
    k = clusters_of(step, alive.likely) or 1000
    flops = ends(alive, lambda n: growth.assignment_flops(n, clusters_of(step, n) or 1000, d))
    flops = flops.times(1 / facts.rates.reached("assign")).times(Range(0.9, 1.0, 1.2))
    if "/split-" in name:
        flops = flops.times(Range(0.0, 0.2, 1.0))
    if choose_method(getattr(step, "assignment", "auto"), k) == "scann":
        flops = Range(0.1 * flops.low, 0.5 * flops.likely, flops.high)
    sent = Range.around(PART_SHUFFLED * facts.units, 0.3)
    counts = _sent(facts, sent, "clusters", clusters=k, documents=alive)
    parts = Range.around(MANIFEST_BYTES + facts.units * PART_BYTES + 32 * k, 0.4)
    stored = alive.times(6.0).times(Range(0.6, 1.0, 1.4)).plus(parts)
    if run:
        runs = facts.units * max(math.ceil(alive.likely * growth.record_bytes(d) / facts.units / run), 1)
        stored = stored.plus(alive.times(growth.record_bytes(d))).plus(8 * (k + 1) * runs)
    return _with(
        work,
        flops=flops,
        memory=memory.assignment(k=k, dimension=d, run_bytes=run),
        shuffled=counts,
        stored=stored,
    )


def _pairs(facts: Facts, work: Work, step: SemDeDup, alive: Range) -> Work:
    d = facts.dimension

    def flops(n: float) -> float:
        cluster = growth.mean_cluster(n, clusters_of(step, n), d, step.bin_bytes)
        return growth.pair_flops(n, cluster, d)

    limit = step.cut.limit
    points = 4 if scale_for(None if limit is None else float(limit)) == COARSE else 8
    # At full scale products are in float64, at half the rate and less.
    slower = 1.0 if points == 4 else 3.0
    record = record_dtype(d).itemsize
    return _with(
        work,
        tasks=max(math.ceil(alive.likely * record / step.bin_bytes), 1),
        flops=ends(alive, flops)
        .times(slower * facts.rates.skew / facts.rates.reached("pairs"))
        .times(Range(0.5, 1.0, 2.5)),
        memory=memory.scoring(bin_bytes=step.bin_bytes, record_bytes=record, point_bytes=points, dimension=d),
    )


def _with_memory(facts: Facts, work: Work, step: Step, part: str) -> Work:
    """What further stages state about memory, as their transforms do."""
    d, kind = facts.dimension, f"{step.step}/{part}"
    if kind == "reference/scores":
        limit = step.cut.limit  # type: ignore[attr-defined]
        points = 4 if scale_for(None if limit is None else float(limit)) == COARSE else 8
        size = 2 * step.bin_bytes  # type: ignore[attr-defined]
        needs = memory.scoring(bin_bytes=size, record_bytes=record_dtype(d).itemsize, point_bytes=points, dimension=d)
    elif kind == "target/classifier":
        sample = min(step.sample, max(int(work_alive(facts, step)), 2))  # type: ignore[attr-defined]
        needs = memory.training(sample=sample, dimension=d, k=1) + 64 * (d + 1) ** 2
    elif kind == "quality/weights":
        from sluice.transforms.quality import LEARNING

        needs = memory.PROCESS + memory.MODEL_RUNTIME + LEARNING * step.sample * step.sample_bytes  # type: ignore[attr-defined]
    elif part == "items":
        embeds = step.needs_vectors and facts.recipe.input.vector is None
        needs = memory.PROCESS + (memory.MODEL_RUNTIME if embeds else 0)
        return _with(work, tasks=1, memory=needs)
    else:
        return work
    return _with(work, memory=needs)


def work_alive(facts: Facts, step: Step) -> float:
    return next(alive.before.likely for one, alive in facts.steps.values() if one is step)


@dataclass(frozen=True)
class Largest:
    """The forecast of a step's largest cluster: documents, and how many a bin holds (None: it has no bins)."""

    step: str
    clusters: int
    documents: Range
    most_in_bin: int | None


def largest_clusters(facts: Facts) -> list[Largest]:
    """For each step over clusters of its own."""
    found = []
    for name, (step, alive) in facts.steps.items():
        k = clusters_of(step, alive.before.likely)
        if k:
            most = most_in_bin(step.bin_bytes, facts.dimension) if isinstance(step, SemDeDup) else None
            found.append(Largest(name, k, largest_cluster(facts.skew, alive.before.likely, k), most))
    return found
