"""From what was tried on a sample to the work of every stage of the run, by the law of each (models.forecast.laws)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from sluice.models.arrays.vectors import COARSE
from sluice.models.forecast.laws import LAWS, Size
from sluice.models.forecast.ranges import ZERO, Range
from sluice.pipelines.base.cuts import Cut
from sluice.pipelines.base.step import Step
from sluice.pipelines.plan.measure import Counted, Speed
from sluice.pipelines.plan.model import Embedded
from sluice.pipelines.plan.trial import Trial, Tried, size_of
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import AFTER, REPORT, Listed, list_stages
from sluice.transforms.embeddings.embed import WINDOW_CHARACTERS
from sluice.transforms.stages import memory

# A stage of which nothing is known: core-seconds and bytes stored a document.
UNKNOWN = 10e-6, 10.0
SAMPLE, ANOTHER, MEASURED, NOT_MEASURED = "sample", "another step", "measured", "not measured"
# What the likely time is multiplied with: processor time of one stage differs that much from run to run and corpus to
# corpus (docs/plan.md).
SPREAD = {
    SAMPLE: Range(0.6, 1.0, 1.7),
    ANOTHER: Range(0.4, 1.0, 2.5),
    MEASURED: Range(0.5, 1.0, 2.5),
    NOT_MEASURED: Range(0.2, 1.0, 5.0),
}
STORED = Range(0.85, 1.0, 1.2)
# Shares kept where only the data decide and a sample says little, or nothing.
LITTLE, NOTHING = 0.5, Range(0.3, 0.85, 1.0)
# What a unit's part is on its way to the manifest; a manifest and a part beside its rows; bytes.
PART_SENT, MANIFEST, PART = 900, 2500, 1300
# Listing an input file, twice (benchmarks/scale/limits.py).
FILE_SECONDS = 2 * 65e-6
# Loading TensorFlow, which tokenizes; reading a model and compiling its programs, which later processes find compiled.
LIBRARY_SECONDS, LOAD_SECONDS = Range(0.0, 4.5, 9.0), Range(1.0, 5.0, 40.0)


@dataclass(frozen=True)
class Alive:
    """Documents before a step and after it."""

    step: Step
    before: Range
    after: Range


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
    """Everything that is known before a run. small, trial: the recipe on a small part of the sample, and on more of it.

    everything: the sample is the corpus; largest_unit: its share of all bytes; exported: core-seconds a document and
    bytes of a kept one, of the corpus stage; steps: by name.
    """

    recipe: Recipe
    everything: bool
    units: int
    largest_unit: float
    files: int
    counted: Counted
    small: Trial
    trial: Trial
    model: Embedded | None
    exported: tuple[float, float]
    speed: Speed
    steps: dict[str, Alive]

    @property
    def documents(self) -> Range:
        return self.counted.documents

    @property
    def kept(self) -> Range:
        return list(self.steps.values())[-1].after

    @property
    def dimension(self) -> int:
        return self.model.dimension if self.model else self.trial.dimension

    @cached_property
    def tasks(self) -> float:
        """Units, or fewer where one of them is most of the corpus."""
        return min(float(self.units), 1 / max(self.largest_unit, 1e-9))


def survivors(steps: list[tuple[str, Step]], counted: Counted, trial: Trial, *, everything: bool) -> dict[str, Alive]:
    """Who is in before and after each step. Shares and budgets of a cut are exact, in documents or in mean tokens."""
    alive, found = counted.documents, {}
    for name, step in steps:
        after = _after(name, step, alive, counted, trial, everything)
        found[name] = Alive(step, alive, after)
        alive = after
    return found


def _after(name: str, step: Step, alive: Range, counted: Counted, trial: Trial, everything: bool) -> Range:
    if step.asked is not None and (step.asked.ratio is not None or step.asked.tokens is not None):
        return alive.at_most(_target(step.asked, counted))
    if name not in trial.kept:
        return alive.times(NOTHING)
    share = trial.kept[name]
    # A sample finds few of the copies: each needs its other one in the sample too.
    whole = everything and trial.documents == counted.documents.likely
    return alive.times(Range.exactly(share) if whole else Range(min(LITTLE, share), share, 1.0))


def _target(cut: Cut, counted: Counted) -> Range:
    share = Range.exactly(0.0) if cut.ratio is None else counted.documents.times(float(cut.ratio))
    if cut.tokens is None:
        return share
    if counted.tokens is None or counted.tokens.low <= 0:
        return counted.documents
    return Range.exactly(float(cut.tokens)).over(counted.tokens).at_least(share)


def planned_stages(steps: list[tuple[str, Step]]) -> list[Listed]:
    """Those that every run of the recipe has, in order, without the report."""
    return [
        one for one in list_stages(steps) if not one.slot.repeat and not (one.step_name or "").endswith("-embedded")
    ]


def forecast_work(facts: Facts) -> list[Work]:
    """Every stage, and the report. The trial's directories must still be there."""
    listed = planned_stages([(name, alive.step) for name, alive in facts.steps.items()])
    works = [_stage(facts, one) for one in listed]
    # Most of the report are probes of a fixed number of documents (docs/scale.md).
    alone = _ends(facts.documents, lambda n: 0.2 + 1.4 * min(n / 50_000, 1.0) + 1.9e-6 * n)
    report = Work(REPORT, 1, MEASURED, alone=alone.times(SPREAD[MEASURED]), stored=Range(15_000, 60_000, 400_000))
    return [*works, report]


