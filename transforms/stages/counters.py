"""What jobs count: one table of Beam metrics, in the namespace `sluice`, which code, documents and tests share.

Every stage is a job of its own, so names need no stage in front. They are counted once a unit or bin, never once a
document. Nothing is counted outside of a running job.
"""

import logging
import re
import sys
from collections.abc import Iterable
from typing import Any

from sluice.transforms.records import validation

log = logging.getLogger("sluice")
NAMESPACE = "sluice"

# Of the units and bins that the job itself wrote, or found there from an earlier try.
WORK = {
    "units_written": "units whose part this job wrote",
    "units_found": "units that had their part from an earlier try",
    "rows": "rows of the parts written: documents in most stages",
    "rows_found": "rows of the parts found",
    "bytes_written": "bytes of the parts written (sorted vectors and copied files lie beside the parts)",
    "bytes_read": "bytes of a run's parts and sorted vectors that were read; not of the input",
    "bins_scored": "groups of whole clusters compared by this job",
    "bins_found": "groups of clusters that were compared in an earlier try",
    "pairs": "pairs compared: by semdedup and reference inside clusters, by minhash with verify",
}
# Statistics of the parts written: when one job wrote all parts, each is the number of that name in the manifest.
OF_PARTS = {
    "records": "records read, good or bad; in embeddings, the documents still in",
    "documents": "valid documents read; in embeddings, those with a vector",
    "rejected": "records rejected",
    "characters": "characters of the valid documents",
    "tokens": "tokens of the valid documents; in embeddings, those that the model saw",
    "embedded": "documents embedded by this job",
    "reused": "documents whose vector was there from other settings",
    "padded_tokens": "positions that the model computed in vain",
    "truncated": "documents of which the model saw only the beginning",
    "tokens_cut": "tokens that it did not see",
    "unknown": "documents of which the model knows less than half of the tokens that it saw",
    "sampled": "documents in the sample that centroids, weights or splits are learnt from",
    "assigned": "documents that were given a cluster",
    "alive": "documents scored",
    "removable": "documents that the step could remove",
    "kept": "documents kept by the cut, or copied to the corpus",
    "removed": "documents removed by the cut",
    "kept_tokens": "their tokens",
    "removed_tokens": "their tokens",
    "corpus_bytes": "bytes of the curated files",
}
# One for each reason; numbers and types in a reason are left out, so that the names are few and fixed.
REASONS = (
    validation.NOT_JSON,
    validation.NOT_AN_OBJECT,
    validation.INVALID_UTF8,
    validation.TOO_LARGE,
    validation.NO_TEXT,
    validation.TEXT_TYPE,
    validation.EMPTY,
    validation.NO_ID,
    validation.ID_TYPE,
    validation.NO_VECTOR,
    validation.VECTOR_TYPE,
    validation.VECTOR_LENGTH,
    validation.VECTOR_NOT_FINITE,
    validation.ZERO_VECTOR,
    validation.NOT_HTTP,
    validation.HTTP_STATUS,
    validation.NOT_TEXT,
    validation.TOO_INTRICATE,
    validation.CHARSET,
    validation.BINARY,
    validation.REVISIT,
    validation.UNREADABLE,
)
WITHOUT_VECTOR = "without_vector"
DISTRIBUTIONS = {
    "unit_milliseconds": "time for each unit written",
    "bin_milliseconds": "time for each bin scored",
}


def reason_counter(reason: str) -> str:
    """The counter of a reason of rejection: `vector has 3 numbers, expected 4` -> `rejected.vector_has_numbers`."""
    for template in sorted(REASONS, key=len, reverse=True):
        pattern = ".*".join(re.escape(piece) for piece in template.split("{}"))
        if re.fullmatch(pattern, reason, re.DOTALL):
            return _REASON_NAMES[template]
    return WITHOUT_VECTOR


def _slug(template: str) -> str:
    return "rejected." + "_".join(re.findall(r"[a-z0-9]+", template.split(",")[0].replace("{}", "").lower()))


_REASON_NAMES = {template: _slug(template) for template in REASONS}
COUNTERS = {
    **WORK,
    **OF_PARTS,
    **{name: f"records rejected: {template.replace('{}', '...')}" for template, name in _REASON_NAMES.items()},
    WITHOUT_VECTOR: "documents that the model computed no finite vector for",
}


# Counting ---------------------------------------------------------------------------------------------------------


def add(name: str, amount: int = 1) -> None:
    """Count; a name that is not in the table is a KeyError. Call it on the thread that Beam called."""
    assert name in COUNTERS, name
    if amount and _in_a_job():
        # heavy: Beam
        from apache_beam.metrics import Metrics

        Metrics.counter(NAMESPACE, name).inc(amount)


def observe(name: str, seconds: float) -> None:
    """Enter a duration into a distribution, in whole milliseconds."""
    assert name in DISTRIBUTIONS, name
    if _in_a_job():
        # heavy: Beam
        from apache_beam.metrics import Metrics

        Metrics.distribution(NAMESPACE, name).update(round(seconds * 1000))


def _in_a_job() -> bool:
    """Whether this process may run a job at all: commands that only read a run never load Beam."""
    return "apache_beam" in sys.modules


def count_stats(stats: dict[str, Any]) -> None:
    """Count what the statistics of a part say."""
    for name in OF_PARTS:
        if isinstance(stats.get(name), int):
            add(name, stats[name])
    for reason, count in stats.get("reasons", {}).items():
        add(reason_counter(reason), count)


# Reading ----------------------------------------------------------------------------------------------------------


def query(result: Any) -> dict[str, Any]:
    """A job's counters by name, added up over its steps, and its distributions as {count, sum, min, max}.

    Empty where the runner keeps no metrics, or cannot be asked: they are news about a job, and never its outcome.
    """
    # heavy: Beam
    from apache_beam.metrics import MetricsFilter

    try:
        found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    except Exception:  # every runner raises its own
        log.debug("the runner tells no metrics", exc_info=True)
        return {}
    counted: dict[str, Any] = {}
    for metric in found["counters"]:
        counted[metric.key.metric.name] = counted.get(metric.key.metric.name, 0) + metric.result
    for name in {metric.key.metric.name for metric in found["distributions"]}:
        counted[name] = _joined([m.result for m in found["distributions"] if m.key.metric.name == name])
    return dict(sorted(counted.items()))


def _joined(many: Iterable[Any]) -> dict[str, int]:
    results = [one for one in many if one.count]
    return {
        "count": sum(one.count for one in results),
        "sum": sum(one.sum for one in results),
        "min": min((one.min for one in results), default=0),
        "max": max((one.max for one in results), default=0),
    }
