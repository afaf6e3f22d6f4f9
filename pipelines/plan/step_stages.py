"""The work of the stages of steps: clustering, assignment, pairs, and everything else by its rates."""

import math
from dataclasses import replace

from sluice.models.arrays.vectors import COARSE
from sluice.models.clustering.assign import choose_method
from sluice.models.forecast import growth
from sluice.models.forecast.ranges import ZERO, Range
from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.step import Step
from sluice.pipelines.plan.clusters import clusters_of, levels_of, sample_of
from sluice.pipelines.plan.rates import ITEMS, NOT_MEASURED, SAMPLED, SPREAD
from sluice.pipelines.plan.work import Facts, Work, ends, parts_bytes, plain_stage, sent_bytes
from sluice.pipelines.steps.semdedup import SemDeDup
from sluice.transforms.clusters.assign import RUN_BYTES, run_bytes
from sluice.transforms.clusters.sorted_records import record_dtype
from sluice.transforms.scores.quality import LEARNING
from sluice.transforms.scores.semdedup import scale_for
from sluice.transforms.stages import memory

# Of the trainer's work beside products, what grows with the sample; the rest does with the documents. From a million
# and four million documents with as many clusters (docs/scale.md).
BY_SAMPLE = 0.75
# Clusters that are taken from another run, whose number nobody has looked up.
ADOPTED = 1000
# Benchmark items, which nobody has counted.
FEW_ITEMS = Range(20, 500, 20_000)


def step_stage(facts: Facts, name: str, folder: str, part: str) -> Work:
    """A part of a step; folder: the step's name, as 02-semdedup."""
    step, alive = facts.steps[folder]
    kind = f"{step.step}/{part}"
    last = part.rpartition("/")[2]
    if last == "centroids" and isinstance(step, Clustered):
        return _centroids(facts, name, kind, step, alive.before)
    if last == "clusters":
        return _clusters(facts, name, kind, step, alive.before)
    seen = alive.before
    if kind in SAMPLED:
        seen = seen.at_most(float(step.sample))  # type: ignore[attr-defined]
    elif kind in ITEMS:
        seen = FEW_ITEMS
    work = plain_stage(facts, name, kind, seen)
    if isinstance(step, SemDeDup) and part == "scores":
        return _pairs(facts, work, step, alive.before)
    return _with_memory(facts, work, step, part, alive.before)


def _centroids(facts: Facts, name: str, kind: str, step: Clustered, alive: Range) -> Work:
    work, d = plain_stage(facts, name, kind, alive), facts.dimension
    parts = parts_bytes(facts)
    if step.centroids is not None:
        copied = Range(100 * d, 10_000 * d, 400_000 * d)
        return replace(work, tasks=1, seconds=ZERO, stored=copied, basis=NOT_MEASURED)
    k = clusters_of(step, alive.likely)
    if "/refine-" in name or "/split-" in name:
        flops = Range.exactly(growth.assignment_flops(alive.likely, k, d)) if "/refine-" in name else ZERO
        return replace(work, flops=flops.times(Range(0.7, 1.2, 3.0)), stored=parts.plus(Range(1, 2 * k * d, 4 * k * d)))

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
    return replace(
        work,
        seconds=grown.times(rate.seconds).times(SPREAD[rate.basis]),
        flops=ZERO if levels is None else flops,
        trained=flops if levels is None else ZERO,
        memory=needs,
        stored=ends(alive, sample).times(2 * d + 8).times(Range(0.9, 1.0, 1.05)).plus(2 * k * d).plus(parts),
    )


def _clusters(facts: Facts, name: str, kind: str, step: Step, alive: Range) -> Work:
    work, d = plain_stage(facts, name, kind, alive), facts.dimension
    run = run_bytes(step.bin_bytes) if isinstance(step, SemDeDup) else RUN_BYTES if step.step == "reference" else 0
    k = clusters_of(step, alive.likely) or ADOPTED
    flops = ends(alive, lambda n: growth.assignment_flops(n, clusters_of(step, n) or ADOPTED, d))
    flops = flops.times(1 / facts.rates.reached("assign")).times(Range(0.9, 1.0, 1.2))
    if "/split-" in name:
        flops = flops.times(Range(0.0, 0.2, 1.0))
    if choose_method(getattr(step, "assignment", "auto"), k) == "scann":
        flops = Range(0.1 * flops.low, 0.5 * flops.likely, flops.high)
    counts = sent_bytes(facts, "clusters", clusters=k, documents=alive)
    # Cluster and similarity of a document, compressed; four counts of a cluster.
    stored = alive.times(6.0).times(Range(0.6, 1.0, 1.4)).plus(32 * k).plus(parts_bytes(facts))
    if run:
        runs = facts.units * max(math.ceil(alive.likely * growth.record_bytes(d) / facts.units / run), 1)
        stored = stored.plus(alive.times(growth.record_bytes(d))).plus(8 * (k + 1) * runs)
    return replace(
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
    return replace(
        work,
        tasks=max(math.ceil(alive.likely * record / step.bin_bytes), 1),
        flops=ends(alive, flops)
        .times(slower * facts.rates.skew / facts.rates.reached("pairs"))
        .times(Range(0.5, 1.0, 2.5)),
        memory=memory.scoring(bin_bytes=step.bin_bytes, record_bytes=record, point_bytes=points, dimension=d),
    )


def _with_memory(facts: Facts, work: Work, step: Step, part: str, alive: Range) -> Work:
    """What further stages state about memory, as their transforms do."""
    d, kind = facts.dimension, f"{step.step}/{part}"
    if kind == "reference/scores":
        limit = step.cut.limit  # type: ignore[attr-defined]
        points = 4 if scale_for(None if limit is None else float(limit)) == COARSE else 8
        size = 2 * step.bin_bytes  # type: ignore[attr-defined]
        needs = memory.scoring(bin_bytes=size, record_bytes=record_dtype(d).itemsize, point_bytes=points, dimension=d)
    elif kind == "target/classifier":
        sample = min(step.sample, max(int(alive.likely), 2))  # type: ignore[attr-defined]
        needs = memory.training(sample=sample, dimension=d, k=1) + 64 * (d + 1) ** 2
    elif kind == "quality/weights":
        needs = memory.PROCESS + memory.MODEL_RUNTIME + LEARNING * step.sample * step.sample_bytes  # type: ignore[attr-defined]
    elif part == "items":
        embeds = step.needs_vectors and facts.recipe.input.vector is None
        needs = memory.PROCESS + (memory.MODEL_RUNTIME if embeds else 0)
        return replace(work, tasks=1, memory=needs)
    else:
        return work
    return replace(work, memory=needs)