def _stage(facts: Facts, one: Listed) -> Work:
    speed, spread, documents = facts.speed.core, SPREAD[SAMPLE], facts.documents
    parts = MANIFEST + PART * facts.units
    sent = Range.around(PART_SENT * facts.units, 0.3)
    if one.name == "documents":
        counted = facts.counted
        loads = facts.recipe.counting[0] in ("model", "tokenizer")
        return Work(
            one.name,
            facts.tasks,
            SAMPLE,
            documents.times(counted.read_seconds * speed).times(spread),
            _start(facts).plus(LIBRARY_SECONDS if loads else ZERO),
            stored=_by_law(facts, one, sent).stored,
            shuffled=sent.times(2),
        )
    if one.name == "corpus":
        seconds, stored = facts.exported
        return Work(
            one.name,
            facts.tasks,
            SAMPLE,
            documents.times(seconds * speed).times(spread),
            _start(facts),
            stored=facts.kept.times(stored).times(STORED).plus(Range.around(parts, 0.6)),
            shuffled=sent,
        )
    if one.name == "embeddings" and facts.model is not None:
        return _model(facts, facts.model, parts, sent)
    work = _by_law(facts, one, sent)
    if one.name == "inventory":
        return Work(
            one.name,
            1,
            SAMPLE,
            alone=work.alone.plus(Range.exactly(FILE_SECONDS * facts.files).times(SPREAD[MEASURED])),
            stored=Range.around(3000 + 60 * facts.files, 0.5),
            shuffled=sent,
        )
    return work


def _start(facts: Facts) -> Range:
    """Core-seconds of a job that does next to nothing, more in a process that has not run one."""
    inventory = facts.trial.stages.get("inventory")
    return Range.exactly(inventory.core_seconds * facts.speed.core if inventory else 0.15).times(Range(0.7, 1.3, 3.0))


def _model(facts: Facts, model: Embedded, parts: float, sent: Range) -> Work:
    alive = next(one.before for one in facts.steps.values() if one.step.needs_vectors)
    spread, speed = SPREAD[SAMPLE], facts.speed
    counts = facts.recipe.counting[0] in ("model", "tokenizer")
    reading = max(facts.counted.read_seconds - (model.tokenize_seconds if counts else 0.0), 0.0)
    return Work(
        "embeddings",
        facts.tasks,
        SAMPLE,
        alive.times(reading * speed.core).times(spread),
        _start(facts).plus(LOAD_SECONDS),
        flops=alive.times(model.core_seconds * speed.flops).times(spread),
        device_flops=alive.times(model.tokens * model.flops_per_token),
        host=alive.times(model.tokenize_seconds * speed.core).times(spread),
        memory=memory.embedding(weights=model.weights, window_characters=WINDOW_CHARACTERS),
        shuffled=sent,
        stored=alive.times(2 * model.dimension + 16).times(Range(0.95, 1.0, 1.03)).plus(Range.around(parts, 0.6)),
    )


@dataclass(frozen=True)
class Rate:
    """Of a stage: core-seconds and bytes stored for each document of its law, and core-seconds and bytes of a job."""

    seconds: float
    stored: float
    start: float
    base: float


