"""The work of every stage of a run: those that all runs have, and those of the recipe's steps."""

from sluice.models.forecast.ranges import Range
from sluice.pipelines.plan.clusters import clusters_of
from sluice.pipelines.plan.embed import Given
from sluice.pipelines.plan.rates import ELSEWHERE, MEASURED, SAMPLE, SPREAD
from sluice.pipelines.plan.step_stages import step_stage
from sluice.pipelines.plan.work import Facts, Work, ends, job, parts_bytes, parts_sent, sent_bytes
from sluice.transforms.embeddings.embed import WINDOW_CHARACTERS
from sluice.transforms.stages import memory

# Listing an input file, twice (benchmarks/scale/limits.py).
FILE_SECONDS = 2 * 65e-6
STORED = Range(0.85, 1.0, 1.2)
# The report: most of it are probes of a fixed number of documents (docs/scale.md).
REPORT_FIXED, REPORT_EACH, REPORT_FULL = 1.8, 1.9e-6, 50_000
# Loading TensorFlow, which tokenizes.
LIBRARY_SECONDS = Range(0.0, 4.5, 9.0)
# Reading a model and compiling its programs, which later processes find compiled; the first of all takes the longest.
LOAD_SECONDS = Range(1.0, 5.0, 40.0)


def forecast_work(facts: Facts) -> list[Work]:
    """Every stage of `facts.names`, in order."""
    found = []
    for name in facts.names:
        step, _, part = name.partition("/")
        found.append(step_stage(facts, name, step, part) if part else _own_stage(facts, name))
    return found


def _own_stage(facts: Facts, name: str) -> Work:
    n = facts.documents
    start = job(facts)
    base = parts_bytes(facts)
    sent = parts_sent(facts)
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
        alone = start.plus(LIBRARY_SECONDS) if counted.token_seconds else start
        return Work(name, facts.tasks, SAMPLE, seconds, alone, stored=stored, shuffled=sent.times(2))
    if name == "embeddings":
        return _embeddings(facts, start, base, sent)
    if name == "corpus":
        seconds = n.times(facts.exported.core_seconds * facts.speed).times(SPREAD[SAMPLE])
        stored = facts.kept.times(facts.exported.stored).times(STORED).plus(base)
        return Work(name, facts.tasks, SAMPLE, seconds, start, stored=stored, shuffled=sent)
    if name == "report":
        alone = ends(n, report_seconds)
        return Work(name, 1, MEASURED, alone=alone.times(SPREAD[ELSEWHERE]), stored=Range(15_000, 60_000, 400_000))
    rate = facts.rates.stage(name)
    return Work(
        name,
        facts.tasks,
        rate.basis,
        n.times(rate.seconds).times(SPREAD[rate.basis]),
        start,
        stored=n.times(rate.stored).times(STORED).plus(base),
        shuffled=sent_bytes(facts, name, clusters=_most_clusters(facts), documents=n),
    )


def report_seconds(documents: float) -> float:
    """Core-seconds of the report."""
    return 0.2 + REPORT_FIXED * min(documents / REPORT_FULL, 1.0) + REPORT_EACH * documents


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
        start.plus(LOAD_SECONDS),
        flops=alive.times(vectors.core_seconds * facts.plain_flops).times(spread),
        device_flops=alive.times(vectors.tokens * vectors.flops_per_token),
        host=alive.times(vectors.tokenize_seconds * facts.speed).times(spread),
        memory=needs,
        shuffled=sent,
        stored=stored,
    )