def _by_law(facts: Facts, one: Listed, sent: Range) -> Work:
    law, alive = LAWS[one.slot.law], facts.documents
    step = facts.steps.get(one.step_name or "")
    if step is not None:
        alive = step.before
    elif one.slot in AFTER and facts.steps:
        alive = facts.documents
    elif one.name == "embeddings":
        alive = next(each.before for each in facts.steps.values() if each.step.needs_vectors)
    tried, basis = _tried(facts, one)
    rate = _rate(facts, tried) if tried else Rate(*UNKNOWN, 0.15, MANIFEST + PART)
    spread, speed = SPREAD[basis], facts.speed
    adopted = facts.trial.clusters.get(one.step_name or "")

    def at(documents: float) -> Size:
        return size_of(step.step if step else None, documents, facts.dimension, adopted)

    def amount(documents: float) -> float:
        return law.amount(at(documents), one.slot.most)

    planned = step.step.planned_clustering(max(int(alive.likely), 1), facts.dimension) if step else None
    flops = _ends(alive, lambda n: law.flops(at(n)))
    if step and one.slot.law == "pairs" and step.step.vector_scale not in (None, COARSE):
        # Exact products are in float64, at half the rate and less.
        flops = flops.times(3.0)
    if planned and planned.two_levels and one.slot.law == "train":
        # Each sampled document meets two times the square root of the centroids, on many workers.
        flops = flops.times(2 / planned.clusters**0.5)
    flops = flops.times(Range(0.6, 1.0, 1.8))
    alone_trains = one.slot.law == "train" and not (planned and planned.two_levels)
    bundles = Range(1, min(facts.units, 4), facts.units)
    counts = Range(*(law.counts(at(n)) * each for n, each in zip(alive, bundles)))
    if one.slot.law == "cut":
        counts = counts.at_most(alive.times(36.0)).at_least(0.0)
    if one.name == "decisions":
        counts = bundles.times(32.0 * max(facts.trial.clusters.values(), default=0))
    single = one.slot.parts == "one"
    base = rate.base if single else MANIFEST + max(rate.base - MANIFEST, PART / 2) * facts.units
    return Work(
        one.name,
        1 if single else facts.tasks,
        basis,
        _ends(alive, amount).times(rate.seconds * speed.core).times(spread),
        Range.exactly(rate.start * speed.core).times(Range(0.7, 1.2, 3.0)),
        flops=ZERO if alone_trains else flops,
        trained=flops if alone_trains else ZERO,
        memory=tried.memory(planned) if tried else memory.PROCESS,
        stored=_ends(alive, amount).times(rate.stored).times(STORED).plus(Range.around(base, 0.6)),
        shuffled=sent.plus(counts).plus(alive.times(one.slot.shuffled)).times(Range(0.8, 1.0, 1.2)),
    )


def _tried(facts: Facts, one: Listed) -> tuple[Tried | None, str]:
    """The stage of the trial, or another one with the same law."""
    tried = facts.trial.stages.get(one.name)
    if tried is not None:
        return tried, SAMPLE
    if one.slot.law in ("documents", "pairs"):
        return None, NOT_MEASURED
    for other in facts.trial.stages.values():
        if other.listed.slot.law == one.slot.law and other.listed.step is not None:
            return other, ANOTHER
    return None, NOT_MEASURED


def _rate(facts: Facts, tried: Tried) -> Rate:
    """Told from the stage at two sizes: what does not grow from one to the other is the job's."""
    slot = tried.listed.slot
    law = LAWS[slot.law]

    def beside_products(one: Tried) -> float:
        return max(one.core_seconds - law.flops(one.size) / facts.speed.flops, 0.0)

    amount, seconds = law.amount(tried.size, slot.most), beside_products(tried)
    before = facts.small.stages.get(tried.listed.name)
    less = law.amount(before.size, slot.most) if before else amount
    if amount <= 0:
        return Rate(0.0, 0.0, seconds, tried.stored)
    if before is None or amount <= less:
        # At one size: a job that does next to nothing is the job's.
        start, base = min(facts.trial.stages["inventory"].core_seconds, seconds), min(MANIFEST + PART, tried.stored)
        return Rate((seconds - start) / amount, (tried.stored - base) / amount, start, base)
    grows = max(seconds - beside_products(before), 0.0) / (amount - less)
    stored = max(tried.stored - before.stored, 0) / (amount - less)
    return Rate(grows, stored, max(seconds - grows * amount, 0.0), max(tried.stored - stored * amount, 0.0))


def _ends(value: Range, of: Callable[[float], float]) -> Range:
    """A growing function of each end."""
    return Range(*sorted(map(of, value)))


@dataclass(frozen=True)
class Largest:
    """The forecast of a step's largest cluster: documents, and how many a bin holds (None: it has no bins)."""

    step: str
    clusters: int
    documents: Range
    most_in_bin: int | None


def largest_clusters(facts: Facts) -> list[Largest]:
    """For each step that trains centroids: as far above the mean as the sample's largest."""
    found = []
    for name, one in facts.steps.items():
        planned = one.step.planned_clustering(max(int(one.before.likely), 1), facts.dimension)
        if planned is None:
            continue
        mean = one.before.likely / planned.clusters
        likely = mean * facts.trial.largest.get(name, 2.0)
        documents = Range(mean, likely, 3 * likely).at_most(one.before.likely)
        found.append(Largest(name, planned.clusters, documents, one.step.most_in_cluster(facts.dimension)))
    return found
